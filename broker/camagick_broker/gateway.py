"""The gateway of a bus: holders of granted keys may listen to its actors from other hosts.

A process of its own, so that neither broker nor actors have a socket that others can reach. It
listens to taps as anybody on this host may, and hands on what it hears to those who asked, as far
as they keep up: each may be so many bytes behind, what is more is left out, and counted at the
other end, as with every tap. All that they may say is who they want to hear, and how much has
arrived.
"""

from __future__ import annotations

import logging
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from camagick_broker import grants
from camagick_broker.address import broker_address, tap_address
from camagick_broker.admission import Doorman
from camagick_broker.control import hear, say
from camagick_broker.errors import RemoteProtocolError
from camagick_broker.keys import Lock
from camagick_broker.port import Port, sender, sender_name
from camagick_broker.refusals import Refusals
from camagick_broker.tapping import rate_of

if TYPE_CHECKING:
    from collections.abc import Callable

    import zmq

    from camagick_broker.running import Card

log = logging.getLogger(__name__)

PLACE = "taps"
_TURN_MS = 100
_ASK_S = 1.0
#: Who has not asked for so long has gone.
_LEASE_S = 10.0
#: How far a listener may be behind, within which number of messages he always may be.
_BEHIND_BYTES, _BEHIND = 1 << 24, 3
_MOST_LISTENERS = 256


@dataclass
class _Guest:
    """Somebody who listens."""

    actor: int
    topic: bytes
    seen: float
    sent: int = 0
    sent_bytes: int = 0
    got: int = 0
    got_bytes: int = 0

    def keeps_up(self, size: int) -> bool:
        """Tell whether he can be sent another message of this size."""
        behind = self.sent_bytes - self.got_bytes + size
        return behind <= _BEHIND_BYTES or self.sent - self.got < _BEHIND


