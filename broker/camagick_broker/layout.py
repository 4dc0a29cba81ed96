"""How an array lies in memory, as a message says: checked before anything is made of it. No I/O."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any, NamedTuple

from camagick_broker.arrays import KINDS, checked_dtype, checked_shape
from camagick_broker.wire import MAX_FRAME_BYTES

if TYPE_CHECKING:
    import numpy as np

#: Kinds of dtype that may lie there: text is left out, since every character has to be checked.
SLOT_KINDS = KINDS - {"U"}


class Layout(NamedTuple):
    """How an array lies in memory; `low` and `high` are where it begins and ends, in bytes."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    low: int
    high: int


@functools.lru_cache(maxsize=256)
def layout(dtype: str, shape: tuple[int, ...], strides: tuple[int, ...]) -> Layout:
    """Return how an array lies that is said to be so; it changes seldom.

    Raises
    ------
    ValueError, TypeError
        Where there can be none.
    """
    kind, sizes = checked_dtype(dtype), checked_shape(shape)
    if kind.kind not in SLOT_KINDS or not kind.itemsize:
        raise TypeError(f"dtype {kind} may not lie in shared memory")
    if len(strides) != len(sizes):
        raise TypeError(f"{strides!s:.80} are no strides of {len(sizes)} dimensions")
    for one in strides:
        if type(one) is not int or abs(one) >= 1 << 62:
            raise TypeError(f"{one!r:.40} is no stride")
    if not 0 < math.prod(sizes) * kind.itemsize <= MAX_FRAME_BYTES:
        raise ValueError(f"an array of {kind} {sizes!s:.80} in shared memory")
    return Layout(kind, sizes, strides, *span(sizes, strides, kind.itemsize))


@functools.lru_cache(maxsize=256)
def span(shape: tuple[int, ...], strides: tuple[int, ...], itemsize: int) -> tuple[int, int]:
    """Return how far an array reaches before and behind its first element, in bytes."""
    low, high = 0, itemsize
    for size, stride in zip(shape, strides, strict=True):
        if stride < 0:
            low += (size - 1) * stride
        else:
            high += (size - 1) * stride
    return low, high
