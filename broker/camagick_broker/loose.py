"""Values that have no place in a template: written and read as msgpack. No I/O.

That is text, bytes, complex numbers, lists, dictionaries, tuples, and the arrays in them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgpack
import msgpack_numpy
import numpy as np

from camagick_broker.arrays import (
    BUFFER_BYTES,
    KINDS,
    MAX_DEPTH,
    MAX_EXTENSION_BYTES,
    SLOT_BYTES,
    TUPLE,
    as_buffer,
    numpy_or_map,
    sendable,
    view,
)  # fmt: skip
from camagick_broker.forms import BUFFER, SLOT

#: Given an array that lies in shared memory, in whatever order, or one in C order that it copies
#: there, returns (segment, generation, offset in bytes of the element [0, ..., 0]); the array there
#: has the strides of the one given. None for what has to travel.
Place = Callable[[np.ndarray], "tuple[int, int, int] | None"]
#: Given [segment, generation, offset, dtype, shape, strides], returns the array.
SlotReader = Callable[[Sequence[Any]], np.ndarray]


def placed(array: np.ndarray, place: Place) -> tuple[tuple[int, int, int] | None, tuple[int, ...]]:
    """Return what `place` says of an array, and the strides it has there."""
    slot = place(array)
    if slot is None and not array.flags.c_contiguous:
        array = np.ascontiguousarray(array)
        slot = place(array)
    return slot, array.strides


class LooseWriter:
    """Writes loose values; not for several threads at a time."""

    def __init__(self, place: Place | None) -> None:
        self._place = place
        self._buffers: list[np.ndarray] = []
        self._depth = 0
        # One packer for all messages: each new one would allocate its buffer anew.
        self._packer = msgpack.Packer(default=self._special, strict_types=True)

    def __call__(self, values: list[Any], buffers: list[np.ndarray]) -> bytes:
        """Write values; large arrays in them are added to `buffers`.

        Raises
        ------
        TypeError, ValueError, OverflowError, RecursionError
            For what cannot travel.
        """
        self._buffers, self._depth = buffers, 0
        try:
            return bytes(self._packer.pack(values))
        except BaseException:
            self._packer.reset()
            raise

    def _special(self, value: Any) -> Any:
        if isinstance(value, np.ndarray):
            return self._array(sendable(value))
        if isinstance(value, np.generic):
            return _scalar(value)
        if isinstance(value, complex):
            return msgpack_numpy.encode(complex(value))
        if isinstance(value, tuple):
            return msgpack.ExtType(TUPLE, self._nested(list(value)))
        for plain in _PLAIN:  # what derives from them
            if isinstance(value, plain):
                return plain(value)
        raise TypeError(
            f"{type(value).__name__}; numbers, text, arrays, lists and dictionaries of those can"
        )

    def _array(self, array: np.ndarray) -> Any:
        if self._place is not None and array.nbytes >= SLOT_BYTES:
            slot, strides = placed(array, self._place)
            if slot is not None:
                content = [*slot, array.dtype.str, list(array.shape), list(strides)]
                return msgpack.ExtType(SLOT, self._nested(content))
        array = np.asarray(array, order="C")
        if array.nbytes < BUFFER_BYTES:
            small = msgpack_numpy.encode(array.view("i8") if array.dtype.kind in "mM" else array)
            small[b"type"] = array.dtype.str
            small[b"shape"] = list(array.shape)
            return small
        self._buffers.append(as_buffer(array))
        content = [len(self._buffers) - 1, array.dtype.str, list(array.shape)]
        return msgpack.ExtType(BUFFER, self._nested(content))

    def _nested(self, value: Any) -> bytes:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ValueError(f"tuples in tuples, more than {MAX_DEPTH} deep")
        packer = msgpack.Packer(default=self._special, strict_types=True, buf_size=1024)
        packed = bytes(packer.pack(value))
        self._depth -= 1
        if len(packed) > MAX_EXTENSION_BYTES:
            raise ValueError(f"a tuple of {len(packed)} bytes; up to {MAX_EXTENSION_BYTES} can")
        return packed


class LooseReader:
    """Reads the loose values of one body.

    Parameters
    ----------
    buffers
        The raw buffers behind it.
    slots
        Reads arrays that lie in shared memory; None where there is none.
    used
        How many of the first buffers have been spoken of already.
    """

    def __init__(self, buffers: Sequence[Any], slots: SlotReader | None, used: int) -> None:
        self._buffers = buffers
        self._slots = slots
        self._depth = 0
        self._used = set(range(used))

    def __call__(self, packed: Any, count: int) -> list[Any]:
        """Return the values, after checking that there are `count`, and who speaks of which buffer.

        Raises
        ------
        ValueError, TypeError, RecursionError, msgpack.UnpackException
            For anything else.
        """
        found = self._read(packed) if count else []
        if not isinstance(found, list) or len(found) != count:
            raise ValueError(f"not a list of the {count} values that the template speaks of")
        if len(self._used) != len(self._buffers):
            raise ValueError(f"{len(self._buffers)} buffers, {len(self._used)} are spoken of")
        return found

    def _read(self, packed: Any) -> Any:
        return msgpack.unpackb(
            packed, ext_hook=self._extension, object_hook=numpy_or_map, strict_map_key=False,
            max_ext_len=MAX_EXTENSION_BYTES,
        )  # fmt: skip

    def _extension(self, code: int, data: bytes) -> Any:
        self._depth += 1
        if self._depth > MAX_DEPTH:  # each level takes 40 KiB of the C stack
            raise ValueError(f"extensions in extensions, more than {MAX_DEPTH} deep")
        content = self._read(data)
        self._depth -= 1
        if not isinstance(content, list):
            raise TypeError("an extension that is no list")
        if code == TUPLE:
            return tuple(content)
        if code == BUFFER and len(content) == 3:
            index, dtype, shape = content
            return view(self._buffers[self._index(index)], dtype, shape)
        if code == SLOT and self._slots is not None:
            return self._slots(content)
        raise ValueError(f"extension {code} is not known here")

    def _index(self, index: Any) -> int:
        if type(index) is not int or not 0 <= index < len(self._buffers):
            raise ValueError(f"buffer {index!r:.40} of {len(self._buffers)}")
        self._used.add(index)
        return index


def _scalar(value: np.generic | np.ndarray) -> dict[bytes, Any]:
    if value.dtype.kind not in KINDS:
        raise TypeError(f"a numpy scalar of dtype {value.dtype}; numbers, text and times can")
    if not value.dtype.itemsize:  # text of no length: numpy itself makes it one character
        value = np.zeros((), f"{value.dtype.kind}1")
    return {b"nd": False, b"type": value.dtype.str, b"data": value.tobytes()}


_PLAIN: tuple[type[Any], ...] = (str, bytes, bool, int, float, list, dict)