class Gateway:
    """Serves one bus; for one thread.

    Parameters
    ----------
    card
        The bus.
    address
        Where it listens, ``tcp://HOST:PORT``.

    Raises
    ------
    OSError
        When nobody can listen there.
    """

    def __init__(self, card: Card, address: str) -> None:
        self._card, self._folder = card, str(card.folder)
        self._refusals = Refusals("gateway")
        self._told: dict[str, int] = {}
        self._admitted: dict[bytes, str] = {}
        self._lock = Lock(grants.gateway_keys(card.folder), self._admitted)
        self._admit()  # before anybody can come: the guests of a killed gateway do at once
        self._guests: dict[bytes, _Guest] = {}
        self._taps: dict[tuple[int, bytes], zmq.Socket[bytes]] = {}
        self._ask_at = 0.0
        self.over = False
        self._port = Port(Doorman(self._refusals))
        try:
            self._front = self._port.bind_router(address, PLACE, self._lock)
            self._broker = self._port.connect_dealer(broker_address(self._folder), b"gateway")
            self._address = self._front.endpoint
            grants.announce(card.folder, self._address, self._lock.own.public)
        except BaseException:
            self._port.close()
            raise
        log.info('msg="taps from other hosts" at=%s', self._address)

    def serve(self, stopped: Callable[[], bool]) -> None:
        """Serve until `stopped`."""
        try:
            while not stopped():
                self.turn(_TURN_MS)
        finally:
            self._port.close()

    @property
    def may_part(self) -> bool:
        """Whether the broker has said how the bus has ended, or nobody waits for that."""
        return self.over or not self._guests

    def ring(self) -> None:
        """Make `serve` look whether it is stopped; for signal handlers."""
        self._port.ring()

    def turn(self, timeout_ms: int) -> None:
        """Do what there is to do."""
        readable = self._port.wait(timeout_ms)
        self._look_at_grants()
        for source in readable:
            if source is self._front.socket:
                self._hear_guests()
            elif source is self._broker.socket:
                self._hear_broker()
            else:
                self._hand_on(source)
        if time.monotonic() > self._ask_at:
            self._ask_at = time.monotonic() + _ASK_S
            self._ask()

    def _look_at_grants(self) -> None:
        """Admit whom there is a grant for; hang up on those whose grant was revoked."""
        ended = grants.revoked(self._card.folder)
        self._admit()
        if ended:
            self._hang_up()
            for path in ended:
                log.info('msg="a key was revoked" key=%s', path.stem)
                path.rename(path.with_suffix(".gone"))

    def _admit(self) -> None:
        known = {one.public: f"key {one.id}" for one in grants.granted(self._card.folder)}
        if known.keys() != self._admitted.keys():
            self._admitted.clear()
            self._admitted.update(known)

    def _hang_up(self) -> None:
        """End all connections: those who may come in are back at once."""
        self._port.drop(self._front.socket)
        deadline = time.monotonic() + _LEASE_S
        while True:
            try:
                self._front = self._port.bind_router(self._address, PLACE, self._lock)
            except OSError:  # libzmq closes the old one in its own time
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.005)
            else:
                return

    def _hear_guests(self) -> None:
        for frames in self._port.receive(self._front.socket):
            try:
                if len(frames) != 2:
                    raise RemoteProtocolError("a tap may only listen: it sends data")  # noqa: TRY301
                self._answer(frames[0].bytes, hear(frames[1].buffer, self._card.run)[1])
            except RemoteProtocolError as error:
                who = f"{sender_name(frames)} at {sender(frames)}"
                self._refusals.note(PLACE, error, who, once_for=who)

    def _answer(self, peer: bytes, content: dict[str, Any]) -> None:
        op, guest = content["op"], self._guests.get(peer)
        if op == "card":
            shown = {**asdict(self._card), "run": self._card.run.hex(), "command": [], "pid": 0}
            self._tell(peer, {"op": "card", "card": shown})
        elif op == "tap":
            self._welcome(peer, guest, content)
        elif op == "got" and guest is not None:
            messages, size = _counts(content)
            guest.got, guest.got_bytes = min(messages, guest.sent), min(size, guest.sent_bytes)
        elif op != "got":
            raise RemoteProtocolError(f"a tap may only listen: it asks for {op[:40]!r}")

    def _welcome(self, peer: bytes, guest: _Guest | None, content: dict[str, Any]) -> None:
        actor, topic = content.get("actor"), content.get("topic")
        if type(actor) is not int or not any(actor == one.number for one in self._card.actors):
            raise RemoteProtocolError(f"no such actor: {actor!r:.40}")
        if type(topic) is not bytes:
            raise RemoteProtocolError(f"not a topic of a tap: {topic!r:.40}")
        rate_of(topic)
        now = time.monotonic()
        if guest is not None and (guest.actor, guest.topic) == (actor, topic):
            guest.seen = now
        elif guest is not None or len(self._guests) < _MOST_LISTENERS:
            # He may have listened before: to a gateway that was killed, or so long ago.
            messages, size = _counts(content)
            self._guests[peer] = _Guest(
                actor, topic, now, sent=messages, sent_bytes=size, got=messages, got_bytes=size
            )
            if (actor, topic) not in self._taps:
                address = tap_address(self._folder, actor)
                self._taps[actor, topic] = self._port.connect_tap(address, topic)
                self._ask_at = 0.0
        self._tell(peer, {"op": "tap", "ended": None})

    def _hand_on(self, source: zmq.Socket[bytes]) -> None:
        wanted = next((what for what, one in self._taps.items() if one is source), None)
        for frames in self._port.receive(source):
            size = sum(len(frame) for frame in frames)
            for peer, guest in self._guests.items():
                if (guest.actor, guest.topic) == wanted and guest.keeps_up(size):
                    guest.sent += 1
                    guest.sent_bytes += size
                    self._front.send([peer, *frames])

    def _hear_broker(self) -> None:
        for frames in self._port.receive(self._broker.socket):
            try:
                content = hear(frames[0].buffer, self._card.run)[1]
            except RemoteProtocolError as error:
                self._refusals.note("broker", error)
                continue
            self.over = self.over or content["op"] == "over"
            for peer, guest in self._guests.items():
                if content["op"] == "over":
                    figures = content.get("statistics", {}).get(guest.actor, {})
                    self._tell(peer, {"op": "over", "ended": figures.get("seq")})
                elif content.get("actor") == guest.actor and content.get("ended") is not None:
                    self._tell(peer, {"op": "tap", "ended": content["ended"]})

    def _ask(self) -> None:
        """Let actors be tapped as long as somebody listens; tell the broker what was refused."""
        limit = time.monotonic() - _LEASE_S
        for peer in [peer for peer, guest in self._guests.items() if guest.seen < limit]:
            del self._guests[peer]
        wanted = {(guest.actor, guest.topic) for guest in self._guests.values()}
        for what in [what for what in self._taps if what not in wanted]:
            self._port.drop(self._taps.pop(what))
        if self._broker.waiting:
            return
        for actor in {actor for actor, _ in wanted}:
            self._say({"op": "tap", "actor": actor})
        if self._told != self._refusals.counts:
            self._told = dict(self._refusals.counts)
            self._say({"op": "refused", "counts": self._told})

    def _say(self, content: dict[str, Any]) -> None:
        self._broker.send([say(self._card.run, 0, content)])

    def _tell(self, peer: bytes, content: dict[str, Any]) -> None:
        self._front.send([peer, say(self._card.run, 0, content)])


def _counts(content: dict[str, Any]) -> tuple[int, int]:
    messages, size = content.get("messages"), content.get("bytes")
    if type(messages) is not int or type(size) is not int:
        raise RemoteProtocolError("an unusable count of what has arrived")
    return messages, size
