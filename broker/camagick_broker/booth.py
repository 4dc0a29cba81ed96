"""The socket at which others listen to an actor: it may lose, it may never hurt.

There is none before somebody asks for it, and none after everybody has left.
"""

from __future__ import annotations

import logging
import sys
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

    Attributes
    ----------
    is_open
        Whether somebody wants to listen.
    """

    def __init__(self, port: Port, address: str, name: str, refusals: Refusals) -> None:
        self._port, self._address = port, address
        self._name, self._refusals = name, refusals
        self._outlet: Outlet | None = None
        self.is_open = False
        self._quiet_since = 0.0
        self._largest: int | None = None
        self._topics: dict[bytes, Schedule] = {}
        self._listeners: dict[bytes, int] = {}

    @property
    def topics(self) -> Mapping[bytes, Schedule]:
        """What those who listen have asked for."""
        return self._topics

    def open(self) -> None:
        """Let others listen, for as long as somebody does."""
        self.is_open = True

    def attend(self, size: int = 0) -> bool:
        """Hear who comes and goes; tell whether there is a socket now.

        Parameters
        ----------
        size
            Of the message that is to be offered next.
        """
        if self._largest is not None and size > self._largest:
            self._leave()  # too many of these would queue: listeners connect again
        if self.is_open and self._outlet is None:
            self._bind()
        if self._outlet is None:
            return False
        if self._largest is None and size:
            self._fit(self._outlet, size)
        for frames in self._port.receive(self._outlet.socket):
            try:
                self._subscribe(frames[0].bytes)
            except RemoteProtocolError as error:
                self._refusals.note("tap", error)
        return True

    def offer(self, frames: list[Any]) -> None:
        """Hand a message to those who listen to its topic; never wait, never keep it."""
        if self._outlet is not None:
            self._outlet.offer(frames)

    def watch(self, now: float) -> None:
        """Close when nobody has listened for a while; to be called now and then."""
        if self.attend() and not self._topics and now > self._quiet_since + QUIET_S:
            self.close()

    def close(self) -> None:
        """Leave nothing behind."""
        self.is_open = False
        self._leave()

    def _leave(self) -> None:
        if self._outlet is not None:
            self._port.drop(self._outlet.socket)
            self._outlet = None
            path_of(self._address).unlink(missing_ok=True)  # libzmq does not
        self._topics.clear()
        self._listeners.clear()

    def _bind(self) -> None:
        try:
            self._outlet = self._port.bind_tap(self._address, _FEWEST)
        except OSError as error:  # it may never hurt
            log.warning('msg="cannot be tapped: %s" actor=%s', error, self._name)
            self.is_open = False
            return
        self._largest = None
        self._quiet_since = time.monotonic()

    def _fit(self, outlet: Outlet, size: int) -> None:
        """Let as many messages queue as fit, once it is known how large they are.

        This holds for those who listen already. It can be done only once, and upwards: where it was
        lowered, libzmq was seen never to send again.
        """
        most = min(max(_QUEUE_BYTES // size, _FEWEST), _MOST)
        outlet.socket.sndhwm = most
        self._largest = 4 * _QUEUE_BYTES // most if most > _FEWEST else sys.maxsize

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
