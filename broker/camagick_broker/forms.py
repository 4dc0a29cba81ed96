"""The words of a template: how each value is written behind it, see `camagick_broker.values`."""

from __future__ import annotations

import functools
import struct
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

#: A value that is written as msgpack: whatever is neither a number nor an array.
LOOSE = "loose"
#: Where an array lies: behind the numbers, there with its shape among the numbers, in a raw buffer,
#: in shared memory.
INLINE, VARYING, BUFFER, SLOT = 0, 1, 2, 3
#: What stands among the numbers for a value that is elsewhere: nothing, but it has its place.
ELSEWHERE = "0s"
#: What stands among the numbers for an array in shared memory: segment, generation, offset.
SLOT_CODE = "QQQ"
#: What stands among the numbers for each dimension of an array whose shape varies.
SIZE_CODE = "Q"
#: Arrays begin at multiples of this, in bytes, counted from the beginning of the body.
ALIGNMENT = 8


class Scalar(NamedTuple):
    """How one type of numbers is written.

    Attributes
    ----------
    code
        In the words of `struct`.
    read
        Makes the number of what `struct` gives; None where that is the number.
    """

    code: str
    read: Callable[[Any], Any] | None


def _viewed(kind: Any) -> Callable[[bytes], Any]:
    """Return what makes a numpy scalar of its bytes: its very bits, whatever they say."""
    dtype = np.dtype(kind)
    return lambda data: np.ndarray((), dtype, data)[()]


#: numpy's numbers that `struct` knows, too.
_NATIVE = {
    np.int8: "b", np.uint8: "B", np.int16: "h", np.uint16: "H", np.int32: "i", np.uint32: "I",
    np.int64: "q", np.uint64: "Q", np.longlong: "q", np.ulonglong: "Q", np.bool_: "?",
    np.float64: "d",
}  # fmt: skip
#: And the others, which are written as their bytes.
BYTES: tuple[type[np.generic], ...] = (
    np.float16, np.float32, np.longdouble, np.complex64, np.complex128, np.clongdouble,
)  # fmt: skip
#: What a template says of a number of that type.
NAMES: dict[type[Any], str] = {
    float: "float",
    int: "int",
    bool: "bool",
    **{kind: np.dtype(kind).str for kind in (*_NATIVE, *BYTES)},
}
#: How what a template names is written.
SCALARS: dict[str, Scalar] = {
    "float": Scalar("d", None),
    "int": Scalar("q", None),
    "bool": Scalar("?", None),
    **{NAMES[kind]: Scalar(f"{np.dtype(kind).itemsize}s", _viewed(kind)) for kind in BYTES},
    **{NAMES[kind]: Scalar(code, np.dtype(NAMES[kind]).type) for kind, code in _NATIVE.items()},
}


#: Length of the template, which stands first in a body.
LENGTH = struct.Struct("<I")


def padding(size: int) -> int:
    """Return how many bytes are missing to the next place where an array may begin."""
    return -size % ALIGNMENT


def numbers(codes: str, *, arrays: bool) -> struct.Struct:
    """Return how numbers are written, and the padding behind them where arrays follow."""
    if len(codes) > _LONGEST_KEPT:
        return _numbers.__wrapped__(codes, arrays)
    return _numbers(codes, arrays)


@functools.lru_cache(maxsize=256)
def _numbers(codes: str, arrays: bool) -> struct.Struct:
    packed = struct.Struct(f"<{codes}")
    return struct.Struct(f"<{codes}{padding(packed.size)}x") if arrays else packed


_LONGEST_KEPT = 100
