"""Searches that are sent to one address reach all Channel Access servers of a host.

Servers on a host share the UDP port for searches. The kernel gives a broadcast to all of them, but
what is sent to an address of the host to one alone, by chance. A socket that is bound to that very
address gets it before those that are bound to all: this passes it on as a broadcast on loopback,
and the answers back. It does not matter which server of the host does that, or how many.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import socket
import struct
import time
from collections import OrderedDict
from dataclasses import dataclass, field

log = logging.getLogger(__name__)

#: Loopback's broadcast address: all who share the port, and nobody outside.
_ALL = "127.255.255.255"
#: Seconds between two looks for new addresses of the host.
_LOOK_S = 10.0
#: Seconds after which a client is forgotten, and how many are known.
_KEEP_S, _MOST = 60.0, 256
_HEADER, _DATAGRAM, _AT_ONCE = 16, 65536, 64
_SIOCGIFADDR = 0x8915


@dataclass(slots=True)
class _Path:
    """A client's way to all servers and back: a socket that stands for it."""

    entry: socket.socket
    client: tuple[str, int]
    own: socket.socket
    used: float = field(default_factory=time.monotonic)


class Relay:
    """Passes searches on to all servers that share a port.

    Parameters
    ----------
    port
        UDP port of the searches.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._entries: dict[str, socket.socket] = {}
        self._paths: OrderedDict[tuple[int, tuple[str, int]], _Path] = OrderedDict()

    async def run(self) -> None:
        """Pass searches on until cancelled."""
        try:
            while True:
                self._look()
                await asyncio.sleep(_LOOK_S)
        finally:
            for sock in (*self._entries.values(), *(path.own for path in self._paths.values())):
                _close(sock)

    def _look(self) -> None:
        """Listen on addresses that are new, and forget what is not used."""
        addresses = _addresses()
        for address in addresses - self._entries.keys():
            if (entry := _bound(address, self._port)) is not None:
                self._entries[address] = entry
                asyncio.get_running_loop().add_reader(entry, self._forward, entry)
        for address in self._entries.keys() - addresses:
            _close(self._entries.pop(address))
        oldest = time.monotonic() - _KEEP_S
        for key in [key for key, path in self._paths.items() if path.used < oldest]:
            _close(self._paths.pop(key).own)

    def _forward(self, entry: socket.socket) -> None:
        for data, client in _received(entry):
            path = self._path(entry, client)
            if path is not None and len(data) >= _HEADER:
                path.used = time.monotonic()
                _send(path.own, data, (_ALL, self._port))

    def _path(self, entry: socket.socket, client: tuple[str, int]) -> _Path | None:
        key = entry.fileno(), client
        if key not in self._paths:
            own = _bound("127.0.0.1", 0)
            if own is None:
                return None
            own.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            path = self._paths[key] = _Path(entry, client, own)
            asyncio.get_running_loop().add_reader(own, self._back, path)
            if len(self._paths) > _MOST:
                _close(self._paths.popitem(last=False)[1].own)
        self._paths.move_to_end(key)
        return self._paths[key]

    def _back(self, path: _Path) -> None:
        for data, _ in _received(path.own):
            # An answer without an address means the one that it comes from: that of this host.
            _send(path.entry, data, path.client)


def _addresses() -> set[str]:
    """Return this host's IPv4 addresses, one for each interface."""
    found = set()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for _, name in socket.if_nameindex():
            try:
                answer = fcntl.ioctl(sock, _SIOCGIFADDR, struct.pack("256s", name.encode()[:15]))
            except OSError:  # it has none
                continue
            found.add(socket.inet_ntoa(answer[20:24]))
    return found


def _bound(address: str, port: int) -> socket.socket | None:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address, port))
    except OSError as error:
        log.debug('msg="no relay of searches" address=%s error="%s"', address, error)
        sock.close()
        return None
    return sock


def _received(sock: socket.socket) -> list[tuple[bytes, tuple[str, int]]]:
    found: list[tuple[bytes, tuple[str, int]]] = []
    try:
        while len(found) < _AT_ONCE:
            found.append(sock.recvfrom(_DATAGRAM))
    except OSError:  # nothing more, or nobody at the other end
        pass
    return found


def _send(sock: socket.socket, data: bytes, address: tuple[str, int]) -> None:
    try:
        sock.sendto(data, address)
    except OSError as error:
        log.debug('msg="search not passed on" address=%s error="%s"', address[0], error)


def _close(sock: socket.socket) -> None:
    asyncio.get_running_loop().remove_reader(sock)
    sock.close()
