"""Sockets that listen for HTTP."""

from __future__ import annotations

import socket

from camagick.errors import BadOption


def listen(address: str) -> socket.socket:
    """Return a socket that listens at PORT of the loopback, or at HOST:PORT.

    Raises
    ------
    BadOption
        When it is no such address, or nobody can listen there.
    """
    host, _, port = address.rpartition(":")
    if not port.isascii() or not port.isdigit() or not 0 <= int(port) < 65536:
        raise BadOption(f'"{address}" is neither PORT nor HOST:PORT')
    host = host.removeprefix("[").removesuffix("]") or "127.0.0.1"
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((host, int(port)))
        found.listen(64)
    except OSError as error:
        found.close()
        reason = error.strerror or error
        raise BadOption(f"cannot listen at port {port} of {host}: {reason}") from None
    return found
