"""The frames of a stored array, one after the other, read in pieces of a good size."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from camagick.tools.arrayfile import Empty, StoredArray
    from camagick.tools.innerpath import Axis, Inner

#: Bytes that are read at least in one go, where frames are smaller.
_PIECE = 2**20
#: Frames in one go at most, and bytes where chunks of the file are larger.
_MOST, _LARGEST = 4096, 2**26


class FrameSeries:
    """What lies along the first axis of an array, or of the part of it that is selected.

    Parameters
    ----------
    array
        The array.
    inner
        Which part of it.

    Attributes
    ----------
    array
        The same.
    """

    def __init__(self, array: StoredArray, inner: Inner) -> None:
        self.array = array
        axes = inner.axes(array.shape)
        place = next((at for at, axis in enumerate(axes) if isinstance(axis, range)), None)
        self._before: list[Axis] = axes if place is None else axes[:place]
        self._frames = None if place is None else _range(axes[place])
        self._after = [] if place is None else [_cut(axis) for axis in axes[place + 1 :]]
        shape = [len(axis) for axis in axes[(place or 0) + 1 :] if isinstance(axis, range)]
        self._shape = () if place is None else tuple(shape)
        # Texts are long or short, nobody knows.
        size = 64 if array.is_text else array.dtype.itemsize
        self._bytes = math.prod(self._shape) * size
        self._each = self._frames_a_piece() if place == 0 else self._few()
        self._first, self._piece = -1, np.empty(0)

    def __len__(self) -> int:
        return 0 if self._frames is None else len(self._frames)

    @property
    def is_constant(self) -> bool:
        """Whether it is a single value, and no series."""
        return self._frames is None

    def frame(self, number: int, empty: Empty) -> Any:
        """Return a frame; it belongs to the caller."""
        if self._frames is None:
            return self.whole(empty)
        if self._each == 1:
            return self._given(self._read(self._frames[number], empty))
        first = number - number % self._each
        if first != self._first:
            chosen = self._frames[first : min(first + self._each, len(self._frames))]
            self._piece, self._first = self._read(_cut(chosen), np.empty), first
        row = self._piece[number - first]
        if not self._shape:
            return str(row) if self.array.is_text else row
        if self.array.is_text:
            return row.copy()
        made = empty(row.shape, row.dtype)
        made[...] = row
        return made

    def whole(self, empty: Empty) -> Any:
        """Return all that is selected."""
        if self._frames is None:
            index = tuple(_cut(axis) for axis in self._before)
            return self._given(self.array.read(index, empty))
        return self._given(self._read(_cut(self._frames), empty))

    def numbers(self, first: int, last: int) -> np.ndarray[Any, Any]:
        """Return frames as an array of 64-bit numbers: times, for example."""
        if self._frames is None or self.array.is_text:
            return np.empty(0)
        chosen = self._frames[first:last]
        return np.asarray(self._read(_cut(chosen), np.empty), float).reshape(len(chosen), -1)[:, 0]

    def _read(self, where: int | slice, empty: Empty) -> Any:
        before = tuple(axis for axis in self._before if isinstance(axis, int))
        return self.array.read((*before, where, *self._after), empty)

    def _given(self, value: Any) -> Any:
        if np.ndim(value) == 0:
            return str(value) if self.array.is_text else np.asarray(value)[()]
        return value

    def _few(self) -> int:
        return max(1, min(_MOST, _PIECE // max(1, self._bytes)))

    def _frames_a_piece(self) -> int:
        """Return how many frames to read at once: whole chunks, of about `_PIECE` or more."""
        chunk = self.array.chunk
        if chunk > 1 and chunk * self._bytes > _LARGEST:
            return max(1, _LARGEST // self._bytes)
        few = self._few()
        return few if chunk <= 1 or (few == 1 and chunk == 1) else chunk * max(1, few // chunk)


def _range(axis: Axis) -> range:
    return axis if isinstance(axis, range) else range(axis, axis + 1)


def _cut(axis: Axis) -> int | slice:
    if isinstance(axis, int):
        return axis
    # An empty range stays one, whatever its ends are.
    return slice(axis.start, axis[-1] + 1, axis.step) if axis else slice(0, 0, 1)
