"""What actors and broker tell one another: small maps on the wire's prefix. No I/O."""

from __future__ import annotations

from typing import Any

import msgpack

from camagick_broker.errors import RemoteProtocolError
from camagick_broker.wire import Head, Kind, pack, unpack


def say(run: bytes, sender: int, content: dict[str, Any]) -> bytes:
    """Return the frame of a control message."""
    return pack(Head(Kind.CONTROL, run, 0, sender, 0), bytes(msgpack.packb(content)))


def hear(frame: Any, run: bytes) -> tuple[int, dict[str, Any]]:
    """Return sender and content of a control message.

    Raises
    ------
    RemoteProtocolError
        For anything else.
    """
    head, body = unpack(frame, run)
    if head.kind is not Kind.CONTROL:
        raise RemoteProtocolError(f"{head.kind.name} where a control message belongs")
    try:
        content = msgpack.unpackb(body, strict_map_key=False)
    except (ValueError, TypeError, RecursionError, OverflowError, msgpack.UnpackException) as error:
        raise RemoteProtocolError(f"unreadable control message: {error!s:.200}") from None
    if not isinstance(content, dict) or not isinstance(content.get("op"), str):
        raise RemoteProtocolError("a control message without 'op'")
    return head.sender, content
