"""The socket at which others listen to an actor: it may lose, it may never hurt.

There is none before somebody asks for it, and none after everybody has left.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from camagick_broker.errors import RemoteProtocolError
from camagick_broker.tapping import Schedule, rate_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from camagick_broker.port import Outlet, Port
    from camagick_broker.refusals import Refusals

log = logging.getLogger(__name__)

#: How long a booth without any listener stays open.
QUIET_S = 2.0
_MOST_TOPICS = 64
#: What may queue for each listener: so many bytes, within these bounds of messages.
_QUEUE_BYTES = 1 << 24
_FEWEST, _MOST = 3, 256


class Booth:
    """Where one actor can be heard; for one thread.

    Parameters
    ----------
    port
        Where the socket is made.
    address
        Where it is bound.
    name
        Whom one hears there, for the log.
    refusals
        Where garbage is noted.
    """

    def __init__(self, port: Port, address: str, name: str, refusals: Refusals) -> None:
        self._port, self._address = port, address
        self._name, self._refusals = name, refusals
        self._outlet: Outlet | None = None
        self._wanted = False
        self._quiet_since = 0.0
        self._most = _MOST
        self._topics: dict[bytes, Schedule] = {}
        self._listeners: dict[bytes, int] = {}

    @property
    def is_open(self) -> bool:
        """Whether somebody wants to listen."""
        return self._wanted

    @property
    def topics(self) -> Mapping[bytes, Schedule]:
        """What those who listen have asked for."""
        return self._topics

    def open(self) -> None:
        """Let others listen, for as long as somebody does."""
        self._wanted = True

    def attend(self) -> bool:
        """Hear who comes and goes; tell whether there is a socket now."""
        if self._wanted and self._outlet is None:
            self._bind()
        if self._outlet is None:
            return False
        for frames in self._port.receive(self._outlet.socket):
            try:
                self._subscribe(frames[0].bytes)
            except RemoteProtocolError as error:
                self._refusals.note("tap", error)
        return True

    def offer(self, frames: list[Any], size: int) -> None:
        """Hand a message of so many bytes to those who listen to its topic; never wait."""
        if self._outlet is None:
            return
        most = min(max(_QUEUE_BYTES // max(size, 1), _FEWEST), self._most)
        if most < self._most:  # or too many of these would queue; this holds for who is there, too
            self._most = self._outlet.socket.sndhwm = most
        self._outlet.offer(frames)

    def watch(self, now: float) -> None:
        """Close when nobody has listened for a while; to be called now and then."""
        if self.attend() and not self._topics and now > self._quiet_since + QUIET_S:
            self.close()

    def close(self) -> None:
        """Leave nothing behind."""
        self._wanted = False
        if self._outlet is not None:
            self._port.drop(self._outlet.socket)
            self._outlet = None
            path_of(self._address).unlink(missing_ok=True)  # libzmq does not
        self._topics.clear()
        self._listeners.clear()

    def _bind(self) -> None:
        try:
            self._outlet = self._port.bind_tap(self._address, _MOST)
        except OSError as error:  # it may never hurt
            log.warning('msg="cannot be tapped: %s" actor=%s', error, self._name)
            self._wanted = False
            return
        self._most = _MOST
        self._quiet_since = time.monotonic()

    def _subscribe(self, frame: bytes) -> None:
        verb, topic = frame[:1], frame[1:]
        rate = rate_of(topic)
        known = self._listeners.get(topic, 0)
        if verb == b"\1":
            if not known and len(self._topics) >= _MOST_TOPICS:
                raise RemoteProtocolError(f"too many rates at once: {topic[:40]!r}")
            self._listeners[topic] = known + 1
            self._topics.setdefault(topic, Schedule(rate, time.monotonic_ns()))
        elif known > 1:
            self._listeners[topic] = known - 1
        elif known:
            del self._listeners[topic], self._topics[topic]
            self._quiet_since = time.monotonic()


def path_of(address: str) -> Path:
    """Return the file that a socket of this host has."""
    return Path(address.removeprefix("ipc://"))
