"""What an actor with inputs is given: one message, or several merged in branch order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from camagick.actor.messages import read
from camagick.actor.share import Shared
from camagick.data import Data
from camagick.errors import CamagickError
from camagick.merge import Merger, Part
from camagick_broker.construct import new_tuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from camagick_broker.edges import Joined


class Branch(NamedTuple):
    """One branch of a fanout, as the actor behind it sees it.

    Attributes
    ----------
    tree
        Number of the actor whose output the branch is, or the workers that share a processor, or
        the branches of a fanout inside it.
    label, members
        See `camagick.merge.Part`.
    """

    tree: int | Shared | tuple[Branch, ...]
    label: str
    members: frozenset[int]


Tree = int | Shared | tuple[Branch, ...]


class Given(NamedTuple):
    """What an iteration brings: data, context, and the attempts of restarted actors behind it."""

    data: Data
    context: Data
    lineage: Mapping[int, int]

    @classmethod
    def nothing(cls) -> Given:
        """Return an iteration that brings nothing."""
        return cls(Data.of_marks({}), Data.of_marks({}), {})


class Torn(CamagickError):
    """Two inputs of one iteration descend from different attempts of a restarted actor."""


def check_whole(
    lineages: Mapping[int, Mapping[int, int]], lines: Mapping[int, frozenset[int]]
) -> None:
    """See that the inputs of an iteration belong together.

    Parameters
    ----------
    lineages
        What the message of each producer says of the restarted actors it descends from: their
        attempt, where it was not the first.
    lines
        The actors that each producer's messages descend from.

    Raises
    ------
    Torn
        Otherwise; mixed, they would be data that never were.
    """
    for actor in {number for lineage in lineages.values() for number in lineage}:
        attempts = {
            lineage.get(actor, 1)
            for producer, lineage in lineages.items()
            if actor in lines.get(producer, ())
        }
        if len(attempts) > 1:
            raise Torn(f"inputs of different attempts of actor {actor}: {sorted(attempts)}")


class Inputs:
    """Reads the messages of one iteration.

    Parameters
    ----------
    producers
        Their numbers, in the order in which the messages come.
    tree
        How they belong together.
    lines
        See `check_whole`.
    """

    def __init__(
        self, producers: tuple[int, ...], tree: Tree, lines: Mapping[int, frozenset[int]]
    ) -> None:
        self._producers = producers
        self._lines = lines
        self._tree = tree
        self._has_workers = set(_chosen(tree, 0)) != set(producers)
        self._mergers: dict[int, Merger] = {}

    def __call__(self, joined: Joined) -> Given:
        """Return what an iteration brings.

        Raises
        ------
        Torn
            When its inputs do not belong together.
        """
        messages = joined.messages
        if isinstance(self._tree, int):
            return new_tuple(Given, read(messages[0]))
        if isinstance(self._tree, Shared):
            return Given(*read(messages[self._producers.index(self._tree.of(joined.seq))]))
        known = {number: read(message) for number, message in self._counting(joined)}
        lineage: Mapping[int, int] = {}
        if any(one[2] for one in known.values()):
            lineages = {producer: one[2] for producer, one in known.items()}
            check_whole(lineages, self._lines)
            lineage = {key: value for one in lineages.values() for key, value in one.items()}
        data, context = self._evaluate(self._tree, known, joined.seq)
        return Given(data, context, lineage)

    def _counting(self, joined: Joined) -> Iterable[tuple[int, Any]]:
        """Return producers and messages; of workers, only the one whose turn it was."""
        pairs = zip(self._producers, joined.messages, strict=True)
        if not self._has_workers:
            return pairs
        chosen = set(_chosen(self._tree, joined.seq))
        return [pair for pair in pairs if pair[0] in chosen]

    def _evaluate(self, tree: Tree, known: Mapping[int, Any], seq: int) -> tuple[Data, Data]:
        if isinstance(tree, Shared):
            tree = tree.of(seq)
        if isinstance(tree, int):
            data, context, _ = known[tree]
            return data, context
        merger = self._mergers.get(id(tree))
        if merger is None:
            merger = self._mergers[id(tree)] = Merger()
        return merger(
            [
                Part(*self._evaluate(branch.tree, known, seq), branch.label, branch.members)
                for branch in tree
            ]
        )


def _chosen(tree: Tree, seq: int) -> Iterator[int]:
    """Yield the producers whose messages of an iteration count; of workers, one."""
    if isinstance(tree, Shared):
        yield tree.of(seq)
    elif isinstance(tree, int):
        yield tree
    else:
        for branch in tree:
            yield from _chosen(branch.tree, seq)
