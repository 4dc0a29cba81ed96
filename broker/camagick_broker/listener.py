"""The listener's end of a tap: asks for it, receives, notices the end."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from camagick_broker.address import broker_address, tap_address
from camagick_broker.control import hear, say
from camagick_broker.errors import BusError, RemoteProtocolError
from camagick_broker.port import Port
from camagick_broker.reader import decode
from camagick_broker.reception import take_apart
from camagick_broker.refusals import Refusals
from camagick_broker.running import fate
from camagick_broker.tapping import stamp_of, topic_of
from camagick_broker.wire import Kind

if TYPE_CHECKING:
    from camagick_broker.reader import Body
    from camagick_broker.running import Card, Member

_ASK_S = 1.0
#: How long the broker may be silent before somebody looks whether the bus is there at all.
_SILENT_S = 1.5
_LOOK_S = 0.25
#: How long to wait for what is still under way when the bus has said that it has ended.
_REST_S = 0.5


class BusKilled(BusError):
    """The bus that was listened to has gone without a word."""


class Heard(NamedTuple):
    """What came through a tap.

    Attributes
    ----------
    seq
        Its iteration; of an end, the first iteration that does not exist.
    stamp
        See `camagick_broker.tapping`; None for an end of which only the broker told.
    body
        What it carries; None for an end.
    """

    seq: int
    stamp: tuple[int, int] | None
    body: Body | None


def heard_in(frames: list[Any], run: bytes, number: int) -> Heard:
    """Return what a message of a tap says.

    Raises
    ------
    RemoteProtocolError
        For anything but data of actor `number` of this run, or its end.
    """
    stamp = stamp_of(frames[0].bytes)
    head, body, buffers = take_apart(frames[1:], run)
    if head.edge != number or head.sender != number:
        raise RemoteProtocolError(f"message of another actor: {head.sender}, not {number}")
    if head.kind is Kind.END:
        return Heard(head.seq, stamp, None)
    if head.kind is not Kind.DATA:
        raise RemoteProtocolError(f"not for a tap: {head.kind.name}")
    return Heard(head.seq, stamp, decode(body, buffers))


class Listener:
    """Listens to the output of one actor of a running bus; for one thread.

    Parameters
    ----------
    card
        The bus.
    actor
        The actor.
    rate
        Messages a second, at most; None for all.

    Attributes
    ----------
    refused
        How many messages could not be read.
    ended
        Whether the tapped actor, or its bus, has ended, and everything that came was received.
    """

    def __init__(self, card: Card, actor: Member, rate: float | None) -> None:
        self._card, self._actor = card, actor
        self.refused = 0
        self.ended = False
        self._refusals = Refusals(f"tap of {card.bus}/{actor.name}")
        self._ask_at = 0.0
        self._heard_at = self._looked_at = time.monotonic()
        self._part_at: float | None = None
        self._end: int | None = None
        self._port = Port()
        try:
            folder = str(card.folder)
            name = b"t" + os.urandom(12)
            self._broker = self._port.connect_dealer(broker_address(folder), name)
            address = tap_address(folder, actor.number)
            self._data = self._port.connect_tap(address, topic_of(rate))
        except BaseException:
            self._port.close()
            raise

    def step(self, timeout_ms: int, *, receive: bool = True) -> list[Heard]:
        """Wait for messages and return those that came; no wait where `receive` is false.

        Parameters
        ----------
        timeout_ms
            How long to wait.
        receive
            False leaves messages where they are: the tap drops what finds no room there.

        Raises
        ------
        BusKilled
            When the bus has gone without a word.
        """
        heard: list[Heard] = []
        if self.ended:
            return heard
        for source in self._port.wait(timeout_ms if receive else 0):
            if source is not self._data:
                self._hear()
        if receive:
            heard = self._receive()
        return heard + self._watch_the_clock(idle=receive and not heard)

    def ring(self) -> None:
        """Make `step` return; any thread may call it."""
        self._port.ring()

    def close(self) -> None:
        """Leave."""
        self._port.close()

    def _watch_the_clock(self, *, idle: bool) -> list[Heard]:
        """Ask for the tap; return an end of which only the broker has told, once it is time."""
        now = time.monotonic()
        if self.ended:
            return []
        if self._part_at is not None:
            self.ended = idle and now > self._part_at
            return [Heard(self._end, None, None)] if self.ended and self._end is not None else []
        if now > self._ask_at and not self._broker.waiting:
            self._ask_at = now + _ASK_S
            self._broker.send([say(self._card.run, 0, {"op": "tap", "actor": self._actor.number})])
        if now > self._heard_at + _SILENT_S and now > self._looked_at + _LOOK_S:
            self._looked_at = now
            self._look(now)
        return []

    def _look(self, now: float) -> None:
        """See whether there is a bus at all, since its broker is silent."""
        found = fate(self._card)
        if found == "killed":
            raise BusKilled(f"bus {self._card.bus} was killed, nothing more comes of its actors")
        if found == "ended":
            self._part_at = now + _REST_S

    def _hear(self) -> None:
        for frames in self._port.receive(self._broker.socket):
            try:
                content = hear(frames[0].buffer, self._card.run)[1]
            except RemoteProtocolError as error:
                self._refusals.note("broker", error)
                continue
            self._heard_at = time.monotonic()
            if content["op"] == "over":
                figures = content.get("statistics")
                mine = figures.get(self._actor.number) if isinstance(figures, dict) else None
                self._note_end(mine.get("seq") if isinstance(mine, dict) else None)
            elif type(content.get("ended")) is int:
                self._note_end(content["ended"])

    def _note_end(self, seq: Any) -> None:
        """Note how far the actor came: its own end may have found no room here."""
        if self._part_at is None:
            self._part_at = time.monotonic() + _REST_S
            self._end = seq if type(seq) is int else None

    def _receive(self) -> list[Heard]:
        heard = []
        for frames in self._port.receive(self._data, 1):
            try:
                heard.append(self._take(frames))
            except RemoteProtocolError as error:
                self.refused += 1
                self._refusals.note("tap", error)
        return heard

    def _take(self, frames: list[Any]) -> Heard:
        heard = heard_in(frames, self._card.run, self._actor.number)
        self.ended = self.ended or heard.body is None
        return heard
