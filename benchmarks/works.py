"""All works, in the order of the table."""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING

from benchmarks import epics, frames, idle, messages, pipes, start

if TYPE_CHECKING:
    from benchmarks.measure import Work


def all_works() -> list[Work]:
    """Return the works of every family."""
    found = [*frames.works(), *messages.works(), *pipes.works(), *epics.works()]
    if importlib.util.find_spec("benchmarks.storage") is not None:
        storage = importlib.import_module("benchmarks.storage")
        found += storage.works()
    return [*found, *start.works(), *idle.works()]
