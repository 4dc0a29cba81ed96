"""What lies where in a segment: a table at its beginning, for all who read it. No I/O.

A slot is described by four aligned 8-byte words: offset, size, generation, and 1 + the iteration
that uses it. Only the segment's actor writes them, and in that order: before it writes into a slot,
the table says that the slot is in use, and by a generation that nobody has heard of. So a kill at
any moment leaves a table that a successor can go on with.
"""

from __future__ import annotations

from typing import NamedTuple

from camagick_broker.errors import LocalProtocolError

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
        if generation >> 63 or generation < 0:
            raise ValueError(f"generation {generation!r:.40} of a slot")
        slot = self[generation & _INDEX]
        if slot.generation != generation or not generation:
            raise ValueError("a slot that was used again since, or never was")
        return slot

    def add(self, index: int, offset: int, size: int) -> None:
        """Write down a new slot, which nobody uses yet."""
        at = _WORDS * index
        self._words[at] = offset
        self._words[at + 1] = size

    def use(self, index: int, seq: int) -> Slot:
        """Write down that an iteration uses a slot from now on; return the slot as it is then.

        Raises
        ------
        LocalProtocolError
            For an iteration that cannot be.
        """
        if seq < 0:
            raise LocalProtocolError(f"iteration {seq} cannot use a slot")
        at = _WORDS * index
        before = self._words[at + 2]
        self._words[at + 3] = seq + 1
        self._words[at + 2] = ((before >> _INDEX_BITS) + 1 << _INDEX_BITS) | index
        return self[index]


def size_for(size: int) -> int:
    """Return the size of a slot for so many bytes: whole pages, at most a quarter more.

    There are few different sizes, so that a slot fits again for arrays that are nearly as large.
    """
    pages = max(1, -(-size // PAGE_BYTES))
    step = 1 << max(0, pages.bit_length() - 3)
    return -(-pages // step) * step * PAGE_BYTES
