"""All works, in the order of the table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks import epics, frames, idle, messages, pipes, start, stores

if TYPE_CHECKING:
    from benchmarks.measure import Budget, Work

FAMILIES = (frames, messages, pipes, epics, stores, start, idle)


def all_works(budget: Budget) -> list[Work]:
    """Return the works of every family."""
    return [work for family in FAMILIES for work in family.works(budget)]
