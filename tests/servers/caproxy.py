"""A Channel Access line that can be cut, stalled, and spoken into: between a client and an IOC.

Searches are passed on to the IOC, and answered as if it were the IOC; so clients connect here.
"""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import threading
from typing import Self

_HEADER = struct.Struct(">HHHHII")
_SEARCH, _CREATE_CHANNEL, _CREATE_FAILED, _SERVER_DISCONNECT = 6, 18, 26, 27


class CaProxy:
    """A line to an IOC on this machine.

    Parameters
    ----------
    port
        Where clients find it, by UDP and TCP on 127.0.0.1.
    server
        The port of the IOC.

    Attributes
    ----------
    channels
        The numbers that clients have given to the channels of their newest connection.
    refusals
        So many of the next channels the client does not get.
    """

    def __init__(self, port: int, server: int) -> None:
        self._port, self._server = port, ("127.0.0.1", server)
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.bind(("127.0.0.1", port))
        self._back = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._listener = socket.create_server(("127.0.0.1", port))
        self._stop = threading.Event()
        self._stalled = threading.Event()
        self._pairs: dict[socket.socket, socket.socket] = {}
        self._client: socket.socket | None = None
        self._asker: tuple[str, int] | None = None
        self.channels: list[int] = []
        self.refusals = 0
        self._thread = threading.Thread(target=self._run, name="ca-proxy")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        for one in (self._udp, self._back, self._listener, *self._pairs):
            one.close()

    def cut(self) -> None:
        """Break all connections; new ones are taken."""
        for one in list(self._pairs):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def stall(self, *, on: bool) -> None:
        """Let nothing through until told otherwise; nothing is lost."""
        if on:
            self._stalled.set()
        else:
            self._stalled.clear()

    def disconnect_channels(self) -> None:
        """Tell the client, as a gateway does, that its channels are gone."""
        assert self._client is not None
        channels, self.channels = self.channels, []
        for number in channels:
            self._client.sendall(_HEADER.pack(_SERVER_DISCONNECT, 0, 0, 0, number, 0))

    def _run(self) -> None:
        while not self._stop.is_set():
            if self._stalled.is_set():
                self._stop.wait(0.02)
                continue
            sockets = [self._udp, self._back, self._listener, *self._pairs]
            for one in select.select(sockets, [], [], 0.05)[0]:
                if one is self._udp:
                    data, self._asker = one.recvfrom(65536)
                    self._back.sendto(data, self._server)
                elif one is self._back:
                    self._answer(one.recv(65536))
                elif one is self._listener:
                    self._connect()
                elif one in self._pairs:
                    self._pass_on(one)

    def _answer(self, data: bytes) -> None:
        """Pass answers to a search on, with this port instead of the server's."""
        changed, at = bytearray(data), 0
        while at < len(data):
            command, size, *_ = _HEADER.unpack_from(data, at)
            if command == _SEARCH:
                struct.pack_into(">H", changed, at + 4, self._port)
            at += _HEADER.size + size
        assert self._asker is not None
        with contextlib.suppress(OSError):
            self._udp.sendto(changed, self._asker)

    def _connect(self) -> None:
        client, _ = self._listener.accept()
        try:
            server = socket.create_connection(self._server)
        except OSError:
            client.close()
            return
        self._pairs |= {client: server, server: client}
        self._client, self.channels = client, []

    def _pass_on(self, one: socket.socket) -> None:
        other = self._pairs[one]
        try:
            data = one.recv(1 << 16)
            if one is self._client:
                self._note(data)
            if data:
                other.sendall(data if one is self._client else self._refused(data))
                return
        except OSError:
            pass
        for ended in (one, other):
            self._pairs.pop(ended, None)
            ended.close()

    def _refused(self, data: bytes) -> bytes:
        changed, at = bytearray(data), 0
        while self.refusals and at + _HEADER.size <= len(data):
            command, size, *_ = _HEADER.unpack_from(data, at)
            if command == _CREATE_CHANNEL:
                self.refusals -= 1
                struct.pack_into(">H", changed, at, _CREATE_FAILED)
            at += _HEADER.size + size
        return bytes(changed)

    def _note(self, data: bytes) -> None:
        at = 0
        while at + _HEADER.size <= len(data):
            command, size, _, _, number, _ = _HEADER.unpack_from(data, at)
            if command == _CREATE_CHANNEL:
                self.channels.append(number)
            at += _HEADER.size + size
