"""Who listens to a bus by way of its gateway: each is handed what comes, as far as he keeps up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from camagick_broker.address import tap_address
from camagick_broker.errors import RemoteProtocolError
from camagick_broker.looking import LEASE_S
from camagick_broker.tapping import rate_of

if TYPE_CHECKING:
    from collections.abc import Callable

    import zmq

    from camagick_broker.port import Port
    from camagick_broker.running import Card

#: How far a listener may be behind, within which number of messages he always may be.
_BEHIND_BYTES, _BEHIND = 1 << 24, 3
_MOST = 256


@dataclass
class _Listener:
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


class Listeners:
    """All of them, and the taps that they need; for one thread.

    Parameters
    ----------
    card
        The bus.
    port
        Where taps are opened.
    send
        Sends frames to a peer.
    """

    def __init__(self, card: Card, port: Port, send: Callable[[bytes, list[Any]], None]) -> None:
        self._card, self._port, self._send = card, port, send
        self._all: dict[bytes, _Listener] = {}
        self._taps: dict[tuple[int, bytes], zmq.Socket[bytes]] = {}

    def __bool__(self) -> bool:
        return bool(self._all)

    def welcome(self, peer: bytes, content: dict[str, Any], now: float) -> bool:
        """Let somebody listen as he asks for it, again and again; tell whether that is a new tap.

        Raises
        ------
        RemoteProtocolError
            For what cannot be listened to.
        """
        actor, topic, guest = content.get("actor"), content.get("topic"), self._all.get(peer)
        if type(actor) is not int or not any(actor == one.number for one in self._card.actors):
            raise RemoteProtocolError(f"no such actor: {actor!r:.40}")
        if type(topic) is not bytes:
            raise RemoteProtocolError(f"not a topic of a tap: {topic!r:.40}")
        rate_of(topic)
        if guest is not None and (guest.actor, guest.topic) == (actor, topic):
            guest.seen = now
        elif guest is not None or len(self._all) < _MOST:
            # He may have listened before: to a gateway that was killed, or so long ago.
            messages, size = _counts(content)
            self._all[peer] = _Listener(
                actor, topic, now, sent=messages, sent_bytes=size, got=messages, got_bytes=size
            )
            if (actor, topic) not in self._taps:
                address = tap_address(str(self._card.folder), actor)
                self._taps[actor, topic] = self._port.connect_tap(address, topic)
                return True
        return False

    def got(self, peer: bytes, content: dict[str, Any]) -> None:
        """Note how much has come to somebody; no more than was sent, whatever he says.

        Raises
        ------
        RemoteProtocolError
            For what is no such count.
        """
        guest = self._all.get(peer)
        if guest is not None:
            messages, size = _counts(content)
            guest.got, guest.got_bytes = min(messages, guest.sent), min(size, guest.sent_bytes)

    def hand_on(self, source: zmq.Socket[bytes]) -> None:
        """Hand what has come through a tap to those who listen to it."""
        wanted = next((what for what, one in self._taps.items() if one is source), None)
        for frames in self._port.receive(source):
            size = sum(len(frame) for frame in frames)
            for peer, guest in self._all.items():
                if (guest.actor, guest.topic) == wanted and guest.keeps_up(size):
                    guest.sent += 1
                    guest.sent_bytes += size
                    self._send(peer, frames)

    def at(self) -> dict[bytes, int]:
        """Return who listens, and to which actor."""
        return {peer: guest.actor for peer, guest in self._all.items()}

    def wanted(self, now: float) -> set[int]:
        """Return which actors are listened to; forget who has gone, and close their taps."""
        for peer in [peer for peer, one in self._all.items() if one.seen < now - LEASE_S]:
            del self._all[peer]
        wanted = {(guest.actor, guest.topic) for guest in self._all.values()}
        for what in [what for what in self._taps if what not in wanted]:
            self._port.drop(self._taps.pop(what))
        return {actor for actor, _ in wanted}


def _counts(content: dict[str, Any]) -> tuple[int, int]:
    messages, size = content.get("messages"), content.get("bytes")
    if type(messages) is not int or type(size) is not int:
        raise RemoteProtocolError("an unusable count of what has arrived")
    return messages, size
