"""Arrays out of bytes that a peer sent: nothing is made before everything has been checked."""

from __future__ import annotations

import functools
import math
import re
from typing import Any

import msgpack_numpy
import numpy as np

from camagick_broker.wire import MAX_FRAME_BYTES

#: Arrays from this size on, in bytes, travel as buffers of their own: a frame more costs as much as
#: copying so much (measured: decisions/0013).
BUFFER_BYTES = 49152
#: Arrays from this size on, in bytes, lie in shared memory, where there is any.
SLOT_BYTES = 4096
MAX_DIMENSIONS = 32
#: Tuples may stand in one another this deep: each level is a message of its own to msgpack.
MAX_DEPTH = 16
#: Nested extensions hold descriptions and tuples of small values only.
MAX_EXTENSION_BYTES = 1 << 26
#: Extension of msgpack, see `camagick_broker.values`.
TUPLE = 1
#: Kinds of dtype that may travel: numbers, text, times; no objects, no structures.
KINDS = frozenset("biufcSUmM")
_DTYPE = re.compile(r"[<>|](?:[biufcSU][1-9][0-9]{0,9}|[mM]8(?:\[[0-9]{0,9}[A-Za-z]{1,2}\])?)")
_ARRAY_KEYS = frozenset((b"nd", b"type", b"kind", b"shape", b"data"))
_SCALAR_KEYS = frozenset((b"nd", b"type", b"data"))
_COMPLEX_KEYS = frozenset((b"complex", b"data"))
_MAX_CODE_POINT = 0x10FFFF


def sendable(array: np.ndarray) -> np.ndarray:
    """Return a plain array with the values of `array`, which may be of a class of its own.

    Raises
    ------
    TypeError
        Where values of that sort cannot travel.
    """
    kind = array.dtype.kind
    if kind not in KINDS or isinstance(array, np.ma.MaskedArray):
        what = "a masked array" if kind in KINDS else "an array"
        raise TypeError(f"{what} of dtype {array.dtype}; numbers, text and times can")
    if not array.dtype.itemsize:  # text of no length: numpy itself makes it one character
        array = array.astype(f"{kind}1")
    return np.asarray(array)


def as_buffer(array: np.ndarray) -> np.ndarray:
    """Return the bytes of an array; a view of it where it lies in one piece.

    Raises
    ------
    ValueError
        Where it is too large for one frame.
    """
    if array.nbytes > MAX_FRAME_BYTES:
        raise ValueError(f"an array of {array.nbytes} bytes; up to {MAX_FRAME_BYTES} can")
    return np.asarray(array, order="C").reshape(-1).view(np.uint8)


def view(buffer: Any, dtype: Any, shape: Any) -> np.ndarray:
    """Return a read-only array over `buffer`, after checking that it fits exactly.

    Raises
    ------
    ValueError, TypeError
        Where dtype or shape are not allowed, or do not fit the buffer's length.
    """
    return checked_view(buffer, checked_dtype(dtype), checked_shape(shape))


def checked_view(buffer: Any, kind: np.dtype[Any], sizes: tuple[int, ...]) -> np.ndarray:
    """Return what `view` does, where dtype and shape were checked before."""
    flat = memoryview(buffer)
    if math.prod(sizes) * kind.itemsize != flat.nbytes:
        raise ValueError(f"{flat.nbytes} bytes are no array of {kind} {sizes!s:.80}")
    array = np.ndarray(sizes, kind, flat) if flat.nbytes else np.empty(sizes, kind)
    if kind.kind == "U":
        check_text(array)
    array.flags.writeable = False
    return array


def checked_dtype(text: Any) -> np.dtype[Any]:
    """Return the dtype called `text`, refusing what could hold objects or structures.

    Raises
    ------
    ValueError, TypeError
        For what is not spelled as numpy spells the dtype of an array that may travel.
    """
    if isinstance(text, bytes):
        text = text.decode("ascii")
    if not isinstance(text, str):
        raise TypeError(f"{text!r:.40} is no dtype")
    return _dtype(text)


@functools.lru_cache(maxsize=256)
def _dtype(text: str) -> np.dtype[Any]:
    if len(text) > 32 or not _DTYPE.fullmatch(text):
        raise TypeError(f"dtype {text[:40]!r} may not travel")
    return np.dtype(text)


def checked_shape(shape: Any) -> tuple[int, ...]:
    """Return `shape` as a tuple of sizes.

    Raises
    ------
    TypeError
        For anything but a short list of numbers from 0 on.
    """
    if not isinstance(shape, (list, tuple)) or len(shape) > MAX_DIMENSIONS:
        raise TypeError(f"{shape!r:.40} is no shape")
    for size in shape:
        if not isinstance(size, int) or isinstance(size, bool) or size < 0:
            raise TypeError(f"{size!r:.40} is no size")
    return tuple(shape)


def numpy_or_map(content: dict[Any, Any]) -> Any:
    """Read what msgpack-numpy wrote as a map; any other map is what it is.

    msgpack-numpy itself sees nothing that could make it unpickle.
    """
    if b"data" not in content:
        return content
    keys = content.keys()
    if keys == _ARRAY_KEYS and content[b"nd"] is True:
        if content[b"kind"] != b"":
            raise TypeError(f"an array of kind {content[b'kind']!r:.40} may not travel")
        return view(_bytes(content), content[b"type"], content[b"shape"])
    if keys == _SCALAR_KEYS and content[b"nd"] is False:
        return view(_bytes(content), content[b"type"], ())[()]
    if keys == _COMPLEX_KEYS and content[b"complex"] is True:
        text = content[b"data"]
        if not isinstance(text, str) or len(text) > 80:
            raise TypeError("a complex number that is no text")
        return msgpack_numpy.decode(content)
    return content


def _bytes(content: dict[Any, Any]) -> bytes:
    data = content[b"data"]
    if not isinstance(data, bytes):
        raise TypeError("array data that are no bytes")
    return data


def check_text(array: np.ndarray) -> None:
    """Refuse text that numpy could hold but nobody could read.

    Raises
    ------
    ValueError
        Where there is a character that does not exist.
    """
    points = array.reshape(-1).view(f"{array.dtype.byteorder.replace('|', '=')}u4")
    if points.size and points.max() > _MAX_CODE_POINT:
        raise ValueError("text with characters that do not exist")
