"""What can be wrong with what the user asked for."""

from __future__ import annotations

from dataclasses import dataclass, field

from caspy.recipe import NOWHERE, At


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing the user has to mend.

    Attributes
    ----------
    text
        What is wrong and what to do, in one line.
    at
        Where.
    cause
        The exception behind it, shown only where somebody debugs a processor.
    """

    text: str
    at: At = NOWHERE
    cause: BaseException | None = field(default=None, compare=False)


class PlanError(Exception):
    """A flow that cannot be run, though every processor of it is fine by itself."""


class CatalogueError(Exception):
    """A processor that cannot be had; the message is one line."""
