"""What stands behind a template, as the template says; checked, and nothing is made of it yet."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from camagick_broker.arrays import MAX_DIMENSIONS, checked_dtype, checked_shape
from camagick_broker.forms import (
    BUFFER,
    ELSEWHERE,
    INLINE,
    LOOSE,
    SCALARS,
    SIZE_CODE,
    SLOT,
    SLOT_CODE,
    VARYING,
    padding,
)  # fmt: skip

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np


class Holes:
    """What stands behind a template, in the order in which its entries speak of it.

    Each has its place in what is read, which begins with one item of `struct` for each.

    Attributes
    ----------
    codes
        How the numbers are packed; no bytes for what stands elsewhere.
    makes
        Places of numbers that are to be made into something else, and by what.
    inline, varying
        Arrays behind the numbers; of those whose shape varies, the number of dimensions.
    texts
        The places of those that hold text.
    buffers, slots, loose
        What is said of arrays in buffers, in shared memory, and the places of loose values.
    """

    def __init__(self) -> None:
        self.codes: list[str] = []
        self.makes: list[tuple[int, Callable[[Any], Any]]] = []
        self.inline: list[tuple[int, tuple[int, ...], np.dtype[Any]]] = []
        self.varying: list[tuple[int, int, np.dtype[Any]]] = []
        self.texts: list[int] = []
        self.buffers: list[tuple[int, np.dtype[Any], tuple[int, ...]]] = []
        self.slots: list[tuple[int, str, Sequence[int], Sequence[int]]] = []
        self.loose: list[int] = []
        self._count = 0

    def add(self, form: Any) -> int:
        """Add what a template says of a value; return the place of that.

        Raises
        ------
        ValueError, TypeError
            For what is no form.
        """
        at, self._count = self._count, self._count + 1
        if isinstance(form, str) and form in SCALARS:
            code, make = SCALARS[form]
            self.codes.append(code)
            if make is not None:
                self.makes.append((at, make))
            return at
        if isinstance(form, list) and form and form[0] == SLOT:
            self._slot(at, *form[1:])
            return at
        self.codes.append(ELSEWHERE)
        if form == LOOSE:
            self.loose.append(at)
        elif form == [None]:
            self.makes.append((at, _nothing))
        elif isinstance(form, list) and len(form) == 3:
            self._array(at, *form)
        else:
            raise ValueError(f"{form!r:.40} is nothing that a value can be")
        return at

    def _slot(self, at: int, dtype: Any, shape: Any, strides: Any) -> None:
        self.codes.append(SLOT_CODE)
        self._count = at + len(SLOT_CODE)
        self.slots.append((at, checked_dtype(dtype).str, checked_shape(shape), strides))
        if not isinstance(strides, list) or any(type(stride) is not int for stride in strides):
            raise TypeError(f"{strides!r:.40} are no strides")

    def _array(self, at: int, how: Any, dtype: Any, shape: Any) -> None:
        kind = checked_dtype(dtype)
        if type(how) is not int or how not in (INLINE, VARYING, BUFFER):
            raise ValueError(f"{how!r:.40} is not where an array can be")
        if how == BUFFER:
            self.buffers.append((at, kind, checked_shape(shape)))
            return
        if how == INLINE:
            self.inline.append((at, checked_shape(shape), kind))
        elif type(shape) is int and 0 <= shape <= MAX_DIMENSIONS:
            self.varying.append((at, shape, kind))
            self.codes.append(SIZE_CODE * shape)
            self._count += shape
        else:
            raise TypeError(f"{shape!r:.40} is no number of dimensions")
        if kind.kind == "U":
            self.texts.append(at)

    def arrays_from(self, offset: int) -> tuple[list[tuple[int, Any, np.dtype[Any], int]], int]:
        """Return where each inline array lies, from `offset` on, and where the last one ends."""
        found = []
        for at, shape, dtype in self.inline:
            found.append((at, shape, dtype, offset))
            size = math.prod(shape) * dtype.itemsize
            offset += size + padding(size)
        return found, offset


def _nothing(_: bytes) -> None:
    return None
