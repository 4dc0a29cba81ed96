"""An actor's tap: others may listen to its output; it may lose, it may never hurt.

There is no socket before somebody asks for one, and none after everybody has left.
"""

from __future__ import annotations

import logging
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from camagick_broker.address import tap_address
from camagick_broker.errors import RemoteProtocolError
from camagick_broker.inlined import inlined
from camagick_broker.tapping import Schedule, rate_of, stamped
from camagick_broker.wire import PASSED, SQUEEZED, Kind

if TYPE_CHECKING:
    from camagick_broker.events import ToConsumers
    from camagick_broker.port import Outlet, Port
    from camagick_broker.reader import SlotReader
    from camagick_broker.refusals import Refusals
    from camagick_broker.wiring import Wiring

log = logging.getLogger(__name__)

#: How long a tap without any listener stays open.
QUIET_S = 2.0
_MOST_TOPICS = 64
#: What may queue for each listener: so many bytes, within these bounds of messages.
_QUEUE_BYTES = 1 << 24
_FEWEST, _MOST = 3, 256
_KIND_AT = 5  # the byte of a prefix that says what the message is
_FLAGS_AT = 6


class Tap:
    """The side of the actor; used by the thread of its station, and by no other.

    Parameters
    ----------
    port
        Where the socket is made.
    wiring
        The actor's place.
    refusals
        Where garbage is noted.
    slots
        Reads arrays that lie in shared memory; None where there is none.
    """

    def __init__(
        self, port: Port, wiring: Wiring, refusals: Refusals, slots: SlotReader | None = None
    ) -> None:
        self._slots = slots
        self._port, self._refusals = port, refusals
        self._wiring = wiring
        self._address = tap_address(wiring.bus_dir, wiring.number)
        self._outlet: Outlet | None = None
        self._wanted = False
        self._opened = 0
        self._largest = 0
        self._quiet_since = 0.0
        self._topics: dict[bytes, Schedule] = {}
        self._listeners: dict[bytes, int] = {}

    @property
    def is_open(self) -> bool:
        """Whether somebody wants to listen."""
        return self._wanted

    def open(self) -> None:
        """Let others listen, for as long as somebody does; from the next message on."""
        self._wanted = bool(self._wiring.consumers)

    def offer(self, message: ToConsumers) -> None:
        """Hand a message of this actor's output to whoever listens; never wait, never keep it."""
        if not self._wanted or message.consumer is not None:  # or one that is sent again
            return
        frames = message.frames
        if frames[0][_FLAGS_AT] & PASSED:  # nothing of this actor's own is in it
            return
        outlet = self._fitting(message.size)
        if outlet is None:
            return
        self._hear(outlet)
        now, is_end = time.monotonic(), frames[0][_KIND_AT] == Kind.END
        due = [one for one in self._topics.items() if is_end or one[1].is_due(now)]
        if not due:
            return
        if self._slots is not None and self._wiring.sends_far:  # its arrays may lie there, too
            frames = [frames[0], *map(bytes, frames[1:])]
        if self._slots is not None or frames[0][_FLAGS_AT] & SQUEEZED:
            try:
                frames = inlined(frames, self._slots)
            except RemoteProtocolError as error:
                self._refusals.note("tap", error)
                return
        for topic, schedule in due:
            outlet.offer([stamped(topic, self._opened, schedule.offered), *frames])
            schedule.offered += 1

    def watch(self, now: float) -> None:
        """Close the tap when nobody has listened for a while; to be called now and then."""
        if not self._wanted:
            return
        outlet = self._fitting(0)
        if outlet is not None:
            self._hear(outlet)
        if not self._topics and now > self._quiet_since + QUIET_S:
            self._wanted = False
            self._close()

    def _fitting(self, size: int) -> Outlet | None:
        """Return the socket, whose queue fits messages of so many bytes; None where none can be."""
        if self._outlet is not None and size > self._largest:
            self._close()  # too many of these would queue: listeners connect again
        if self._outlet is None:
            self._bind(size)
        return self._outlet

    def _bind(self, size: int) -> None:
        most = min(max(_QUEUE_BYTES // max(size, 1), _FEWEST), _MOST) if size else _FEWEST
        try:
            self._outlet = self._port.bind_tap(self._address, most)
        except OSError as error:  # it may never hurt
            log.warning('msg="cannot be tapped: %s" actor=%s', error, self._wiring.name)
            self._wanted = False
            return
        self._largest = 4 * _QUEUE_BYTES // most if most > _FEWEST else sys.maxsize
        self._opened = time.monotonic_ns()
        self._quiet_since = time.monotonic()

    def _close(self) -> None:
        if self._outlet is not None:
            self._port.drop(self._outlet.socket)
            self._outlet = None
            Path(self._address.removeprefix("ipc://")).unlink(missing_ok=True)  # libzmq does not
        self._topics.clear()
        self._listeners.clear()

    def _hear(self, outlet: Outlet) -> None:
        for frames in self._port.receive(outlet.socket):
            try:
                self._subscribe(frames[0].bytes)
            except RemoteProtocolError as error:
                self._refusals.note("tap", error)

    def _subscribe(self, frame: bytes) -> None:
        verb, topic = frame[:1], frame[1:]
        rate = rate_of(topic)
        known = self._listeners.get(topic, 0)
        if verb == b"\1":
            if not known and len(self._topics) >= _MOST_TOPICS:
                raise RemoteProtocolError(f"too many rates at once: {topic[:40]!r}")
            self._listeners[topic] = known + 1
            self._topics.setdefault(topic, Schedule(rate))
        elif known > 1:
            self._listeners[topic] = known - 1
        elif known:
            del self._listeners[topic], self._topics[topic]
            self._quiet_since = time.monotonic()
