"""All works, in the order of the table."""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING, Protocol, cast

from benchmarks import epics, frames, idle, messages, pipes, start

if TYPE_CHECKING:
    from benchmarks.measure import Budget, Work


class Family(Protocol):
    """A module of benchmarks."""

    def works(self, budget: Budget, /) -> list[Work]:
        """Return its works; sizes are tiny if the budget says so."""


def all_works(budget: Budget) -> list[Work]:
    """Return the works of every family."""
    first: list[Family] = [frames, messages, pipes, epics]
    if importlib.util.find_spec("benchmarks.storage") is not None:
        first.append(cast("Family", importlib.import_module("benchmarks.storage")))
    return [work for family in (*first, start, idle) for work in family.works(budget)]
