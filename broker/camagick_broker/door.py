"""The doors of one process: who comes to sockets that are bound, and who turns us away elsewhere.

ZeroMQ asks a *ZAP handler* (RFC 27) about everybody who connects to a socket with a domain; the
handler is here, a `Doorman` decides. On ipc he knows the process, on tcp the key. What never gets
as far as that (noise, a port scan, a wrong handshake) is heard of by socket monitors only.

A socket that connects and is refused for its key is given up by libzmq for good (seen in 4.3.5):
who refuses may be somebody else by then, or know the key, so it is connected again after a while.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket as sockets
import struct
import time
from typing import TYPE_CHECKING, Any

import zmq
from zmq.utils import z85

from camagick_broker.admission import NO_KEY, Callers, Visits
from camagick_broker.errors import LocalProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable

    from camagick_broker.admission import Doorman
    from camagick_broker.keys import Key, Lock
    from camagick_broker.poller import Poller

log = logging.getLogger(__name__)

_MONITORED = struct.Struct("=HI")  # number and value of an event
_ZAP = "inproc://zeromq.zap.01"
_FAILED = (
    zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL | zmq.EVENT_HANDSHAKE_FAILED_AUTH
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
)  # fmt: skip
_EVENTS = zmq.EVENT_ACCEPTED | zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED | _FAILED
_AGAIN_S = 1.0
#: So many handshakes in a row that are hung up on are no accident.
_HUNG_UP = 3
_WHY_NOT = {
    zmq.EVENT_HANDSHAKE_FAILED_AUTH: "wrong or revoked key",
    zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL: "it has another key than expected, or none",
    zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL: "it hangs up: it has another key than expected",
}


class Door:
    """Answers ZAP, and listens to what monitors say; for the thread of its port.

    Parameters
    ----------
    context, poller
        Of the port.
    doorman
        Decides who may connect; None lets everybody in.

    Attributes
    ----------
    refused_by
        Addresses that refuse us at present, and why.
    handlers
        What is to be called, with it, for each source of this door that can be read.
    """

    def __init__(
        self, context: zmq.Context[zmq.Socket[bytes]], poller: Poller, doorman: Doorman | None
    ) -> None:
        self._poller, self._doorman = poller, doorman
        self.handlers: dict[Any, Callable[[Any], None]] = {}
        self._monitors: dict[zmq.Socket[bytes], zmq.Socket[bytes]] = {}
        self._locks: dict[str, tuple[str, Lock]] = {}
        self._again: list[tuple[float, zmq.Socket[bytes], str]] = []
        self.refused_by: dict[str, str] = {}
        if doorman is not None:
            answers = context.socket(zmq.REP)
            answers.linger = 0
            answers.bind(_ZAP)
            self._attend(answers, self._on_request)

    def guard(self, socket: zmq.Socket[bytes], place: str, lock: Lock | None) -> None:
        """Show the doorman who connects to a socket that is about to be bound.

        Parameters
        ----------
        socket, place
            The socket, and what the log calls it.
        lock
            Keys that may come in, where kinship says nothing.
        """
        if lock is not None:
            self._lock(socket, place, lock)
        elif self._doorman is not None:
            socket.zap_domain = place.encode()
            self.listen(socket, place)

    def listen(self, socket: zmq.Socket[bytes], place: str) -> None:
        """Count those who come and do not speak ZeroMQ."""
        if self._doorman is None:
            return
        doorman, visits = self._doorman, Visits()

        def hear(event: int, value: int) -> None:
            if _is_noise(visits, event, value):
                doorman.heard_noise(place)

        self._monitor(socket, hear)

    def escort(self, socket: zmq.Socket[bytes], address: str, key: Key) -> None:
        """Give a socket that is about to connect its key, and say so if that is refused."""
        socket.curve_publickey, socket.curve_secretkey = key.own
        socket.curve_serverkey = key.server
        failures = 0

        def hear(event: int, _value: int) -> None:
            nonlocal failures
            if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                failures = 0
                self.refused_by.pop(address, None)
                return
            failures += 1
            if event != zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL:
                self._again.append((time.monotonic() + _AGAIN_S, socket, address))
            elif failures < _HUNG_UP:  # it may just have ended
                return
            self._note(address, _WHY_NOT[zmq.Event(event)])

        self._monitor(socket, hear, zmq.EVENT_HANDSHAKE_SUCCEEDED | _FAILED)

    def patience_ms(self, timeout_ms: int) -> int:
        """Return how long to wait at most; first connect again what is due."""
        if not self._again:
            return timeout_ms
        now = time.monotonic()
        due = [one for one in self._again if one[0] <= now]
        self._again = [one for one in self._again if one[0] > now]
        for _, socket, address in due:
            with contextlib.suppress(zmq.ZMQError):  # libzmq may have forgotten it
                socket.disconnect(address)
            with contextlib.suppress(zmq.ZMQError):  # the socket may be closed
                socket.connect(address)
            self._poller.touched(socket)
        if not self._again:
            return timeout_ms
        soonest = int((min(self._again)[0] - now) * 1000) + 1
        return min(timeout_ms, soonest) if timeout_ms >= 0 else soonest

    def forgive(self, socket: zmq.Socket[bytes]) -> None:
        """Connect a socket no more to what has refused it: it goes elsewhere."""
        self._again = [one for one in self._again if one[1] is not socket]

    def forget(self, socket: zmq.Socket[bytes]) -> None:
        """Stop listening to what the monitor of a socket says: it is about to be closed."""
        self._again = [one for one in self._again if one[1] is not socket]
        monitor = self._monitors.pop(socket, None)
        if monitor is not None:
            self._poller.forget(monitor)
            del self.handlers[monitor]
            socket.disable_monitor()
            monitor.close(0)

    def _note(self, address: str, reason: str) -> None:
        if self.refused_by.get(address) != reason:
            self.refused_by[address] = reason
            log.warning('msg="refused by %s" reason="%s"', address, reason)

    def _lock(self, socket: zmq.Socket[bytes], place: str, lock: Lock) -> None:
        """Let in who has a key that is admitted; nobody at all without the handler."""
        if self._doorman is None:
            raise LocalProtocolError("a socket with a lock needs a doorman")
        domain = f"{place}/{len(self._locks)}"
        self._locks[domain] = place, lock
        socket.curve_server = True
        socket.curve_publickey, socket.curve_secretkey = lock.own
        # Without both of these, libzmq admits everybody should there be no handler (seen).
        socket.zap_domain = domain.encode()
        socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)
        doorman, callers = self._doorman, Callers()

        def hear(event: int, value: int) -> None:
            fault = _fault(callers, event, value)
            if fault is not None:
                doorman.refuse(place, *fault)

        self._monitor(socket, hear)

    def _monitor(
        self, socket: zmq.Socket[bytes], hear: Callable[[int, int], None], events: int = _EVENTS
    ) -> None:
        def drain(monitor: zmq.Socket[bytes]) -> None:
            with contextlib.suppress(zmq.Again):
                for _ in range(64):
                    number, value = _MONITORED.unpack(monitor.recv_multipart(zmq.NOBLOCK)[0])
                    hear(number, value)

        monitor = socket.get_monitor_socket(events)
        self._monitors[socket] = monitor
        self._attend(monitor, drain)

    def _attend(self, source: zmq.Socket[bytes], handler: Callable[[Any], None]) -> None:
        self.handlers[source] = handler
        self._poller.watch(source)

    def _on_request(self, answers: zmq.Socket[bytes]) -> None:
        """Answer one question of libzmq; what cannot be understood is a refusal."""
        with contextlib.suppress(zmq.Again):
            frames = answers.recv_multipart(zmq.NOBLOCK)
            who = self._who(frames)
            status = b"400" if who is None else b"200"
            answers.send_multipart([*frames[:2], status, b"", (who or "").encode(), b""])

    def _who(self, frames: list[bytes]) -> str | None:
        """Return who it is that wants to connect, '' if that has no name; None to refuse it."""
        doorman = self._doorman
        if doorman is None or len(frames) < 6:
            return None
        domain, peer = frames[2].decode(), frames[3].decode("latin-1")
        if domain not in self._locks:
            return "" if doorman.admits(domain, peer) else None
        place, lock = self._locks[domain]
        if frames[5] != b"CURVE" or len(frames) != 7:
            return None
        return doorman.recognises(place, peer, z85.encode(frames[6]), lock.admitted)


def _is_noise(visits: Visits, event: int, value: int) -> bool:
    if event == zmq.EVENT_ACCEPTED:
        visits.came(value)
    elif event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
        visits.succeeded()
    elif event == zmq.EVENT_DISCONNECTED:
        return visits.went(value)
    elif event != zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL:
        visits.excused()
    return False


def _fault(callers: Callers, event: int, value: int) -> tuple[str, str] | None:
    """Return what is wrong with a caller that was hung up on, and his address."""
    if event == zmq.EVENT_ACCEPTED:
        callers.came(value, _host_at(value))
    elif event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
        callers.succeeded()
    elif event == zmq.EVENT_DISCONNECTED:
        return callers.went(value)
    elif event == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
        callers.excused()
    elif (
        event == zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
        and value != zmq.PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH
    ):
        callers.failed("wrong handshake: for another key than ours, or played back")
    else:
        callers.failed(NO_KEY)
    return None


def _host_at(handle: int) -> str:
    """Return who is at the other end of a connection; '' if it is closed already.

    libzmq tells its monitors a number only, see `zmq_socket_monitor`.
    """
    try:
        copy = os.dup(handle)
    except OSError:
        return ""
    try:
        socket = sockets.socket(fileno=copy)
    except OSError:  # its number is that of something else by now
        os.close(copy)
        return ""
    try:
        with socket:
            host = socket.getpeername()[0]
    except (OSError, IndexError):
        return ""
    return str(host).removeprefix("::ffff:")
