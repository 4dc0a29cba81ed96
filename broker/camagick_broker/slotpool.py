"""Which slot of a segment is used next: the side of the actor that writes."""

from __future__ import annotations

import contextlib
import os
import time
from collections import defaultdict, deque
from typing import TYPE_CHECKING

from camagick_broker.ledger import LOW
from camagick_broker.slottable import (
    MOST_SLOTS,
    TABLE_BYTES,
    WINDOW_BYTES,
    Slot,
    SlotTable,
    size_for,
    window_of,
)  # fmt: skip
from camagick_broker.windows import map_part

if TYPE_CHECKING:
    from collections.abc import Callable

    from camagick_broker.ledger import Row
    from camagick_broker.segment import Segment

#: What was not used for so many iterations, and so long, is given back to the system: to take it
#: again costs more than to fill it.
_IDLE_ITERATIONS, _IDLE_S = 256, 1.0
_END = 1 << 40


def most_bytes() -> int:
    """Return how much memory the slots of one actor may take: half of what the machine has."""
    return int(os.sysconf("SC_PHYS_PAGES")) * int(os.sysconf("SC_PAGE_SIZE")) // 2


class SlotPool:
    """Gives out slots for arrays, and takes them back once nobody can need them.

    An acknowledgement comes from the very end of the pipe. So a slot of iteration n is free when
    its actor's ledger says that everything below n + 1 has ended, whoever else has passed it on:
    there is nothing to count, and nothing that a killed reader could leave locked.

    Parameters
    ----------
    segment
        Where they are made.
    row
        Where the actor notes how far everything has ended.
    made
        Iterations whose messages are written down, where the actor never makes one again: what its
        predecessor had begun beyond that was never sent. None where it begins again at ``row.low``.
    most
        How much memory it may take, in bytes.
    clock
        Seconds that never go back.

    Attributes
    ----------
    held
        How much it has, in bytes.
    is_fresh
        Whether the slot last taken lies in memory that this process has not used before.
    """

    def __init__(
        self, segment: Segment, row: Row, made: int | None = None, most: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self.segment, self._words = segment, row.words
        self._table = SlotTable(map_part(segment, 0, TABLE_BYTES, writable=True))
        self._most = most_bytes() if most is None else most
        self._slots = self._table.slots()
        # Slots, and the windows they lie in, that this process has seen to, by their begin.
        self._ready: set[int] = set()
        self._filled: set[int] = set()
        self._free: defaultdict[int, list[int]] = defaultdict(list)
        self._empty: defaultdict[int, list[int]] = defaultdict(list)
        known = sorted((slot.user - 1, index) for index, slot in enumerate(self._slots))
        never_sent = _END if made is None else made
        self._used: deque[tuple[int, int]] = deque(one for one in known if one[0] < never_sent)
        for _, index in known[len(self._used) :]:
            self._free[self._slots[index].size].append(index)
        self._last = {slot.size: slot.offset for slot in self._slots}  # where it was made last
        self._backed = dict(map(window_of, self._slots))  # where there is memory, and how much
        self._end = max((sum(one) for one in self._backed.items()), default=TABLE_BYTES)
        self.held = sum(self._backed.values())
        self.is_fresh = False
        self._clock = clock
        self._looked, self._look_after = row.low, clock() + _IDLE_S

    def take(self, size: int, seq: int) -> Slot | None:
        """Return a slot for so many bytes of an iteration; None where there is no memory left.

        What is in it belongs to the caller until the iteration has ended everywhere.
        """
        self._release()
        size = size_for(size)
        index = self._free[size].pop() if self._free[size] else self._another(size)
        if index is None:
            return None
        slot = self._slots[index]
        self.is_fresh = False
        if slot.offset not in self._ready and not self._fill(slot):
            self._empty[size].append(index)
            return None
        slot = self._slots[index] = self._table.use(index, slot, seq)
        self._used.append((seq, index))
        return slot

    def _release(self) -> None:
        low = self._words[LOW]
        while self._used and self._used[0][0] < low:
            _, index = self._used.popleft()
            self._free[self._slots[index].size].append(index)
        if low < self._looked + _IDLE_ITERATIONS:
            return
        if (now := self._clock()) >= self._look_after:
            self._give_back(self._looked)
            self._looked, self._look_after = low, now + _IDLE_S

    def _another(self, size: int) -> int | None:
        """Return a slot that has no memory yet; None where there can be no more."""
        if self._empty[size]:
            return self._empty[size].pop()
        if len(self._slots) == MOST_SLOTS:
            return None
        index, offset = len(self._slots), self._place_for(size)
        if offset + max(size, WINDOW_BYTES) > _END:
            return None
        self._table.add(index, offset, size)
        self._last[size] = offset
        self._slots.append(self._table[index])
        return index

    def _place_for(self, size: int) -> int:
        """Return where a new slot of this size begins."""
        is_small = Slot(0, size, 0, 0).is_small
        if is_small:
            last = self._last.get(size, 0)
            if last and last % WINDOW_BYTES + 2 * size <= WINDOW_BYTES:
                return last + size
        offset = -(-self._end // WINDOW_BYTES) * WINDOW_BYTES
        self._end = offset + (WINDOW_BYTES if is_small else size)
        return offset

    def _fill(self, slot: Slot) -> bool:
        """See that there is memory behind a slot; tell whether there is."""
        start, length = window_of(slot)
        self.is_fresh = start not in self._filled
        if not self.is_fresh:
            self._ready.add(slot.offset)
            return True
        more = 0 if start in self._backed else length
        if self.held + more > self._most:
            return False
        try:
            self.segment.fill(start, length)
        except OSError:
            return False
        self._ready.add(slot.offset)
        self._filled.add(start)
        self._backed[start] = length
        self.held += more
        return True

    def _give_back(self, before: int) -> None:
        """Let the system have what was last used before an iteration."""
        for size, free in self._free.items():
            for index in [one for one in free if self._slots[one].user <= before]:
                slot = self._slots[index]
                if slot.is_small:
                    continue
                free.remove(index)
                self._empty[size].append(index)
                with contextlib.suppress(OSError):
                    self.segment.give_back(slot.offset, size)
                    self._ready.discard(slot.offset)
                    self._filled.discard(slot.offset)
                    self.held -= self._backed.pop(slot.offset, 0)
