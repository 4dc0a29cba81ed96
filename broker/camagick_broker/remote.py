"""The listener's end of a tap on another host: as `Listener`, by way of that bus's gateway."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from camagick_broker.control import hear, say
from camagick_broker.errors import AddressError, RemoteProtocolError
from camagick_broker.keys import Key
from camagick_broker.listener import BusKilled, Heard, heard_in
from camagick_broker.port import Outlet, Port
from camagick_broker.refusals import Refusals
from camagick_broker.running import card_from
from camagick_broker.tapping import topic_of

if TYPE_CHECKING:
    from camagick_broker.grants import TapKey
    from camagick_broker.running import Card, Member

_ASK_S = 1.0
#: How long to wait for what is still under way when the bus has said that it has ended.
_REST_S = 0.5
#: How long a link may be cut before its bus counts as gone.
PATIENCE_S = 60.0
_FIRST_S = 10.0
#: No run begins later, in seconds since 1970: a clock would not show it.
_LATEST_S = 1e11


def find_there(key: TapKey, patience_s: float = _FIRST_S) -> Card:
    """Return the card of the bus that a key is for.

    Raises
    ------
    AddressError
        When it cannot be reached in time, or refuses the key.
    """
    port = Port()
    try:
        outlet = connect(port, key)
        deadline = time.monotonic() + patience_s
        ask_at = 0.0
        while (now := time.monotonic()) < deadline:
            if now > ask_at and not outlet.waiting:
                ask_at = now + _ASK_S
                outlet.send([say(key.run, 0, {"op": "card"})])
            for source in port.wait(50):
                for frames in port.receive(source):
                    if (card := _card_in(frames, key)) is not None:
                        return card
            if reason := refusal(port, key):
                raise AddressError(reason)
        raise AddressError(
            f"bus {key.bus} cannot be reached at {key.address}: it has ended, or the way is blocked"
        )
    except OSError as error:
        reason = f"bus {key.bus} cannot be reached at {key.address}: {error.strerror}"
        raise AddressError(reason) from None
    finally:
        port.close()


class RemoteListener:
    """Listens to the output of one actor of a bus on another host; for one thread.

    Parameters
    ----------
    key
        What was granted.
    actor
        Whom to listen to.
    rate
        Messages per second at most; None for all.

    Attributes
    ----------
    refused
        How many messages could not be read.
    ended
        Whether the tapped actor, or its bus, has ended, and everything that came was received.
    """

    def __init__(self, key: TapKey, actor: Member, rate: float | None) -> None:
        self._key, self._actor, self._topic = key, actor, topic_of(rate)
        self.refused = 0
        self.ended = False
        self._refusals = Refusals(f"tap of {key.bus}/{actor.name}")
        self._ask_at = 0.0
        self._heard_at = time.monotonic()
        self._part_at: float | None = None
        self._end: int | None = None
        self._messages = self._bytes = 0
        self._port = Port()
        try:
            self._outlet = connect(self._port, key)
        except BaseException:
            self._port.close()
            raise

    def step(self, timeout_ms: int, *, receive: bool = True) -> list[Heard]:
        """Wait for messages and return those that came; see `Listener.step`.

        Raises
        ------
        BusKilled
            When the key was revoked, or nothing has been heard of the bus for a minute.
        """
        if self.ended:
            return []
        readable = self._port.wait(timeout_ms if receive else 0)
        heard = self._receive() if receive and readable else []
        return heard + self._watch_the_clock(idle=receive and not heard, receive=receive)

    def ring(self) -> None:
        """Make `step` return; any thread may call it."""
        self._port.ring()

    def close(self) -> None:
        """Leave."""
        self._port.close()

    def _receive(self) -> list[Heard]:
        heard = []
        for frames in self._port.receive(self._outlet.socket, 1):
            self._heard_at = time.monotonic()
            try:
                if len(frames) == 1:
                    self._note(hear(frames[0].buffer, self._key.run)[1])
                    continue
                self._messages += 1
                self._bytes += sum(len(frame) for frame in frames)
                self._say("got")
                heard.append(heard_in(frames, self._key.run, self._actor.number))
                self.ended = self.ended or heard[-1].body is None
            except RemoteProtocolError as error:
                self.refused += 1
                self._refusals.note("tap", error)
        return heard

    def _note(self, content: dict[str, Any]) -> None:
        """Note how far the actor came, once that is known."""
        ended = content.get("ended")
        if self._part_at is None and (content["op"] == "over" or type(ended) is int):
            self._part_at = time.monotonic() + _REST_S
            self._end = ended if type(ended) is int else None

    def _watch_the_clock(self, *, idle: bool, receive: bool) -> list[Heard]:
        now = time.monotonic()
        if self.ended:
            return []
        if self._part_at is not None:
            self.ended = idle and now > self._part_at
            return [Heard(self._end, None, None)] if self.ended and self._end is not None else []
        if reason := refusal(self._port, self._key):
            raise BusKilled(reason)
        if now > self._ask_at and not self._outlet.waiting:
            self._ask_at = now + _ASK_S
            self._say("tap", actor=self._actor.number, topic=self._topic)
        if not receive:
            self._heard_at = max(self._heard_at, now - PATIENCE_S / 2)
        elif now > self._heard_at + PATIENCE_S:
            raise BusKilled(f"nothing heard of bus {self._key.bus} for {PATIENCE_S:.0f} s")
        return []

    def _say(self, op: str, **more: Any) -> None:
        """Say something to the gateway, and how much has come from it."""
        content = {"op": op, "messages": self._messages, "bytes": self._bytes, **more}
        self._outlet.send([say(self._key.run, 0, content)])


def connect(port: Port, key: TapKey) -> Outlet:
    """Return what reaches the gateway of the bus that a key is for."""
    return port.connect_dealer(key.address, b"t" + os.urandom(12), Key(key.own, key.server))


def refusal(port: Port, key: TapKey) -> str:
    """Return that the gateway refuses a key at present, and why; '' where it does not."""
    reason = port.refused_by.get(key.address)
    return f"{key.address} refuses the key for bus {key.bus}: {reason}" if reason else ""


def _card_in(frames: list[Any], key: TapKey) -> Card | None:
    try:
        content = hear(frames[0].buffer, key.run)[1]
        card = card_from(content["card"]) if content["op"] == "card" else None
    except (RemoteProtocolError, ValueError, TypeError, KeyError, OverflowError):
        return None
    return card if card is not None and _can_be_shown(card) else None


def _can_be_shown(card: Card) -> bool:
    """Tell whether nothing in a card of somebody else would move a terminal's cursor, or worse."""
    texts = [card.bus, card.host, *(text for one in card.actors for text in (one.name, one.host))]
    return 0 <= card.started < _LATEST_S and all(map(str.isprintable, texts))
