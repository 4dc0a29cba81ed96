"""Values to bytes, see `camagick_broker.values`. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgpack
import msgpack_numpy
import numpy as np

from camagick_broker.arrays import (
    BUFFER,
    BUFFER_BYTES,
    KINDS,
    MAX_DEPTH,
    MAX_EXTENSION_BYTES,
    SLOT,
    SLOT_BYTES,
    TUPLE,
)
from camagick_broker.errors import LocalProtocolError
from camagick_broker.wire import MAX_FRAME_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Place = Callable[[np.ndarray], "tuple[int, int, int] | None"]


class Encoder:
    """Writes bodies, one after the other; not for several threads at a time.

    Parameters
    ----------
    place
        Returns (segment, generation, offset in bytes) of an array that lies in shared memory, or
        was copied there; the offset is that of its element [0, ..., 0], its strides there are
        those that it has. None for one that has to travel. Asked for arrays from `SLOT_BYTES` on.
    """

    def __init__(self, place: Place | None = None) -> None:
        self._place = place
        self._buffers: list[np.ndarray] = []
        self._depth = 0
        # One packer for all messages: each new one would allocate its buffer anew.
        self._packer = msgpack.Packer(default=self._special, strict_types=True)

    def __call__(
        self, lineage: Mapping[int, int], context: Sequence[Any], data: Sequence[Any]
    ) -> tuple[bytes, list[np.ndarray]]:
        """Write a body.

        Parameters
        ----------
        lineage
            See `camagick_broker.reader.Body`.
        context, data
            Entries ``[tag, maker, origin, attributes, value]``.

        Returns
        -------
        (bytes, list of numpy.ndarray)
            The body, and the bytes of the large arrays to be sent behind it, not copied.

        Raises
        ------
        LocalProtocolError
            For a value that cannot travel; names its type.
        """
        self._buffers = []
        self._depth = 0
        try:
            _check(context)
            _check(data)
            body = self._packer.pack([lineage, context, data])
        except (TypeError, ValueError, OverflowError, RecursionError, BufferError) as error:
            self._packer.reset()
            raise LocalProtocolError(f"a value cannot travel: {error}") from None
        return body, self._buffers

    def _special(self, value: Any) -> Any:
        if isinstance(value, np.ndarray):
            return self._array(value)
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
        kind = array.dtype.kind
        if kind not in KINDS or isinstance(array, np.ma.MaskedArray):
            what = "a masked array" if kind in KINDS else "an array"
            raise TypeError(f"{what} of dtype {array.dtype}; numbers, text and times can")
        if not array.dtype.itemsize:  # text of no length: numpy itself makes it one character
            array = array.astype(f"{kind}1")
        if self._place is not None and array.nbytes >= SLOT_BYTES:
            slot = self._place(array)
            if slot is not None:
                content = [*slot, array.dtype.str, list(array.shape), list(array.strides)]
                return msgpack.ExtType(SLOT, self._nested(content))
        array = np.asarray(array, order="C")
        if array.nbytes < BUFFER_BYTES:
            content = msgpack_numpy.encode(array.view("i8") if kind in "mM" else array)
            content[b"type"] = array.dtype.str
            content[b"shape"] = list(array.shape)
            return content
        if array.nbytes > MAX_FRAME_BYTES:
            raise ValueError(f"an array of {array.nbytes} bytes; up to {MAX_FRAME_BYTES} can")
        self._buffers.append(array.reshape(-1).view(np.uint8))
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


def _check(entries: Sequence[Any]) -> None:
    """Refuse here what the receiver would refuse."""
    for tag, _, _, attributes, _ in entries:
        if not isinstance(tag, str):
            raise TypeError(f"a tag that is no text: {tag!r:.40}")
        if attributes and not all(isinstance(key, str) for key in attributes):
            raise TypeError(f"an attribute of {tag} whose name is no text")


def _scalar(value: np.generic | np.ndarray) -> dict[bytes, Any]:
    if value.dtype.kind not in KINDS:
        raise TypeError(f"a numpy scalar of dtype {value.dtype}; numbers, text and times can")
    if not value.dtype.itemsize:  # text of no length: numpy itself makes it one character
        value = np.zeros((), f"{value.dtype.kind}1")
    return {b"nd": False, b"type": value.dtype.str, b"data": value.tobytes()}


_PLAIN: tuple[type[Any], ...] = (str, bytes, bool, int, float, list, dict)
