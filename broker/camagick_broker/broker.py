"""The broker: one small process per bus, never on the data path."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from camagick_broker.address import broker_address
from camagick_broker.admission import Doorman, has_gone, is_kin, pid_of
from camagick_broker.control import hear, say
from camagick_broker.desk import Desk
from camagick_broker.directory import Directory
from camagick_broker.errors import RemoteProtocolError
from camagick_broker.port import Outlet, Port, sender
from camagick_broker.refusals import Refusals

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

log = logging.getLogger(__name__)

_PATIENCE_S = 10.0
#: What anybody may ask who may enter the folder; all else is for actors of the run.
_FOR_ALL = ("status", "watch", "tap")
#: How long to wait, at the end, for the last figures of actors, where somebody wants them.
_LAST_WORDS_S = 1.0
_MOST_PLACES = 16


class Broker:
    """Keeps the directory, holds everybody at the start barrier, collects statistics.

    Parameters
    ----------
    run, bus_dir
        Identity of the run; folder of the bus.
    names
        Number and name of every actor.
    watchers
        How many want to be told the end: it waits a little for those that have not asked yet.
    """

    def __init__(
        self, run: bytes, bus_dir: str, names: Mapping[int, str], watchers: int = 0
    ) -> None:
        self._run = run
        self._directory = Directory(names)
        self._peers: dict[int, bytes] = {}
        self._refusals = Refusals("broker")
        self._desk = Desk(self._directory, self._peers, self._tell, watchers, self._refusals.counts)
        self._port = Port(Doorman(self._refusals))
        try:
            self._outlet: Outlet = self._port.bind_router(broker_address(bus_dir))
        except BaseException:
            self._port.close()
            raise

    def serve(self, stopped: Callable[[], bool], orphaned: Callable[[], bool] = bool) -> None:
        """Answer until `stopped`; tell those who watch how it has ended, unless `orphaned`."""
        complain_at = time.monotonic() + _PATIENCE_S
        try:
            while not stopped():
                self._listen(200)
                if not self._directory.going and time.monotonic() > complain_at:
                    complain_at += 6 * _PATIENCE_S
                    log.warning(
                        'msg="not started yet, still waiting" for=%s',
                        ",".join(self._directory.waiting_for),
                    )
            if not orphaned():
                self._end()
        finally:
            self._port.close()

    def ring(self) -> None:
        """Make `serve` look whether it is stopped; for signal handlers."""
        self._port.ring()

    def _listen(self, timeout_ms: int) -> None:
        if self._port.wait(timeout_ms):
            for frames in self._port.receive(self._outlet.socket):
                self._hear([frame.bytes for frame in frames], sender(frames))

    def _end(self) -> None:
        """Tell those who watch how the run has ended; all actors have ended before the broker."""
        deadline = time.monotonic() + _LAST_WORDS_S
        while not self._desk.may_part and time.monotonic() < deadline:
            self._listen(20)
        self._desk.over()

    def _hear(self, frames: list[bytes], peer: str) -> None:
        try:
            if len(frames) != 2:
                raise RemoteProtocolError(f"wrong number of frames: {len(frames) - 1}")  # noqa: TRY301
            number, content = hear(frames[1], self._run)
            answer = getattr(self, f"_on_{content['op']}", None)
            if answer is None:
                raise RemoteProtocolError(f"unknown request: {content['op'][:40]!r}")  # noqa: TRY301
            if content["op"] not in _FOR_ALL and not self._is_actor(number, peer):
                if has_gone(peer):  # its last words came before its first were heard
                    return
                raise RemoteProtocolError(f"a stranger says that he is an actor: {number}")  # noqa: TRY301
            answer(frames[0], number, content)
        except RemoteProtocolError as error:
            self._refusals.note("broker", error, peer)

    def _is_actor(self, number: int, peer: str) -> bool:
        """Tell whether a peer is of this run; one that has left is known by what it registered."""
        known = self._directory.actors.get(number)
        return is_kin(peer) or (known is not None and known["pid"] == pid_of(peer))

    def _on_register(self, peer: bytes, sender: int, content: dict[str, Any]) -> None:
        before, news = self._directory.going, self._directory.register(sender, content)
        self._peers[sender] = peer
        if news:
            self._tell_all({"op": "directory", "actors": self._directory.actors})
        self._let_go(sender, before=before)

    def _on_ready(self, _peer: bytes, sender: int, _content: dict[str, Any]) -> None:
        before = self._directory.going
        self._directory.ready(sender)
        self._let_go(sender, before=before)

    def _let_go(self, number: int, *, before: bool) -> None:
        """Open the barrier for everybody, or, where it is open, for one that has come late."""
        if self._directory.may_go(number):
            for other in [number] if before else list(self._peers):
                if other in self._peers:
                    self._tell(self._peers[other], {"op": "go"})

    def _on_statistics(self, peer: bytes, sender: int, content: dict[str, Any]) -> None:
        before = self._directory.statistics.get(sender)
        self._directory.report(sender, content)
        self._desk.reported(sender, before)
        if not self._directory.knows(sender):  # it registered with a broker that was killed
            self._tell(peer, {"op": "who"})

    def _on_status(self, peer: bytes, _sender: int, _content: dict[str, Any]) -> None:
        self._desk.status(peer)

    def _on_watch(self, peer: bytes, _sender: int, _content: dict[str, Any]) -> None:
        self._desk.watch(peer)

    def _on_tap(self, peer: bytes, _sender: int, content: dict[str, Any]) -> None:
        self._desk.tap(peer, content.get("actor"))

    def _on_refused(self, _peer: bytes, _sender: int, content: dict[str, Any]) -> None:
        """Take over what the gateway has refused, so that it is seen where all is seen."""
        counts = content.get("counts")
        if isinstance(counts, dict):
            for place, count in list(counts.items())[:_MOST_PLACES]:
                if type(place) is str and type(count) is int:
                    self._refusals.counts[place[:80]] = count

    def _tell(self, peer: bytes, content: dict[str, Any]) -> None:
        self._outlet.send([peer, say(self._run, 0, content)])

    def _tell_all(self, content: dict[str, Any]) -> None:
        words = say(self._run, 0, content)  # the directory of a thousand actors is long
        for peer in self._peers.values():
            self._outlet.send([peer, words])
