"""How actors and the Channel Access service of a bus write to each other: msgpack, no pickle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgpack
import numpy as np

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncGenerator

#: The largest message; a CA array of 32 million doubles fits.
LIMIT = 1 << 28
_ARRAY = 1
#: Never object ("O") or structured ("V"): those would need pickle, or hide objects.
_KINDS = frozenset("biufSU")


def pack(message: Any) -> bytes:
    """Return one message as bytes."""
    return bytes(msgpack.packb(message, default=_encode))


def problem(value: Any) -> str:
    """Return why `value` cannot be sent, '' where it can."""
    try:
        if isinstance(value, np.ndarray) and value.size > 100:
            value = value.reshape(-1)[:0]  # its type is what matters
        pack(value)
    except (ValueError, OverflowError) as error:
        return str(error)
    return ""


def _encode(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        array = np.asarray(value)
        if array.dtype.kind not in _KINDS:
            raise ValueError(f"Channel Access has no type for {array.dtype} values")
        body = msgpack.packb((array.dtype.str, array.shape, array.tobytes()))
        return msgpack.ExtType(_ARRAY, body)
    raise ValueError(f"Channel Access has no type for a {type(value).__name__}")


def _decode(code: int, body: bytes) -> Any:
    if code != _ARRAY:
        raise ValueError(f"unknown extension {code}")
    name, shape, data = msgpack.unpackb(body, use_list=False, max_bin_len=LIMIT)
    dtype = np.dtype(str(name))
    if dtype.kind not in _KINDS:
        raise ValueError(f"arrays of {dtype} are refused")
    array = np.frombuffer(data, dtype).reshape(shape)
    return array if array.ndim else array[()]


def _unpacker() -> Any:
    return msgpack.Unpacker(
        ext_hook=_decode,
        max_buffer_size=LIMIT,
        max_ext_len=LIMIT,
        max_bin_len=0,
        max_str_len=1 << 24,
        max_array_len=1 << 16,
        max_map_len=1 << 10,
    )


async def messages(reader: asyncio.StreamReader) -> AsyncGenerator[list[Any], None]:
    """Yield the messages that come in, until the other side closes.

    Raises
    ------
    ValueError
        When something comes in that is not such a message, or is too large.
    """
    unpacker = _unpacker()
    while chunk := await reader.read(1 << 18):
        try:
            unpacker.feed(chunk)
            ready = list(unpacker)
        except (msgpack.exceptions.UnpackException, TypeError, ValueError) as error:
            raise ValueError(f"not a message of the CA service: {error}") from error
        for message in ready:
            if not isinstance(message, list) or len(message) < 2:
                raise ValueError("not a message of the CA service")
            yield message
