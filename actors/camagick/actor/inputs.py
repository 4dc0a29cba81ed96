"""What an actor with inputs is given: one message, or several merged in branch order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from camagick.actor.messages import read
from camagick.data import Data
from camagick.errors import CamagickError
from camagick.merge import Merger, Part

if TYPE_CHECKING:
    from collections.abc import Mapping

    from camagick_broker.edges import Joined


class Branch(NamedTuple):
    """One branch of a fanout, as the actor behind it sees it.

    Attributes
    ----------
    tree
        Number of the actor whose output the branch is, or the branches of a fanout inside it.
    label, members
        See `camagick.merge.Part`.
    """

    tree: int | tuple[Branch, ...]
    label: str
    members: frozenset[int]


Tree = int | tuple[Branch, ...]


class Given(NamedTuple):
    """What an iteration brings: data, context, and the attempts of restarted actors behind it."""

    data: Data
    context: Data
    lineage: Mapping[int, int]

    @classmethod
    def nothing(cls) -> Given:
        """Return an iteration that brings nothing."""
        return cls(Data(), Data(), {})


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
            return Given(*read(messages[0]))
        known = {n: read(message) for n, message in zip(self._producers, messages, strict=True)}
        lineage: Mapping[int, int] = {}
        if any(one[2] for one in known.values()):
            lineages = {producer: one[2] for producer, one in known.items()}
            check_whole(lineages, self._lines)
            lineage = {key: value for one in lineages.values() for key, value in one.items()}
        data, context = self._evaluate(self._tree, known)
        return Given(data, context, lineage)

    def _evaluate(self, tree: Tree, known: Mapping[int, Any]) -> tuple[Data, Data]:
        if isinstance(tree, int):
            data, context, _ = known[tree]
            return data, context
        merger = self._mergers.get(id(tree))
        if merger is None:
            merger = self._mergers[id(tree)] = Merger()
        return merger(
            [
                Part(*self._evaluate(branch.tree, known), branch.label, branch.members)
                for branch in tree
            ]
        )
