"""What the Bluesky processors check in their options."""

from __future__ import annotations

from typing import Any

from camagick.errors import BadOption


def checked_address(flag: str, kind: Any, address: Any) -> str:
    """Return the address ``host:port`` of a proxy.

    Raises
    ------
    BadOption
        When it is none, or `kind` is another way than 0MQ.
    """
    if str(kind).lower() not in ("0mq", "zmq"):
        raise BadOption(f"{flag}: {kind!r}: documents travel by 0MQ: {flag} 0MQ localhost:5578")
    text = str(address).removeprefix("tcp://")
    host, colon, port = text.rpartition(":")
    if str(address).startswith("ipc://"):
        return str(address)
    if not (host and colon and port.isdecimal() and 0 < int(port) < 65536):
        raise BadOption(f"{flag}: {address!r} is not host:port, such as localhost:5578")
    return text


def checked_prefix(flag: str, prefix: Any) -> bytes:
    """Return the prefix of messages.

    Raises
    ------
    BadOption
        When it has a space in it.
    """
    if " " in str(prefix):
        raise BadOption(f"{flag}: prefix={prefix!r} must not have a space in it")
    return str(prefix).encode()
