"""Bytes that stand over those of a file until they may be written into it."""

from __future__ import annotations

from bisect import bisect_right, insort
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Overlay:
    """Pieces of a file's content, none of which overlaps another.

    Attributes
    ----------
    size
        Bytes in all pieces.
    """

    def __init__(self) -> None:
        self.size = 0
        self._starts: list[int] = []
        # In the order in which they were put there last.
        self._pieces: dict[int, bytearray] = {}

    def __iter__(self) -> Iterator[tuple[int, bytearray]]:
        """Return start and content of each piece, the one that was put there last at the end."""
        return iter(self._pieces.items())

    def __len__(self) -> int:
        return len(self._pieces)

    def put(self, start: int, data: memoryview) -> None:
        """Lay a copy of `data` over the file at `start`, and over what was put there before."""
        end = start + len(data)
        below = self._overlapping(start, end)
        if not below:
            self._insert(start, bytearray(data))
            return
        low = min(start, below[0])
        high = max(end, below[-1] + len(self._pieces[below[-1]]))
        joined = bytearray(high - low)
        for old in below:
            piece = self._remove(old)
            joined[old - low : old - low + len(piece)] = piece
        joined[start - low : end - low] = data
        self._insert(low, joined)

    def apply(self, start: int, target: memoryview) -> None:
        """Overwrite `target`, which is the file's content from `start` on, with what is here."""
        end = start + len(target)
        for low in self._overlapping(start, end):
            piece = self._pieces[low]
            first, last = max(low, start), min(low + len(piece), end)
            target[first - start : last - start] = piece[first - low : last - low]

    def touches(self, start: int, length: int) -> bool:
        """Tell whether something is here of `length` bytes from `start` on."""
        return bool(self._overlapping(start, start + length))

    def clear(self) -> None:
        """Forget everything."""
        self.size = 0
        self._starts.clear()
        self._pieces.clear()

    def _overlapping(self, start: int, end: int) -> list[int]:
        if not self._starts:
            return []
        first = bisect_right(self._starts, start) - 1
        if first < 0 or self._starts[first] + len(self._pieces[self._starts[first]]) <= start:
            first += 1
        last = first
        while last < len(self._starts) and self._starts[last] < end:
            last += 1
        return self._starts[first:last]

    def _insert(self, start: int, piece: bytearray) -> None:
        insort(self._starts, start)
        self._pieces[start] = piece
        self.size += len(piece)

    def _remove(self, start: int) -> bytearray:
        del self._starts[bisect_right(self._starts, start) - 1]
        piece = self._pieces.pop(start)
        self.size -= len(piece)
        return piece
