"""The bytes of a Channel Access connection, cut into messages with few copies.

asyncio's streams and caproto copy each byte five times on its way, 4096 at a time. Here a large
message is received where it stays: 100 waveforms of 8 MB a second are possible with that.
"""

from __future__ import annotations

import asyncio
import struct
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_HEADER, _EXTENDED = struct.Struct(">HHHHII"), struct.Struct(">II")
_CHUNK = 1 << 16
#: Bytes that may wait to be looked at; then the server has to wait.
_MOST = 1 << 26


class Framer:
    """Cuts a stream into messages. Knows no network.

    A message of the protocol has a header of 16 bytes. If the size of its payload in there is
    0xFFFF and the count of elements 0, then both follow in 8 more bytes.
    """

    def __init__(self) -> None:
        self._buffer = bytearray(_CHUNK)
        self._filled = 0

    def room(self) -> memoryview:
        """Return where the next bytes go to."""
        return memoryview(self._buffer)[self._filled :]

    def add(self, count: int) -> list[bytearray]:
        """Take note of bytes that were put there; return the messages that are complete."""
        self._filled += count
        found: list[bytearray] = []
        at = 0
        while (size := self._size(at)) and at + size <= self._filled:
            if size == self._filled == len(self._buffer):
                found.append(self._buffer)
                self._buffer, self._filled = bytearray(_CHUNK), 0
                return found
            found.append(self._buffer[at : at + size])
            at += size
        if at or size > len(self._buffer):
            rest = self._buffer[at : self._filled]
            if size > len(self._buffer):  # it will fill its buffer, and be given away with it
                self._buffer = bytearray(size)
            self._buffer[: len(rest)] = rest
            self._filled = len(rest)
        return found

    def _size(self, at: int) -> int:
        """Return the size of the message that begins there, 0 where it is not yet known."""
        if self._filled - at < _HEADER.size:
            return 0
        _, size, _, count, *_ = _HEADER.unpack_from(self._buffer, at)
        if size != 0xFFFF or count:
            return _HEADER.size + int(size)
        if self._filled - at < _HEADER.size + _EXTENDED.size:
            return 0
        size, _ = _EXTENDED.unpack_from(self._buffer, at + _HEADER.size)
        return _HEADER.size + _EXTENDED.size + int(size)


class Stream(asyncio.BufferedProtocol):
    """Takes over the receiving side of an asyncio stream.

    Parameters
    ----------
    writer
        The stream's other side, which stays in use.
    received
        What has come already.
    on_bytes
        Is called whenever something has come.
    """

    def __init__(
        self, writer: asyncio.StreamWriter, received: bytes, on_bytes: Callable[[], None]
    ) -> None:
        self._transport: Any = writer.transport
        self._before: Any = self._transport.get_protocol()
        self._on_bytes = on_bytes
        self._framer = Framer()
        self._messages: list[bytearray] = []
        self._waiting = 0
        self._ended = False
        self._woken = asyncio.Event()
        while received:
            room = self._framer.room()
            part, received = received[: len(room)], received[len(room) :]
            room[: len(part)] = part
            self.buffer_updated(len(part))
        self._transport.set_protocol(self)

    async def messages(self) -> list[bytearray]:
        """Return the messages that have come since the last call; none at the end."""
        while not (self._messages or self._ended):
            self._woken.clear()
            await self._woken.wait()
        found, self._messages = self._messages, []
        if self._waiting > _MOST and not self._ended:
            self._transport.resume_reading()
        self._waiting = 0
        return found

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where asyncio puts what comes."""
        return self._framer.room()

    def buffer_updated(self, nbytes: int) -> None:
        """Take note of what has come."""
        self._on_bytes()
        found = self._framer.add(nbytes)
        if not found:
            return
        self._messages += found
        before = self._waiting
        self._waiting += sum(map(len, found))
        if before <= _MOST < self._waiting:
            self._transport.pause_reading()
        self._woken.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended = True
        self._woken.set()
        self._before.connection_lost(exc)

    def pause_writing(self) -> None:
        self._before.pause_writing()

    def resume_writing(self) -> None:
        self._before.resume_writing()
