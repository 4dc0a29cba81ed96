"""Values to bytes and back: msgpack for what is small, raw buffers for large arrays. No I/O.

The body of a data message is the msgpack array ``[lineage, context, data]``, where the last two are
lists of entries ``[tag, maker, origin, attributes, value]`` (`origin` is nil where it is the tag,
`attributes` is nil where there are none). numpy scalars and small arrays are written by
msgpack-numpy; beside msgpack's own types there are these extensions:

=====  ===================================================================================
code   content (msgpack)
=====  ===================================================================================
1      tuple: its items as an array
2      array in a raw buffer: ``[index, dtype, shape]``
3      array in shared memory: ``[segment, generation, offset, dtype, shape, strides]``
=====  ===================================================================================

Nothing is ever unpickled: object and structured dtypes are refused at both ends.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgpack
import msgpack_numpy
import numpy as np

from camagick_broker.errors import LocalProtocolError, RemoteProtocolError

#: Arrays from this size on, in bytes, travel as buffers of their own.
BUFFER_BYTES = 16384
MAX_DIMENSIONS = 32
TUPLE, BUFFER, SLOT = 1, 2, 3

Buffer = Any  # anything with the buffer protocol: bytes, memoryview, an array
#: Given [segment, generation, offset, dtype, shape, strides], returns the array.
SlotReader = Callable[[Sequence[Any]], np.ndarray]


class Entry(NamedTuple):
    """One tag of a message."""

    tag: str
    maker: int
    origin: str | None
    attributes: Mapping[str, Any] | None
    value: Any


class Body(NamedTuple):
    """What a data message carries.

    Attributes
    ----------
    lineage
        Which attempt of which actor, by its number, this descends from; only what is not 1.
    context, data
        The entries.
    """

    lineage: Mapping[int, int]
    context: Sequence[Entry]
    data: Sequence[Entry]


class Encoder:
    """Writes bodies, one after the other; not for several threads at a time."""

    def __init__(self) -> None:
        self._buffers: list[np.ndarray] = []
        # One packer for all messages: each new one would allocate its buffer anew.
        self._packer = msgpack.Packer(default=self._special, strict_types=True)

    def __call__(
        self, lineage: Mapping[int, int], context: Iterable[Any], data: Iterable[Any]
    ) -> tuple[bytes, list[np.ndarray]]:
        """Write a body.

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
        try:
            body = self._packer.pack([lineage, context, data])
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            self._packer.reset()
            raise LocalProtocolError(f"a value cannot travel: {error}") from None
        return body, self._buffers

    def _special(self, value: Any) -> Any:
        if isinstance(value, np.ndarray):
            return self._array(value)
        if isinstance(value, (np.number, np.bool_, complex)):
            return msgpack_numpy.encode(value)
        if isinstance(value, tuple):
            return msgpack.ExtType(TUPLE, self._nested(list(value)))
        for plain in (str, bytes, bool, int, float, list, dict):  # what derives from them
            if isinstance(value, plain):
                return plain(value)
        raise TypeError(
            f"{type(value).__name__}; numbers, text, arrays, and lists and dictionaries of those can"
        )

    def _array(self, array: np.ndarray) -> Any:
        kind = array.dtype.kind
        if kind not in _KINDS:
            raise TypeError(f"an array of dtype {array.dtype}; numbers, text and times can")
        array = array if array.flags.c_contiguous else np.ascontiguousarray(array)
        if array.nbytes < BUFFER_BYTES and kind not in "mM":  # times have no buffer protocol
            return msgpack_numpy.encode(array)
        self._buffers.append(array.reshape(-1).view(np.uint8))
        content = [len(self._buffers) - 1, array.dtype.str, list(array.shape)]
        return msgpack.ExtType(BUFFER, self._nested(content))

    def _nested(self, value: Any) -> bytes:
        packer = msgpack.Packer(default=self._special, strict_types=True, buf_size=1024)
        return bytes(packer.pack(value))


