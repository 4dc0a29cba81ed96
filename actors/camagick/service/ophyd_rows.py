"""What a subscription has brought, until it is taken: each change, or the newest."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

Readings = dict[str, "Mapping[str, Any]"]

#: How much may wait: rows, and bytes of new values; beyond that the oldest gives way.
ROWS, BYTES = 10_000, 1 << 28


class Rows:
    """Readings by name, a row of them for each change.

    Parameters
    ----------
    every
        True: each change is a row, in order. False: only the newest of all is one.

    Attributes
    ----------
    overruns
        Rows that gave way.
    """

    def __init__(self, *, every: bool) -> None:
        self._every = every
        self._newest: Readings = {}
        self._rows: deque[tuple[Readings, int]] = deque()
        self._bytes = 0
        self.overruns = 0

    def first(self, readings: Mapping[str, Mapping[str, Any]]) -> None:
        """Begin with what was read."""
        self._newest = dict(readings)
        self._append(0)

    def change(self, name: str, reading: Mapping[str, Any]) -> bool:
        """Take a change; tell whether it is one: libraries repeat what they said before."""
        known = self._newest.get(name)
        if known is not None and _same(known, reading):
            return False
        # An event does not tell all that a reading does.
        self._newest = {**self._newest, name: {**(known or {}), **reading}}
        self._append(int(getattr(reading.get("value"), "nbytes", 0)) + 200)
        return True

    def _append(self, size: int) -> None:
        if not self._every:
            self._rows.clear()
            self._bytes = 0
        self._rows.append((self._newest, size))
        self._bytes += size
        while len(self._rows) > ROWS or (self._bytes > BYTES and len(self._rows) > 1):
            self._bytes -= self._rows.popleft()[1]
            self.overruns += 1

    def pending(self) -> bool:
        """Tell whether there is a row."""
        return bool(self._rows)

    def take(self) -> Readings:
        """Return the oldest row."""
        row, size = self._rows.popleft()
        self._bytes -= size
        return row


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    when = other.get("timestamp")
    if when is None or when != one.get("timestamp"):
        return False
    return bool(np.array_equal(np.asarray(one.get("value")), np.asarray(other.get("value"))))
