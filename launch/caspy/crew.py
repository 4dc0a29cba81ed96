"""The actors of a plan: what each of them does, and what outlives their processes."""

from __future__ import annotations

import logging
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from camagick.actor.assignment import Assignment, OnError
from camagick.actor.plain import PlainHost
from camagick.actor.waiting import WaitingHost
from camagick.walk import place
from camagick_broker.journal import Journal
from camagick_broker.ledger import Ledger, Row
from camagick_broker.segment import Segment
from caspy import standardinput
from caspy.placement import HOME
from caspy.rule import ancestors

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Container, Iterable, Mapping

    from camagick_broker.network import Network
    from caspy.layout import Actor
    from caspy.plan import Pipe, Plan

log = logging.getLogger(__name__)


class Post(NamedTuple):
    """One host of a run.

    Attributes
    ----------
    host
        Which one, as the plan calls it.
    networks
        What its actors have on the network, by their numbers.
    ahead_ns
        By how much its clock is ahead of that of the bus.
    """

    host: str = HOME
    networks: Mapping[int, Network] = MappingProxyType({})
    ahead_ns: int = 0


ALONE = Post()


class Beginning(NamedTuple):
    """Where the actors of a host begin.

    Attributes
    ----------
    incarnation
        Of the first processes: 1, or more than any had on a host that was lost.
    rows
        By the number of an actor: the iteration that it begins with.
    over
        Numbers of those that need not begin: nothing is left to do for them.
    """

    incarnation: int = 1
    rows: Mapping[int, int] = MappingProxyType({})
    over: Collection[int] = ()

    @property
    def is_over(self) -> bool:
        """Whether nobody need begin."""
        return bool(self.rows) and self.rows.keys() <= set(self.over)


FIRST = Beginning()


class Crew:
    """Knows the work of every actor.

    Parameters
    ----------
    plan
        What is run.
    folder
        The folder of the bus.
    on_error
        What to do when a processor raises.
    post
        This host's, among several.

    Attributes
    ----------
    numbers
        Of the actors of this host, producers before their consumers.
    ledger
        How far all actors have come; of those on other hosts, what was last heard.
    """

    def __init__(self, plan: Plan, folder: str, on_error: OnError, post: Post = ALONE) -> None:
        self._plan, self._folder, self._on_error = plan, folder, on_error
        self._post = post
        self._everybody = [actor.number for actor in plan.actors]
        self._actors: dict[int, tuple[Pipe, Actor]] = {
            actor.number: (pipe, actor)
            for pipe in plan.pipes
            for actor in pipe.actors
            if actor.host == post.host
        }
        self.numbers = list(self._actors)
        self.ledger = Ledger(max(self._everybody))
        self._journals = {
            number: Journal(
                max(plan.window + 2, actor.node.memory + 1),
                self.ledger[number],
                actor.node.memory,
            )
            for number, (_, actor) in self._actors.items()
            if (actor.consumers or actor.node.memory) and not actor.node.repeatable
        }
        smaller = {number for number, one in post.networks.items() if one.codec}
        self._segments = _segments(
            number
            for number, (_, actor) in self._actors.items()
            if actor.consumers and number not in smaller  # what is compressed lies nowhere
        )
        self._before: dict[int, set[int]] = {}
        for pipe in plan.pipes:
            self._before.update(ancestors(pipe.actors))
            if pipe.flow is not None:
                place(pipe.flow, plan.run.hex(), folder)
        for _, actor in self._actors.values():  # an agent has no flow, but was told all the rest
            actor.node.placement = actor.node.placement._replace(run_dir=folder)

    def name(self, number: int) -> str:
        """Return what an actor is called."""
        return self._actors[number][1].name

    def waits(self, number: int) -> bool:
        """Tell whether an actor may wait for the outside for ever."""
        actor = self._actors[number][1]
        return actor.node.gates or not actor.inputs

    def row(self, number: int) -> Row:
        """Return what an actor notes of its progress."""
        return self.ledger[number]

    def progress(self) -> int:
        """Return a number that goes up as long as anything is done anywhere."""
        return sum(self.ledger[number].made for number in self._everybody)

    def work(self, number: int, incarnation: int, poison: frozenset[int]) -> Callable[[], int]:
        """Return what an actor's process has to do."""
        pipe, actor = self._actors[number]
        before = self._before[number]
        assignment = Assignment(
            node=actor.node,
            wiring=replace(
                self._plan.wiring(pipe, actor, self._folder, incarnation),
                network=self._post.networks.get(number),
                ahead_ns=self._post.ahead_ns,
            ),
            tree=actor.tree,
            ledger=self.ledger,
            journal=self._journals.get(number),
            segments={
                one: segment
                for one, segment in self._segments.items()
                if one == number or one in before
            },
            lines={one: frozenset({one, *self._before[one]}) for one in actor.inputs},
            on_error=self._on_error,
            poison=poison,
            share=actor.share,
        )
        host = PlainHost if actor.node.synchronous else WaitingHost

        def run() -> int:
            if not actor.node.reads_input:
                standardinput.leave()
            self._own(number, assignment.segments)
            return host(assignment).run()

        return run

    def _own(self, number: int, needed: Container[int]) -> None:
        """In an actor's process: let go of what others write, and of what it never reads."""
        for one, segment in self._segments.items():
            if one not in needed:
                segment.close()
            elif one != number:
                segment.only_read()

    def close(self) -> None:
        """Let go of what outlives the actors."""
        for journal in self._journals.values():
            journal.close()
        for segment in self._segments.values():
            segment.close()


def _segments(numbers: Iterable[int]) -> dict[int, Segment]:
    """Return memory for these actors to share arrays in; none where the system does not allow it.

    Arrays travel as bytes then, which is slower, and as safe.
    """
    made: dict[int, Segment] = {}
    try:
        for number in numbers:
            made[number] = Segment(number)
    except OSError as error:
        log.warning('msg="no shared memory, arrays are copied: %s"', error.strerror or error)
        for segment in made.values():
            segment.close()
        return {}
    return made
