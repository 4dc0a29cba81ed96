"""The agent's end of taps: listens to actors of this host for whoever listens at the launcher's.

Nothing is asked of an actor that a listener here would not ask. What it hears goes over the channel
in pieces, as many as `Credit` allows, so that what is said between supervisors and brokers passes.
What does not find room waits here, the newest for each topic, and the rest is left out: whoever
listens counts it, from the stamps.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Any

from camagick_broker.address import tap_address
from caspy.hosts.pieces import Credit, cut

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from camagick_broker.port import Port
    from caspy.hosts.channel import Channel

#: What may wait for each topic of each actor: so many bytes, or messages.
_WAITING_BYTES, _WAITING = 1 << 20, 2


class _Ear:
    """One topic of one actor."""

    def __init__(self, actor: int, socket: Any) -> None:
        self.actor, self.socket = actor, socket
        self._waiting: deque[list[Any]] = deque()
        self._bytes = 0

    def keep(self, frames: list[Any]) -> None:
        """Keep a message, instead of older ones where there are too many."""
        self._waiting.append(frames)
        self._bytes += sum(map(len, frames))
        while self._bytes > _WAITING_BYTES and len(self._waiting) > _WAITING:
            self.next()

    def next(self) -> list[Any] | None:
        """Return the oldest message that waits."""
        if not self._waiting:
            return None
        frames = self._waiting.popleft()
        self._bytes -= sum(map(len, frames))
        return frames


class Overhearing:
    """Serves one link; for the thread of the gate.

    Parameters
    ----------
    port, channel
        Of the gate.
    folder
        Where the actors' sockets are.
    """

    def __init__(self, port: Port, channel: Channel, folder: str) -> None:
        self._port, self._channel, self._folder = port, channel, folder
        self._ears: dict[tuple[int, bytes], _Ear] = {}
        self._turns: deque[_Ear] = deque()  # whose turn it is to be told of
        self._pieces: Iterator[dict[str, Any]] = iter(())
        self._credit = Credit()

    def listen_to(self, wanted: Iterable[tuple[int, bytes]]) -> None:
        """Listen to these topics of these actors, and to no others."""
        wanted = {(actor, topic) for actor, topic in wanted}
        for what in self._ears.keys() - wanted:
            self._port.drop(self._ears.pop(what).socket)
        for actor, topic in wanted - self._ears.keys():
            socket = self._port.connect_tap(tap_address(self._folder, actor), topic)
            self._ears[actor, topic] = _Ear(actor, socket)
        self._turns = deque(self._ears.values())

    def hear(self, source: Any) -> bool:
        """Take what came by a socket; tell whether it is one of these."""
        ear = next((ear for ear in self._ears.values() if ear.socket is source), None)
        if ear is None:
            return False
        for frames in self._port.receive(source):
            ear.keep(frames)
        return True

    def taken(self, size: int) -> None:
        """Note how many bytes have arrived there, in all."""
        self._credit.confirm(size, time.monotonic())

    def tell(self) -> None:
        """Send as much as may be under way, and no more than the channel takes at once."""
        while self._credit.is_left and not self._channel.is_full:
            piece = next(self._pieces, None)
            if piece is None:
                self._pieces = self._next()
                piece = next(self._pieces, None)
            if piece is None:
                return
            self._credit.spend(len(piece["data"]), time.monotonic())
            self._channel.send("piece", **piece)

    def _next(self) -> Iterator[dict[str, Any]]:
        """Return the next message, in pieces: of each topic in turn."""
        for _ in range(len(self._turns)):
            ear = self._turns[0]
            self._turns.rotate(-1)
            frames = ear.next()
            if frames is not None:
                return _pieces(ear.actor, frames)
        return iter(())


def _pieces(actor: int, frames: list[Any]) -> Iterator[dict[str, Any]]:
    first: dict[str, Any] = {"actor": actor, "sizes": [len(frame) for frame in frames]}
    for data in cut(frame.buffer for frame in frames):
        yield {**first, "data": data}
        first = {}
