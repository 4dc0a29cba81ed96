"""The recipe: the tree of processors that a command line or a file states."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Role = Literal["source", "pipe", "sink"]
Kind = Literal["chain", "fanout"]

#: Brackets deeper than this are a mistake of whoever wrote the recipe.
DEEPEST = 64
#: More processes for one processor are one, too.
MOST_WORKERS = 1000

#: Where a processor runs: aliases of the hosts file or ssh destinations, the first that is there.
HOST = re.compile(r"[\w][\w.@:-]*(\|[\w][\w.@:-]*)*")

#: What opens and closes a flow on the command line.
BRACKETS: dict[Kind, tuple[str, str]] = {"chain": ("[", "]"), "fanout": ("{", "}")}


@dataclass(frozen=True, slots=True)
class At:
    """Where something was said, for messages.

    Attributes
    ----------
    word
        Index of the word on the command line; -1 where it was not said there.
    place
        File and place in it, ``ad-hoc.spy: chain[3]``; '' on the command line.
    """

    word: int = -1
    place: str = ""


#: Where that is not known, or does not matter.
NOWHERE = At()


class Raw(str):
    """A value as it was typed: what it means depends on the parameter it is for."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Step:
    """One processor with its arguments.

    Attributes
    ----------
    role
        The kind of processor.
    name
        Name of the flag, or ``module:Class`` for one from elsewhere.
    args, params
        Positional arguments and keywords; `Raw` where not yet cast.
    at
        Where the processor was named.
    places
        Where each argument stands, by position or keyword; ``@workers`` where that was said.
    workers
        How many processes share its iterations.
    host
        Where it runs, see `HOST`; '' where that was not said.
    """

    role: Role
    name: str
    args: tuple[Any, ...] = ()
    params: Mapping[str, Any] = field(default_factory=dict)
    at: At = field(default=NOWHERE, compare=False)
    places: Mapping[int | str, At] = field(default_factory=dict, compare=False, repr=False)
    workers: int = 1
    host: str = ""

    @property
    def flag(self) -> str:
        """How the processor is written on the command line."""
        return flag(self.role, self.name)


@dataclass(frozen=True, slots=True)
class Flow:
    """Processors and flows one after the other (chain) or side by side (fanout).

    `host` is where those in it run of which nothing else was said, see `HOST`.
    """

    kind: Kind
    children: tuple[Step | Flow, ...] = ()
    at: At = field(default=NOWHERE, compare=False)
    host: str = ""


def flag(role: Role, name: str) -> str:
    """Return the word of the command line that names a processor."""
    return {"source": "--from-", "pipe": "--", "sink": "--to-"}[role] + name


def steps(node: Step | Flow) -> Iterator[Step]:
    """Yield all processors of a tree, in the order of the command line."""
    if isinstance(node, Step):
        yield node
        return
    for child in node.children:
        yield from steps(child)
