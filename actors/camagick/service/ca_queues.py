"""The modes of an EPICS source that hand on every event. Knows no network."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from camagick.service.ca_trigger import Readings, Trigger

if TYPE_CHECKING:
    from collections.abc import Sequence


class Queued(Trigger):
    """Rows that wait; bounded in number and bytes, where the oldest gives way."""

    ROWS, BYTES = 10_000, 1 << 28

    def __init__(self, pvs: Sequence[str]) -> None:
        super().__init__(pvs)
        self._rows: deque[tuple[Readings, int]] = deque()
        self._bytes = 0

    def append(self, row: Readings, size: int) -> None:
        """Queue a row of which `size` bytes are new."""
        self._rows.append((row, size))
        self._bytes += size
        while len(self._rows) > self.ROWS or (self._bytes > self.BYTES and len(self._rows) > 1):
            self._bytes -= self._rows.popleft()[1]
            self.overruns += 1

    def pending(self) -> bool:
        return bool(self._rows)

    def take(self) -> Readings:
        row, size = self._rows.popleft()
        self._bytes -= size
        return row


class Every(Queued):
    """Each event is one iteration, with the newest of the other PVs at that moment."""

    def event(self, pv: str, reading: Any) -> None:
        super().event(pv, reading)
        if pv in self.pvs and (self.complete() or not self.needs_all):
            self.append(dict(self.newest), _size(reading))

    def waive(self) -> None:
        super().waive()
        if self.newest and not self.pending():
            self.append(dict(self.newest), 0)


class Clustered(Queued):
    """One event of every PV with source timestamps at most `width` seconds apart.

    Parameters
    ----------
    pvs
        The PVs that are handed on.
    width
        Seconds between the oldest and the newest of a cluster.
    """

    def __init__(self, pvs: Sequence[str], width: float) -> None:
        super().__init__(pvs)
        self._width = width
        self._waiting: dict[str, deque[Any]] = {pv: deque() for pv in self.pvs}

    def event(self, pv: str, reading: Any) -> None:
        super().event(pv, reading)
        if pv not in self._waiting:
            return
        self._waiting[pv].append(reading)
        if len(self._waiting[pv]) > 1000:
            self._waiting[pv].popleft()
            self.overruns += 1
        while all(self._waiting.values()):
            heads = {name: queue[0] for name, queue in self._waiting.items()}
            times = {name: float(head.attributes["timestamp"]) for name, head in heads.items()}
            late = [
                name for name, when in times.items() if when < max(times.values()) - self._width
            ]
            if not late:
                self.append(heads, sum(map(_size, heads.values())))
            for name in late or heads:  # what is too old for its cluster never finds one
                self._waiting[name].popleft()


def _size(reading: Any) -> int:
    return int(getattr(reading.value, "nbytes", 0)) + 200
