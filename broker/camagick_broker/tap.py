"""An actor's tap: others may listen to its output; it may lose, it may never hurt."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from camagick_broker.address import tap_address
from camagick_broker.booth import Booth
from camagick_broker.errors import RemoteProtocolError
from camagick_broker.inlined import inlined
from camagick_broker.tapping import stamped
from camagick_broker.wire import PASSED, SQUEEZED, Kind

if TYPE_CHECKING:
    from camagick_broker.events import ToConsumers
    from camagick_broker.port import Port
    from camagick_broker.reader import SlotReader
    from camagick_broker.refusals import Refusals
    from camagick_broker.wiring import Wiring

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
        self._slots, self._refusals, self._wiring = slots, refusals, wiring
        address = tap_address(wiring.bus_dir, wiring.number)
        self._booth = Booth(port, address, wiring.name, refusals)

    @property
    def is_open(self) -> bool:
        """Whether somebody wants to listen."""
        return self._booth.is_open

    def open(self) -> None:
        """Let others listen, for as long as somebody does; from the next message on."""
        if self._wiring.consumers:
            self._booth.open()

    def offer(self, message: ToConsumers) -> None:
        """Hand a message of this actor's output to whoever listens; never wait, never keep it."""
        if not self.is_open or message.consumer is not None:  # or one that is sent again
            return
        frames = message.frames
        if frames[0][_FLAGS_AT] & PASSED:  # nothing of this actor's own is in it
            return
        if not self._booth.attend(message.size):
            return
        now, is_end = time.monotonic(), frames[0][_KIND_AT] == Kind.END
        due = [one for one in self._booth.topics.items() if is_end or one[1].is_due(now)]
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
            stamp = stamped(topic, schedule.opened, schedule.offered)
            self._booth.offer([stamp, *frames])
            schedule.offered += 1

    def watch(self, now: float) -> None:
        """Close the tap when nobody has listened for a while; to be called now and then."""
        self._booth.watch(now)
