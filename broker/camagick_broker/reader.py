"""Bytes to values, see `camagick_broker.values`. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgpack
import numpy as np

from camagick_broker.arrays import (
    BUFFER,
    MAX_DEPTH,
    MAX_EXTENSION_BYTES,
    SLOT,
    TUPLE,
    numpy_or_map,
    view,
)  # fmt: skip
from camagick_broker.errors import RemoteProtocolError

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


class _Reader:
    """Reads one body."""

    def __init__(self, buffers: Sequence[Buffer], slots: SlotReader | None) -> None:
        self._buffers = buffers
        self._slots = slots
        self._depth = 0
        self._used: set[int] = set()

    def body(self, packed: Any) -> Body:
        body = _body(self.read(packed))
        if len(self._used) != len(self._buffers):
            raise ValueError(f"{len(self._buffers)} buffers, {len(self._used)} are spoken of")
        return body

    def read(self, packed: Any) -> Any:
        return msgpack.unpackb(
            packed, ext_hook=self._extension, object_hook=numpy_or_map, strict_map_key=False,
            max_ext_len=MAX_EXTENSION_BYTES,
        )  # fmt: skip

    def _extension(self, code: int, data: bytes) -> Any:
        self._depth += 1
        if self._depth > MAX_DEPTH:  # each level takes 40 KiB of the C stack
            raise ValueError(f"extensions in extensions, more than {MAX_DEPTH} deep")
        content = self.read(data)
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
    reader = _Reader(buffers, slots)
    try:
        return reader.body(body)
    except (ValueError, TypeError, KeyError, IndexError, RecursionError, msgpack.UnpackException,
            BufferError, OverflowError, MemoryError) as error:  # fmt: skip
        text = str(error) or type(error).__name__
        raise RemoteProtocolError(f"unreadable body: {text:.200}") from None


def _body(content: Any) -> Body:
    if not isinstance(content, list) or len(content) != 3:
        raise ValueError("not [lineage, context, data]")
    lineage, context, data = content
    if not (isinstance(lineage, dict) and isinstance(context, list) and isinstance(data, list)):
        raise TypeError("lineage is no map, or context or data is no list")
    if not all(type(part) is int for pair in lineage.items() for part in pair):
        raise TypeError("lineage is not from number to number")
    return Body(lineage, [_entry(item) for item in context], [_entry(item) for item in data])


def _entry(item: Any) -> Entry:
    if not isinstance(item, (list, tuple)) or len(item) != 5:
        raise TypeError("an entry is not [tag, maker, origin, attributes, value]")
    tag, maker, origin, attributes, value = item
    if not (
        type(tag) is str
        and type(maker) is int
        and (origin is None or type(origin) is str)
        and (attributes is None or type(attributes) is dict)
        and (not attributes or all(type(key) is str for key in attributes))
    ):
        raise TypeError("an entry is not [tag, maker, origin, attributes, value]")
    return Entry(tag, maker, origin, attributes, value)
