"""The launcher's end of taps: stands for the actors of another host before whoever listens here."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from camagick_broker.address import tap_address
from camagick_broker.booth import Booth, path_of
from camagick_broker.control import hear
from camagick_broker.errors import RemoteProtocolError
from camagick_broker.refusals import Refusals
from caspy.hosts.pieces import Assembly

if TYPE_CHECKING:
    from collections.abc import Iterable

    from camagick_broker.port import Port
    from caspy.hosts.channel import Channel

#: A request for a tap is shorter; a directory of a thousand actors need not be read here.
_REQUEST_BYTES = 256


class Retelling:
    """Has a booth for each actor there that somebody wants to hear; for the thread of the link.

    Parameters
    ----------
    port, channel
        Of the link.
    folder
        Of the bus, here.
    run
        Which run it is.
    actors
        Those of the other host.
    """

    def __init__(
        self, port: Port, channel: Channel, folder: str, run: bytes, actors: Iterable[int]
    ) -> None:
        self._channel, self._run = channel, run
        refusals = Refusals("link")
        self._booths: dict[int, Booth] = {}
        for number in actors:
            address = tap_address(folder, number)
            path_of(address).unlink(missing_ok=True)  # of a link that was killed
            self._booths[number] = Booth(port, address, str(number), refusals)
        self._wanted: list[tuple[int, bytes]] = []
        self._assembly = Assembly()
        self._taken = self._confirmed = 0

    def note(self, actor: int, frame: bytes) -> None:
        """Open a booth where this, from the broker to an actor, says that somebody wants one."""
        if len(frame) > _REQUEST_BYTES:
            return
        try:
            content = hear(frame, self._run)[1]
        except RemoteProtocolError:  # the actor refuses it, and says so
            return
        if content["op"] == "tap":
            self._booths[actor].open()

    def take(self, piece: dict[str, Any]) -> None:
        """Hand on what an actor there has said, when the last piece of it has come.

        Raises
        ------
        RemoteProtocolError
            For what no gate sends.
        """
        whole = self._assembly.take(piece)
        self._taken += len(piece["data"])
        if whole is not None:
            actor, frames = whole
            if actor not in self._booths:
                raise RemoteProtocolError(f"a tap of an actor that is not there: {actor}")
            if self._booths[actor].attend(sum(map(len, frames))):
                self._booths[actor].offer(frames)

    def tend(self) -> None:
        """Tell the gate what is wanted, and what has come; close what nobody wants any more."""
        now = time.monotonic()
        for booth in self._booths.values():
            if booth.is_open:
                booth.watch(now)
        wanted = [(number, topic) for number, one in self._booths.items() for topic in one.topics]
        if wanted != self._wanted:
            self._wanted = wanted
            self._channel.send("listen", wanted=wanted)
        if self._taken != self._confirmed:
            self._confirmed = self._taken
            self._channel.send("taken", bytes=self._taken)

    def close(self) -> None:
        """Leave nothing behind."""
        for booth in self._booths.values():
            booth.close()
