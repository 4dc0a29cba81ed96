"""On which host each actor runs, and how a fanout crosses to another one.

An edge between two hosts has one producer and one consumer. Where several actors of a host want
what one actor elsewhere makes, a *relay* there takes it, once, and hands it on in shared memory;
and where an actor has other consumers beside, a relay at its side sends, so that it need not know
both ways. A relay is an actor like any other: all that is promised of an edge holds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from camagick.actor.inputs import Branch, Tree
from camagick.actor.share import Shared
from camagick.processor import ProcessorBase
from caspy.errors import PlanError
from caspy.layout import Actor

if TYPE_CHECKING:
    from collections.abc import Mapping

    from camagick.data import Data

#: The host of whoever types the command.
HOME = ""
_AT_HOME = ("local", "localhost", "home")
#: Where an actor runs of which nothing is said, said aloud.
_BESIDE = "auto"


class Relay(ProcessorBase):
    """Passes on to another host what an actor of this one makes, or the other way round."""

    def process(self, data: Data, context: Data) -> Data:
        """Return the data as they are."""
        return data


def settle(actors: list[Actor]) -> list[Actor]:
    """Give every actor of a pipe its host, and return them with the relays between the hosts.

    An actor of which nothing was said runs beside the source that the pipe begins with; what
    belongs to a terminal or a screen stays where that is.

    Parameters
    ----------
    actors
        Producers stand before their consumers; they are changed.

    Raises
    ------
    PlanError
        For what cannot run on another host.
    """
    said = [_said(actor.node) for actor in actors]
    beside = said[0] or HOME
    for actor, host in zip(actors, said, strict=True):
        actor.host = beside if host is None and not actor.node.at_home else host or HOME
        _check(actor)
    if all(actor.host == HOME for actor in actors):
        return actors
    return _Crossing(actors).done


def hosts(actors: list[Actor]) -> list[str]:
    """Return the hosts of actors other than home, each once, in their order."""
    return [host for host in dict.fromkeys(actor.host for actor in actors) if host != HOME]


def senders(actors: list[Actor]) -> set[int]:
    """Return the numbers of the actors whose consumer is on another host."""
    places = {actor.number: actor.host for actor in actors}
    return {
        actor.number
        for actor in actors
        if any(places[consumer] != actor.host for consumer in actor.consumers)
    }


def _said(node: ProcessorBase) -> str | None:
    """Return where a processor is to run; None where nothing was said."""
    if node.host in ("", _BESIDE):
        return None
    return HOME if node.host in _AT_HOME else node.host


def _check(actor: Actor) -> None:
    node = actor.node
    if actor.host == HOME:
        return
    if node.reads_input:
        text = "reads the standard input, which is here: give it a command (cmd=), or no host"
        raise PlanError(f"{actor.name} @{actor.host}: it {text}")
    if node.recipe is None:
        text = "was made by a program, which stays here: only recipes (-yaml) travel"
        raise PlanError(f"{actor.name} @{actor.host}: it {text}")


class _Crossing:
    """Lays relays between the hosts of one pipe."""

    def __init__(self, actors: list[Actor]) -> None:
        self._by_number = {actor.number: actor for actor in actors}
        self._next = 1 + max(self._by_number)
        self.done: list[Actor] = []
        for actor in actors:
            self.done.append(actor)
            self._cross(actor)

    def _cross(self, producer: Actor) -> None:
        """Lay what lies between one actor and its consumers on other hosts."""
        groups: dict[str, list[int]] = {}
        for number in producer.consumers:
            groups.setdefault(self._by_number[number].host, []).append(number)
        near = groups.pop(producer.host, [])
        alone = not near and len(groups) == 1
        producer.consumers[:] = near
        for host, consumers in groups.items():
            sender = producer if alone else self._relay(producer, producer.host)
            if len(consumers) > 1:
                sender = self._relay(sender, host)
            for number in consumers:
                self._lead(self._by_number[number], producer.number, sender)

    def _relay(self, producer: Actor, host: str) -> Actor:
        number = self._next
        self._next += 1
        relay = Actor(
            number, f"relay.{number}", Relay(), producer.number, (producer.number,), host=host
        )
        producer.consumers.append(number)
        self._by_number[number] = relay
        self.done.append(relay)
        return relay

    def _lead(self, consumer: Actor, producer: int, sender: Actor) -> None:
        """Let a consumer take from `sender` what it took from `producer`."""
        if sender.number != producer:
            known = {producer: sender.number}
            consumer.inputs = tuple(known.get(one, one) for one in consumer.inputs)
            consumer.tree = _replaced(consumer.tree, known)
        sender.consumers.append(consumer.number)


def _replaced(tree: Tree | None, known: Mapping[int, int]) -> Tree | None:
    """Return a tree in which some producers are others."""
    if tree is None:
        return None
    if isinstance(tree, Shared):
        return Shared(tuple(known.get(one, one) for one in tree.workers))
    if isinstance(tree, int):
        return known.get(tree, tree)
    return tuple(Branch(_replaced(one.tree, known) or 0, one.label, one.members) for one in tree)
