"""From a stream of bytes to arrays: raw frames, and npy."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from camagick.tools.decoders import BadFormat, Unreadable, shown
from camagick.tools.numbers import is_integer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from camagick.tools.reservoir import Reservoir

    Empty = Callable[[Sequence[int], Any], np.ndarray]

#: An array in npy may be so large.
NPY_BYTES = 1 << 32
_NPY_HEAD_BYTES = 65536
_KINDS = "biufc"


class Frame(NamedTuple):
    """An array that still lies in the reservoir.

    Attributes
    ----------
    ring, start
        Where.
    dtype, shape
        Of what type and shape it is.
    fortran
        Its first index changes fastest.
    """

    ring: Reservoir
    start: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    fortran: bool = False

    def read(self, empty: Empty) -> np.ndarray:
        """Return it in the machine's byte order, in an array from `empty`."""
        native = self.dtype.newbyteorder("=")
        make, shape = (np.empty, self.shape[::-1]) if self.fortran else (empty, self.shape)
        array = np.asarray(make(shape, native))
        if array.nbytes:
            self.ring.copy_to(self.start, array.reshape(-1).view(np.uint8).data)
        if self.dtype != native:
            array.byteswap(inplace=True)
        return np.ascontiguousarray(array.transpose()) if self.fortran else array


class Raw:
    """Frames of one dtype and shape, one behind the other, in C order.

    Parameters
    ----------
    tag, dtype, shape
        What they are.
    skip
        Bytes before the first.
    """

    noun = "frame"

    def __init__(self, tag: str, dtype: np.dtype[Any], shape: tuple[int, ...], skip: int) -> None:
        self._tag, self._dtype, self._shape, self._skip = tag, dtype, shape, skip
        self._size = dtype.itemsize * math.prod(shape)
        self._skipped = not skip
        self.most = max(self._size, skip)

    def find(self, ring: Reservoir, start: int, *, ended: bool) -> int | None:
        size = self._size if self._skipped else self._skip
        have = ring.end - start
        if have < size:
            if ended and have:
                raise Unreadable(f"ends after {have} bytes of {size}", fatal=True)
            return None
        return start + size

    def decode(self, ring: Reservoir, start: int, stop: int) -> Mapping[str, Any] | None:
        if not self._skipped:
            self._skipped = True
            return None
        return {self._tag: Frame(ring, start, self._dtype, self._shape)}

    def restart(self) -> None:
        self._skipped = not self._skip

    def remember(self) -> Mapping[str, Any]:
        return {"skipped": self._skipped}

    def recall(self, known: Mapping[str, Any]) -> None:
        self._skipped = bool(known["skipped"])


class Npy:
    """Arrays as `numpy.save` writes them, one behind the other; each may have another shape."""

    noun = "array"
    most = NPY_BYTES

    def __init__(self, tag: str) -> None:
        self._tag = tag
        self._head: tuple[int, int, tuple[int, ...], bool, np.dtype[Any]] | None = None

    def find(self, ring: Reservoir, start: int, *, ended: bool) -> int | None:
        if self._head is None or self._head[0] != start:
            self._head = self._read_head(ring, start, ended=ended)
        have = ring.end - start
        if self._head is not None:
            _, offset, shape, _, dtype = self._head
            size = offset + dtype.itemsize * math.prod(shape)
            if size > self.most:
                raise Unreadable(f"is said to have {size} bytes: too many", fatal=True)
            if have >= size:
                return start + size
        if ended and have:
            raise Unreadable(f"ends after {have} bytes", fatal=True)
        return None

    def _read_head(self, ring: Reservoir, start: int, *, ended: bool) -> Any:
        from numpy.lib import format as npy

        content = ring.copy(start, min(ring.end, start + _NPY_HEAD_BYTES))
        magic = npy.MAGIC_PREFIX
        if content[: len(magic)] != magic[: len(content)]:
            raise Unreadable(f"does not begin as npy does: {shown(content)}", fatal=True)
        if len(content) < 12:
            return None
        major = content[6]
        size = 10 + int.from_bytes(content[8:10], "little") if major == 1 else (
            12 + int.from_bytes(content[8:12], "little")
        )  # fmt: skip
        if len(content) < size <= _NPY_HEAD_BYTES:
            return None
        read = {1: npy.read_array_header_1_0, 2: npy.read_array_header_2_0}.get(major)
        stream = io.BytesIO(content[8:size])
        if read is None or size > _NPY_HEAD_BYTES:
            raise Unreadable(f"has a header of version {major} and {size} bytes", fatal=True)
        try:
            shape, fortran, dtype = read(stream)
        except ValueError as error:
            text = " ".join(str(error).split())
            raise Unreadable(f"has a header that nobody understands: {text}", fatal=True) from None
        if dtype.kind not in f"{_KINDS}USmM":
            raise Unreadable(f"has dtype {dtype}; numbers, text and times can be read", fatal=True)
        return start, size, shape, fortran, dtype

    def decode(self, ring: Reservoir, start: int, stop: int) -> Mapping[str, Any] | None:
        if self._head is None:
            raise RuntimeError("decode without find")
        _, offset, shape, fortran, dtype = self._head
        return {self._tag: Frame(ring, start + offset, dtype, shape, fortran)}

    def restart(self) -> None:
        self._head = None

    def remember(self) -> Mapping[str, Any]:
        return {}

    def recall(self, known: Mapping[str, Any]) -> None:
        pass


def checked_dtype(text: str) -> np.dtype[Any]:
    """Return a dtype of numbers.

    Raises
    ------
    BadFormat
        For anything else.
    """
    try:
        dtype = np.dtype(text)
    except (TypeError, ValueError, SyntaxError):
        dtype = np.dtype(object)
    if dtype.kind not in _KINDS or dtype.names or dtype.subdtype:
        raise BadFormat(f"dtype={text} is no type of numbers as float64, uint16, >i4")
    return dtype


def checked_shape(shape: Any) -> tuple[int, ...]:
    """Return a shape of at least one element.

    Raises
    ------
    BadFormat
        For anything else.
    """
    sizes = tuple(shape) if isinstance(shape, (tuple, list)) else (shape,)
    if not all(is_integer(size, 1) for size in sizes):
        raise BadFormat(f"shape={shape!r} is no shape such as shape=64,32")
    return tuple(int(size) for size in sizes)
