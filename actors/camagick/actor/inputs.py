"""What an actor with inputs is given: one message, or several merged in branch order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from camagick.actor.messages import read
from camagick.merge import Merger, Part

if TYPE_CHECKING:
    from collections.abc import Mapping

    from camagick.data import Data
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


class Inputs:
    """Reads the messages of one iteration.

    Parameters
    ----------
    producers
        Their numbers, in the order in which the messages come.
    tree
        How they belong together.
    """

    def __init__(self, producers: tuple[int, ...], tree: Tree) -> None:
        self._producers = producers
        self._tree = tree
        self._mergers: dict[int, Merger] = {}

    def __call__(self, joined: Joined) -> tuple[Data, Data, Mapping[int, int]]:
        """Return data, context and lineage of an iteration."""
        read_ones = [read(message) for message in joined.messages]
        if isinstance(self._tree, int):
            return read_ones[0]
        lineage = {key: value for one in read_ones for key, value in one[2].items()}
        known = dict(zip(self._producers, read_ones, strict=True))
        data, context = self._evaluate(self._tree, known)
        return data, context, lineage

    def _evaluate(self, tree: Tree, known: Mapping[int, Any]) -> tuple[Data, Data]:
        if isinstance(tree, int):
            data, context, _ = known[tree]
            return data, context
        merger = self._mergers.setdefault(id(tree), Merger())
        return merger(
            [
                Part(*self._evaluate(branch.tree, known), branch.label, branch.members)
                for branch in tree
            ]
        )