def decode(body: Buffer, buffers: Sequence[Buffer], slots: SlotReader | None = None) -> Body:
    """Read a body.

    Parameters
    ----------
    body
        The msgpack part.
    buffers
        The raw buffers behind it; arrays become read-only views into them.
    slots
        Reads arrays that lie in shared memory; None where there is none.

    Raises
    ------
    RemoteProtocolError
        For anything that is not exactly a body with these buffers.
    """

    def ext_hook(code: int, data: bytes) -> Any:
        content = msgpack.unpackb(data, **options)
        if not isinstance(content, list):
            raise ValueError("an extension that is no list")
        if code == TUPLE:
            return tuple(content)
        if code == BUFFER and len(content) == 3:
            index, dtype, shape = content
            return view(buffers[_index(index, len(buffers))], dtype, shape)
        if code == SLOT and slots is not None:
            return slots(content)
        raise ValueError(f"extension {code} is not known here")

    options = {
        "ext_hook": ext_hook, "object_hook": _object_hook, "strict_map_key": False,
        "max_ext_len": MAX_EXTENSION_BYTES,
    }  # fmt: skip
    try:
        return _body(msgpack.unpackb(body, **options))
    except (ValueError, TypeError, KeyError, IndexError, RecursionError, msgpack.UnpackException,
            BufferError, OverflowError, MemoryError) as error:  # fmt: skip
        raise RemoteProtocolError(f"unreadable body: {error or type(error).__name__}") from None


#: Nested extensions hold descriptions and tuples of small values only.
MAX_EXTENSION_BYTES = 1 << 26
_KINDS = frozenset("biufcSUmM")


def _body(content: Any) -> Body:
    if not isinstance(content, list) or len(content) != 3:
        raise ValueError("not [lineage, context, data]")
    lineage, context, data = content
    if not isinstance(lineage, dict):
        raise TypeError("lineage is no map")
    return Body(lineage, [_entry(item) for item in context], [_entry(item) for item in data])


def _entry(item: Any) -> Entry:
    tag, maker, origin, attributes, value = item
    if not (
        isinstance(tag, str)
        and isinstance(maker, int)
        and (origin is None or isinstance(origin, str))
        and (attributes is None or isinstance(attributes, dict))
    ):
        raise TypeError("an entry is not [tag, maker, origin, attributes, value]")
    return Entry(tag, maker, origin, attributes, value)


def _index(index: Any, length: int) -> int:
    if not isinstance(index, int) or not 0 <= index < length:
        raise ValueError(f"buffer {index!r} of {length}")
    return index


def view(buffer: Buffer, dtype: Any, shape: Any) -> np.ndarray:
    """Return a read-only array over `buffer`, after checking that it fits exactly.

    Raises
    ------
    ValueError, TypeError
        Where dtype or shape are not allowed, or do not fit the buffer's length.
    """
    kind = checked_dtype(dtype)
    sizes = checked_shape(shape)
    flat = memoryview(buffer).cast("B") if not isinstance(buffer, bytes) else buffer
    if math.prod(sizes) * kind.itemsize != len(flat):
        raise ValueError(f"{len(flat)} bytes are no array of {kind} {sizes}")
    array = np.ndarray(sizes, kind, flat) if len(flat) else np.empty(sizes, kind)
    array.flags.writeable = False
    return array


def checked_dtype(text: Any) -> np.dtype[Any]:
    """Return the dtype called `text`, refusing what could hold objects or structures."""
    if isinstance(text, bytes):
        text = text.decode("ascii")
    if not isinstance(text, str) or len(text) > 32:
        raise TypeError(f"{text!r:.40} is no dtype")
    kind = np.dtype(text)
    if kind.kind not in _KINDS or kind.hasobject:
        raise TypeError(f"dtype {text} may not travel")
    return kind


def checked_shape(shape: Any) -> tuple[int, ...]:
    """Return `shape` as a tuple of sizes."""
    if not isinstance(shape, (list, tuple)) or len(shape) > MAX_DIMENSIONS:
        raise TypeError(f"{shape!r:.40} is no shape")
    for size in shape:
        if not isinstance(size, int) or isinstance(size, bool) or size < 0:
            raise TypeError(f"{size!r:.40} is no size")
    return tuple(shape)


def _object_hook(content: dict[Any, Any]) -> Any:
    if b"nd" in content:
        return _small_array(content)
    if b"complex" in content:
        return complex(content[b"data"])
    return content


def _small_array(content: dict[Any, Any]) -> Any:
    """Check what msgpack-numpy wrote before msgpack-numpy reads it: it would unpickle objects."""
    kind = checked_dtype(content[b"type"])
    data = content[b"data"]
    if not isinstance(data, bytes):
        raise TypeError("array data that are no bytes")
    if content[b"nd"] is True:
        return view(data, kind.str, content[b"shape"])
    if len(data) != kind.itemsize or not data:
        raise ValueError(f"{len(data)} bytes are no {kind}")
    return msgpack_numpy.decode({b"nd": False, b"type": kind.str, b"data": data})
