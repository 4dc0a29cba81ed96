"""What lies where in a segment: a table at its beginning, for all who read it. No I/O.

A slot is described by four aligned 8-byte words: offset, size, generation, and 1 + the iteration
that uses it. Only the segment's actor writes them, and in that order: before it writes into a slot,
the table says that the slot is in use, and by a generation that nobody has heard of. So a kill at
any moment leaves a table that a successor can go on with.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

from camagick_broker.construct import new_tuple

PAGE_BYTES = 4096
#: Small slots of one size share a part of the segment of this size, in bytes.
WINDOW_BYTES = 1 << 18
SMALL_BYTES = WINDOW_BYTES // 4
#: The lowest bits of a generation are the number of its slot.
_INDEX_BITS = 14
MOST_SLOTS = 1 << _INDEX_BITS
_INDEX = MOST_SLOTS - 1
_WORDS = 4
TABLE_BYTES = 8 * _WORDS * MOST_SLOTS


class Slot(NamedTuple):
    """One slot.

    Attributes
    ----------
    offset, size
        In bytes, in its segment.
    generation
        Different for every use of every slot of the segment.
    user
        1 + the iteration that uses it, or used it last.
    """

    offset: int
    size: int
    generation: int
    user: int

    @property
    def is_small(self) -> bool:
        """Whether it shares its window with others."""
        return self.size <= SMALL_BYTES


class SlotTable:
    """All slots of one segment.

    Parameters
    ----------
    words
        The first `TABLE_BYTES` of the segment.
    """

    def __init__(self, words: memoryview) -> None:
        self._words = words.cast("Q")

    def slots(self) -> list[Slot]:
        """Return all slots that there are, in the order in which they were made."""
        found: list[Slot] = []
        while len(found) < MOST_SLOTS and self._words[_WORDS * len(found) + 1]:
            found.append(self[len(found)])
        return found

    def __getitem__(self, index: int) -> Slot:
        """Return a slot by its number."""
        at = _WORDS * index
        return Slot(*self._words[at : at + _WORDS])

    def current(self, generation: int) -> Slot:
        """Return the slot that has this generation.

        Raises
        ------
        ValueError
            Where there is none: it was never used, or has been used again since.
        """
        at = (generation & _INDEX) * _WORDS
        offset, size, now, user = self._words[at : at + _WORDS].tolist()
        if now != generation or not generation:
            raise ValueError("a slot that was used again since, or never was")
        return new_tuple(Slot, (offset, size, now, user))

    def add(self, index: int, offset: int, size: int) -> None:
        """Write down a new slot, which nobody uses yet."""
        at = _WORDS * index
        self._words[at] = offset
        self._words[at + 1] = size

    def use(self, index: int, slot: Slot, seq: int) -> Slot:
        """Write down that an iteration uses a slot from now on; return the slot as it is then."""
        at = _WORDS * index
        offset, size, generation, _ = slot
        generation = ((generation >> _INDEX_BITS) + 1 << _INDEX_BITS) | index
        self._words[at + 3] = seq + 1
        self._words[at + 2] = generation
        return new_tuple(Slot, (offset, size, generation, seq + 1))


@functools.lru_cache(maxsize=256)
def size_for(size: int) -> int:
    """Return the size of a slot for so many bytes: whole pages, at most a quarter more.

    There are few different sizes, so that a slot fits again for arrays that are nearly as large.
    """
    pages = max(1, -(-size // PAGE_BYTES))
    step = 1 << max(0, pages.bit_length() - 3)
    return -(-pages // step) * step * PAGE_BYTES


def window_of(slot: Slot) -> tuple[int, int]:
    """Return where the window of a slot begins, and its length, in bytes."""
    offset, size, *_ = slot
    if size <= SMALL_BYTES:
        return offset - offset % WINDOW_BYTES, WINDOW_BYTES
    return offset, size
