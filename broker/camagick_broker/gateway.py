"""The gateway of a bus: holders of granted keys may look at it and listen from other hosts.

A process of its own, so that neither broker nor actors have a socket that others can reach. It
listens to taps as anybody on this host may, and hands on what it hears to those who asked, as far
as they keep up: each may be so many bytes behind, what is more is left out, and counted at the
other end, as with every tap. It asks the broker for those who look. All that they may say is who
they want to hear, how much has arrived, that they look, and, with a key that was made for that,
that the run shall end.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from camagick_broker import grants
from camagick_broker.address import broker_address
from camagick_broker.admission import Doorman
from camagick_broker.control import hear, say
from camagick_broker.errors import RemoteProtocolError
from camagick_broker.keys import Lock
from camagick_broker.listeners import Listeners
from camagick_broker.looking import LEASE_S, Looking, shown, shown_card
from camagick_broker.port import Port, sender, sender_name
from camagick_broker.refusals import Refusals

if TYPE_CHECKING:
    from collections.abc import Callable

    from camagick_broker.running import Card

log = logging.getLogger(__name__)

PLACE = "taps"
_TURN_MS = 100
_ASK_S = 1.0


class Gateway:
    """Serves one bus; for one thread.

    Parameters
    ----------
    card
        The bus.
    address
        Where it listens, ``tcp://HOST:PORT``.
    end
        Asks whoever runs the bus to drain and end it, again and again without harm; returns why
        that cannot be, '' if it is done.

    Raises
    ------
    OSError
        When nobody can listen there.
    """

    def __init__(self, card: Card, address: str, end: Callable[[], str]) -> None:
        self._card, self._end = card, end
        self._refusals = Refusals("gateway")
        self._told: dict[str, int] = {}
        self._admitted: dict[bytes, str] = {}
        self._may_end: set[str] = set()
        self._enders: set[str] = set()
        self._lock = Lock(grants.gateway_keys(card.folder), self._admitted)
        self._admit()  # before anybody can come: the guests of a killed gateway do at once
        self._ask_at = 0.0
        self.over = False
        self._port = Port(Doorman(self._refusals))
        self._looking = Looking()
        self._listeners = Listeners(card, self._port, self._send)
        try:
            self._front = self._port.bind_router(address, PLACE, self._lock)
            self._broker = self._port.connect_dealer(broker_address(str(card.folder)), b"gateway")
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
        return self.over or not (self._listeners or self._looking)

    def ring(self) -> None:
        """Make `serve` look whether it is stopped; for signal handlers."""
        self._port.ring()

    def turn(self, timeout_ms: int) -> None:
        """Do what there is to do."""
        self._look_at_grants()  # before the wait: it may close what that would name
        for source in self._port.wait(timeout_ms):
            if source is self._front.socket:
                self._hear_guests()
            elif source is self._broker.socket:
                self._hear_broker()
            else:
                self._listeners.hand_on(source)
        now = time.monotonic()
        if now > self._ask_at:
            self._ask_at = now + _ASK_S
            self._ask(now)
        if not self._broker.waiting and self._looking.ask(now):
            self._say({"op": "watch"})

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
        granted = grants.granted(self._card.folder)
        self._may_end = {f"key {one.id}" for one in granted if one.may_end}
        known = {one.public: f"key {one.id}" for one in granted}
        if known.keys() != self._admitted.keys():
            self._admitted.clear()
            self._admitted.update(known)

    def _hang_up(self) -> None:
        """End all connections: those who may come in are back at once."""
        self._port.drop(self._front.socket)
        deadline = time.monotonic() + LEASE_S
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
                peer, content = frames[0].bytes, hear(frames[1].buffer, self._card.run)[1]
                if content["op"] == "end":
                    self._end_run(peer, sender_name(frames))
                else:
                    self._answer(peer, content)
            except RemoteProtocolError as error:
                who = f"{sender_name(frames)} at {sender(frames)}"
                self._refusals.note(PLACE, error, who, once_for=who)

    def _end_run(self, peer: bytes, who: str) -> None:
        """End the run, if this key may; whoever ends it is told the end."""
        if who not in self._may_end:
            self._tell(peer, {"op": "end", "may": False})
            raise RemoteProtocolError("a key that may only look and listen: it asks for the end")
        self._looking.come(peer, time.monotonic())
        self._say({"op": "watch"})  # first: the broker's last word may come at once
        why_not = self._end()
        if who not in self._enders:
            self._enders.add(who)
            log.warning('msg="%s" by="%s"', why_not or "ended from elsewhere: it drains", who)
        self._tell(peer, {"op": "end", "may": True, "why_not": why_not})

    def _answer(self, peer: bytes, content: dict[str, Any]) -> None:
        op, now = content["op"], time.monotonic()
        if op == "card":
            self._tell(peer, {"op": "card", "card": shown_card(self._card)})
        elif op == "watch":
            self._looking.come(peer, now)
        elif op == "tap":
            if self._listeners.welcome(peer, content, now):
                self._ask_at = 0.0
            self._tell(peer, {"op": "tap", "ended": None})
        elif op == "got":
            self._listeners.got(peer, content)
        else:
            raise RemoteProtocolError(f"a tap may only listen: it asks for {op[:40]!r}")

    def _hear_broker(self) -> None:
        for frames in self._port.receive(self._broker.socket):
            try:
                content = hear(frames[0].buffer, self._card.run)[1]
            except RemoteProtocolError as error:
                self._refusals.note("broker", error)
                continue
            self.over = self.over or content["op"] == "over"
            if content["op"] in ("status", "over"):
                self._show(content)
            for peer, actor in self._listeners.at().items():
                if content["op"] == "over":
                    figures = content.get("statistics", {}).get(actor, {})
                    self._tell(peer, {"op": "over", "ended": figures.get("seq")})
                elif content.get("actor") == actor and content.get("ended") is not None:
                    self._tell(peer, {"op": "tap", "ended": content["ended"]})

    def _show(self, content: dict[str, Any]) -> None:
        """Hand the broker's answer to those who wait for it, its last word to all who look."""
        peers = set(self._looking) if content["op"] == "over" else self._looking.served()
        if peers:
            frame = say(self._card.run, 0, shown(content))
            for peer in peers:
                self._send(peer, [frame])

    def _ask(self, now: float) -> None:
        """Let actors be tapped as long as somebody listens; tell the broker what was refused."""
        self._looking.forget(now)
        wanted = self._listeners.wanted(now)
        if self._broker.waiting:
            return
        for actor in wanted:
            self._say({"op": "tap", "actor": actor})
        if self._told != self._refusals.counts:
            self._told = dict(self._refusals.counts)
            self._say({"op": "refused", "counts": self._told})

    def _say(self, content: dict[str, Any]) -> None:
        self._broker.send([say(self._card.run, 0, content)])

    def _tell(self, peer: bytes, content: dict[str, Any]) -> None:
        self._send(peer, [say(self._card.run, 0, content)])

    def _send(self, peer: bytes, frames: list[Any]) -> None:
        self._front.send([peer, *frames])
