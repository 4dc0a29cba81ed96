"""The modes of an EPICS source that hand on every event. Knows no network."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

from camagick.service.ca_trigger import Readings, Trigger

if TYPE_CHECKING:
    from collections.abc import Sequence


class Bounds(NamedTuple):
    """How much may wait.

    Attributes
    ----------
    rows
        Events.
    size
        Bytes; one event is kept, however large it is.
    """

    rows: int = 10_000
    size: int = 256 * 10**6


class Queued(Trigger):
    """Rows that wait; bounded in number and bytes, where the oldest gives way.

    Parameters
    ----------
    pvs
        The PVs that are handed on.
    bounds
        How much may wait.

    Attributes
    ----------
    queued
        How many rows were queued so far; set by `resume` to go on behind a predecessor.
    """

    def __init__(self, pvs: Sequence[str], bounds: Bounds = Bounds()) -> None:  # noqa: B008 - it cannot change
        super().__init__(pvs)
        self._bounds = bounds
        self._rows: deque[tuple[Readings, int]] = deque()
        self._bytes = 0
        self.queued = 0

    def waiting(self) -> tuple[int, int]:
        """Return how many rows wait, and their bytes."""
        return len(self._rows), self._bytes

    def append(self, row: Readings, size: int) -> None:
        """Queue a row of which `size` bytes are new."""
        self._rows.append((row, size))
        self._bytes += size
        self.queued += 1
        most = self._bounds
        while len(self._rows) > most.rows or (self._bytes > most.size and len(self._rows) > 1):
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
    bounds
        How much may wait, of clusters; and of the values of each PV that wait for the others'.

    Attributes
    ----------
    unmatched
        Values that found no others of their time.
    """

    def __init__(
        self,
        pvs: Sequence[str],
        width: float,
        bounds: Bounds = Bounds(),  # noqa: B008 - it cannot change
    ) -> None:
        super().__init__(pvs, bounds)
        self._width = width
        self._waiting: dict[str, deque[Any]] = {pv: deque() for pv in self.pvs}
        self._held = dict.fromkeys(self.pvs, 0)
        self.unmatched = 0

    def event(self, pv: str, reading: Any) -> None:
        super().event(pv, reading)
        queue = self._waiting.get(pv)
        if queue is None:
            return
        queue.append(reading)
        self._held[pv] += _size(reading)
        most = self._bounds
        while len(queue) > most.rows or (self._held[pv] > most.size and len(queue) > 1):
            self._drop(pv)
            self.overruns += 1
        while all(self._waiting.values()):
            self._match()

    def _match(self) -> None:
        """Take the oldest of each PV as a cluster, or throw away what is too old for one."""
        heads = {name: queue[0] for name, queue in self._waiting.items()}
        times = {name: float(head.attributes["timestamp"]) for name, head in heads.items()}
        earliest = max(times.values()) - self._width
        late = [name for name, when in times.items() if when < earliest]
        if not late:
            self.append(heads, sum(map(_size, heads.values())))
        for name in late or heads:
            self._drop(name)
        self.unmatched += len(late)

    def _drop(self, pv: str) -> None:
        self._held[pv] -= _size(self._waiting[pv].popleft())


def _size(reading: Any) -> int:
    return int(getattr(reading.value, "nbytes", 0)) + 200
