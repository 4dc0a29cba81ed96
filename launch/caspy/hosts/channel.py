"""Messages over a pair of pipes: to the agent of another host, and between processes of one host.

Each is a msgpack map behind its length in four bytes. Nothing waits: what cannot be written now is
kept, and a channel whose other end has gone says so when it is read.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import struct
import time
from typing import TYPE_CHECKING, Any, Self

import msgpack

from caspy.errors import PlanError

if TYPE_CHECKING:
    from collections.abc import Iterable

_LENGTH = struct.Struct("!I")
#: Longer messages are a mistake: whoever talks is no agent.
_MOST_BYTES = 1 << 26
_READ_BYTES = 1 << 18
_CLOSED = -1


class ChannelError(PlanError):
    """What comes is no message."""


class Channel:
    """One end.

    Parameters
    ----------
    reads, writes
        Open files; they are closed with the channel.

    Attributes
    ----------
    reads, writes
        The same, for whoever waits for several; -1 once it is closed.
    """

    def __init__(self, reads: int, writes: int) -> None:
        self.reads, self.writes = reads, writes
        self._in, self._out = bytearray(), bytearray()
        self._kept: list[dict[str, Any]] = []  # what came together with what was expected
        for handle in {reads, writes}:
            os.set_blocking(handle, False)

    @classmethod
    def pair(cls) -> tuple[Self, Self]:
        """Return the two ends of a new one, for this process and one that it forks.

        Nobody else owns their files: an end stays open until it is closed, or its process ends.
        """
        one, other = (end.detach() for end in socket.socketpair())
        return cls(one, one), cls(other, other)

    @property
    def is_full(self) -> bool:
        """Whether something waits to be written."""
        return bool(self._out)

    def send(self, op: str, **content: Any) -> None:
        """Write a message, or as much of it as there is room for now."""
        packed = msgpack.packb({"op": op, **content})
        self._out += _LENGTH.pack(len(packed)) + packed
        self.flush()

    def flush(self) -> None:
        """Write what waits, as far as there is room."""
        with contextlib.suppress(BlockingIOError):
            try:
                while self._out:
                    del self._out[: os.write(self.writes, self._out[:_READ_BYTES])]
            except OSError as error:
                if isinstance(error, BlockingIOError):
                    raise
                self._out.clear()  # nobody is there any more; reading says so, too

    def receive(self) -> list[dict[str, Any]]:
        """Return what has come.

        Raises
        ------
        EOFError
            When all has been returned, and nothing will come any more.
        ChannelError
            For what is no message.
        """
        if self._kept:
            return self.kept()
        ended = False
        while True:
            try:
                part = os.read(self.reads, _READ_BYTES)
            except BlockingIOError:
                break
            except OSError:
                part = b""
            if not part:
                ended = True
                break
            self._in += part
            if len(part) < _READ_BYTES:
                break
        messages = list(self._messages())
        if ended and not messages:
            raise EOFError
        return messages

    def kept(self) -> list[dict[str, Any]]:
        """Return what came together with what was expected."""
        kept, self._kept = self._kept, []
        return kept

    def find(self, *ops: str) -> dict[str, Any] | None:
        """Return a message of some kinds that has come, None for none; those before it are dropped.

        Raises
        ------
        EOFError, ChannelError
            As in `receive`.
        """
        messages = self.receive()
        for index, message in enumerate(messages):
            if message["op"] in ops:
                self._kept = messages[index + 1 :]
                return message
        return None

    def expect(self, *ops: str, deadline: float) -> dict[str, Any]:
        """Wait for a message of some kinds, and return it; those before it are dropped.

        Raises
        ------
        TimeoutError, EOFError, ChannelError
            When it does not come.
        """
        while (left := deadline - time.monotonic()) > 0:
            self.flush()
            if (found := self.find(*ops)) is not None:
                return found
            wait([self], min(left, 0.5))
        raise TimeoutError

    def close(self) -> None:
        """Close both files, if that was not done before: others may have their numbers by now."""
        handles = {self.reads, self.writes} - {_CLOSED}
        self.reads = self.writes = _CLOSED
        for handle in handles:
            os.close(handle)

    def _messages(self) -> Any:
        while len(self._in) >= _LENGTH.size:
            (size,) = _LENGTH.unpack_from(self._in)
            if size > _MOST_BYTES:
                text = bytes(self._in[:60]).decode("utf-8", "replace")
                raise ChannelError(f"not a message of an agent: {text!r}")
            if len(self._in) < _LENGTH.size + size:
                return
            packed = bytes(self._in[_LENGTH.size : _LENGTH.size + size])
            del self._in[: _LENGTH.size + size]
            try:
                message = msgpack.unpackb(packed, strict_map_key=False)
            except Exception as error:  # noqa: BLE001 - msgpack raises many
                raise ChannelError(f"not a message of an agent: {error}") from None
            if not isinstance(message, dict) or not isinstance(message.get("op"), str):
                raise ChannelError(f"not a message of an agent: {message!r:.60}")
            yield message


def wait(channels: Iterable[Channel], seconds: float) -> None:
    """Wait until one of them has something to read, or room for what is still to be written."""
    poll = select.poll()
    for channel in channels:
        poll.register(channel.reads, select.POLLIN)
        if channel.is_full:
            # Both may be one file.
            events = select.POLLOUT | (select.POLLIN if channel.writes == channel.reads else 0)
            poll.register(channel.writes, events)
    poll.poll(1000 * seconds)
