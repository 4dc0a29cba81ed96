"""Sockets: the only file that knows ZeroMQ.

Socket options follow from measurements, not from taste: high-water marks are off, because the
window bounds what is under way and a finite mark makes XPUB lose silently; `IMMEDIATE` keeps
messages from queueing for a peer that is gone; what is queued at close is kept by retention.

Who connects to a bound socket is shown to a `Doorman` first, by ZeroMQ's own protocol for that
(ZAP, RFC 27): nobody else can take messages from a PUSH, or let them pile up.
"""

from __future__ import annotations

import contextlib
import os
import struct
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

import zmq

from camagick_broker.admission import Visits
from camagick_broker.subscriptions import TOPIC
from camagick_broker.wire import MAX_FRAME_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from camagick_broker.admission import Doorman

_SMALL_BYTES = 262144  # below this, copying is cheaper than keeping track of a buffer
_LINGER_MS = 500
#: What may queue for a broker that has gone, or for a peer that asks it and does not listen.
_CONTROL_MESSAGES = 1000
_CONTROL_BYTES = 1 << 24
#: What may queue at the listener's end of a tap, in messages.
_TAP_MESSAGES = 3
#: What comes back to a producer or to a head is a prefix; a subscription is shorter still.
_BACK_BYTES = 1 << 20
#: A peer that says nothing for so long is gone; one that stopped is found again by reconnecting.
_SILENCE_S = float(os.environ.get("CASPY_HEARTBEAT_S", "10"))
_HANDSHAKE_MS = 10000
_MONITORED = struct.Struct("=HI")  # number and value of an event
_ZAP = "inproc://zeromq.zap.01"
_EVENTS = (
    zmq.EVENT_ACCEPTED | zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL | zmq.EVENT_HANDSHAKE_FAILED_AUTH
)  # fmt: skip


class Outlet:
    """A sending socket that never blocks: what cannot be sent now waits in order.

    Parameters
    ----------
    socket
        A bound or connected PUSH, XPUB or DEALER.
    """

    def __init__(self, socket: zmq.Socket[bytes]) -> None:
        self.socket = socket
        self.waiting: deque[list[Any]] = deque()

    def send(self, frames: list[Any]) -> None:
        """Send now, or as soon as there is room."""
        if self.waiting or not self._try(frames):
            self.waiting.append(frames)

    def offer(self, frames: list[Any]) -> None:
        """Send now, or not at all."""
        self._try(frames)

    def flush(self) -> None:
        """Send what waits, as far as there is room."""
        while self.waiting and self._try(self.waiting[0]):
            self.waiting.popleft()

    def _try(self, frames: list[Any]) -> bool:
        try:
            self.socket.send_multipart(frames, zmq.NOBLOCK, copy=False)
        except zmq.Again:
            return False
        return True


class Port:
    """All sockets of one process, for one thread.

    Addresses of sockets are ``ipc://`` or ``tcp://``; a path that is too long or not writable
    raises `OSError` with the path in it.

    Parameters
    ----------
    doorman
        Decides who may connect to what is bound here; None lets everybody in.
    """

    def __init__(self, doorman: Doorman | None = None) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._poller = zmq.Poller()
        self._outlets: list[Outlet] = []
        self._lock = threading.RLock()  # a signal handler may ring while its thread does
        self._closed = False
        self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._poller.register(self._bell, zmq.POLLIN)
        self._doorman = doorman
        self._monitors: dict[zmq.Socket[bytes], tuple[str, Visits]] = {}
        self._door: zmq.Socket[bytes] | None = None
        if doorman is not None:
            self._door = self._context.socket(zmq.REP)
            self._door.linger = 0
            self._door.bind(_ZAP)
            self._poller.register(self._door, zmq.POLLIN)

    def ring(self) -> None:
        """Make `wait` return; any thread and any signal handler may call it, at any time."""
        with self._lock, contextlib.suppress(BlockingIOError):
            if not self._closed:
                os.eventfd_write(self._bell, 1)

    def wait(self, timeout_ms: int) -> list[Any]:
        """Wait for something to read, room to send, or the bell; return what can be read."""
        for outlet in self._outlets:
            if outlet.waiting:
                self._poller.register(outlet.socket, zmq.POLLOUT | self._reads(outlet))
        events = self._poller.poll(timeout_ms)
        for outlet in self._outlets:
            if outlet.waiting:
                outlet.flush()
                if not outlet.waiting:
                    self._quieten(outlet)
        readable = [source for source, event in events if event & zmq.POLLIN or type(source) is int]
        if self._bell in readable:
            readable.remove(self._bell)
            with contextlib.suppress(BlockingIOError):
                os.eventfd_read(self._bell)
        return [source for source in readable if not self._answers_door(source)]

    def watch(self, handle: int, *, reads: bool = True, writes: bool = False) -> None:
        """Let `wait` return, and name, an open file that can be read, or written, or has ended."""
        events = (zmq.POLLIN if reads else 0) | (zmq.POLLOUT if writes else 0)
        self._poller.register(handle, events)  # without events, it is not watched any more

    def move(self, socket: zmq.Socket[bytes], old: str, new: str) -> None:
        """Connect a socket to another address than the one that it was connected to."""
        if old != new:
            with contextlib.suppress(zmq.ZMQError):
                socket.disconnect(old)
            socket.connect(new)

    def flush(self, outlets: Iterable[Outlet], timeout_s: float) -> bool:
        """Wait until all of these have sent what waits there, no longer than `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        outlets = list(outlets)
        while any(outlet.waiting for outlet in outlets):
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            for outlet in outlets:
                outlet.flush()
                if outlet.waiting:
                    outlet.socket.poll(min(20, int(left * 1000) + 1), zmq.POLLOUT)
        return True

    def bind_data(self, address: str, consumers: int, lock=None) -> Outlet:
        """PUSH for one consumer, XPUB for several."""
        socket = self._socket(zmq.PUSH if consumers == 1 else zmq.XPUB)
        socket.linger = 0  # what matters is retained
        socket.maxmsgsize = _BACK_BYTES
        if consumers > 1:
            socket.setsockopt(zmq.XPUB_VERBOSER, 1)
            socket.setsockopt(zmq.XPUB_NODROP, 1)
        self._guard(socket, "data", lock)
        _bind(socket, address)
        return self._outlet(socket, reads=consumers > 1)

    def bind_pull(self, address: str, place: str = "back", lock=None) -> zmq.Socket[bytes]:
        """Return a PULL that many may connect to; `place` is what the log calls it."""
        socket = self._socket(zmq.PULL)
        socket.maxmsgsize = _BACK_BYTES
        self._guard(socket, place, lock)
        _bind(socket, address)
        self._poller.register(socket, zmq.POLLIN)
        return socket

    def connect_data(
        self, address: str, *, multicast: bool, identity: bytes, key=None
    ) -> zmq.Socket[bytes]:
        """Return a PULL or a SUB that takes a producer's output.

        A SUB also takes what is sent to `identity` alone; the producer sees that subscription as
        the proof that data will arrive here.
        """
        socket = self._socket(zmq.SUB if multicast else zmq.PULL)
        # With it, libzmq gives a pipe up as soon as its peer has gone, and aborts (fq.cpp) if that
        # is in the midst of a message of several frames.
        socket.immediate = False
        if multicast:
            socket.setsockopt(zmq.SUBSCRIBE, TOPIC)
            socket.setsockopt(zmq.SUBSCRIBE, identity)
        if key:
            socket.curve_secretkey = key.own.secret
            socket.curve_publickey = key.own.public
            socket.curve_serverkey = key.server
        socket.connect(address)
        self._poller.register(socket, zmq.POLLIN)
        return socket

    def connect_push(self, address: str, key=None) -> Outlet:
        """Return a PUSH whose messages wait here until the peer is there."""
        socket = self._socket(zmq.PUSH)
        if key:
            socket.curve_secretkey = key.own.secret
            socket.curve_publickey = key.own.public
            socket.curve_serverkey = key.server
        socket.connect(address)
        return self._outlet(socket, reads=False)

    def connect_dealer(self, address: str, identity: bytes) -> Outlet:
        """Return a DEALER, to talk with the broker."""
        socket = self._socket(zmq.DEALER)
        socket.immediate = False  # the broker may come later, and come back
        socket.sndhwm, socket.maxmsgsize = _CONTROL_MESSAGES, _CONTROL_BYTES
        socket.setsockopt(zmq.IDENTITY, identity)
        socket.connect(address)
        return self._outlet(socket, reads=True)

    def bind_router(self, address: str) -> Outlet:
        """Return a ROUTER, for the broker; a new peer of an old name replaces it."""
        socket = self._socket(zmq.ROUTER)
        socket.sndhwm, socket.maxmsgsize = _CONTROL_MESSAGES, _CONTROL_BYTES
        socket.setsockopt(zmq.ROUTER_HANDOVER, 1)
        self._listen_for_noise(socket, "broker")  # anybody may ask
        _bind(socket, address)
        return self._outlet(socket, reads=True)

    def bind_tap(self, address: str, most: int) -> Outlet:
        """Return an XPUB that drops what a slow listener cannot take; nobody waits for it.

        Parameters
        ----------
        address
            Where others listen.
        most
            Messages that may queue for each of them.
        """
        socket = self._socket(zmq.XPUB)
        socket.linger, socket.sndhwm = 0, most
        socket.setsockopt(zmq.XPUB_VERBOSER, 1)
        _bind(socket, address)
        return Outlet(socket)

    def connect_tap(self, address: str, topic: bytes) -> zmq.Socket[bytes]:
        """Return a SUB that takes what a tap offers under a topic."""
        socket = self._socket(zmq.SUB)
        socket.linger, socket.rcvhwm = 0, _TAP_MESSAGES
        # libzmq aborts (seen) when a peer leaves and: IMMEDIATE ends a pipe within a message, or a
        # heartbeat is due while a full queue keeps the socket from reading.
        socket.immediate, socket.heartbeat_ivl = False, 0
        socket.setsockopt(zmq.SUBSCRIBE, topic)
        socket.connect(address)
        self._poller.register(socket, zmq.POLLIN)
        return socket

    def receive(self, socket: zmq.Socket[bytes], most: int = 64) -> Iterator[list[zmq.Frame]]:
        """Yield what has arrived, without copies, at most `most` messages."""
        for _ in range(most):
            try:
                yield socket.recv_multipart(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return

    def close(self) -> None:
        """Close everything; what was last said to peers and broker has half a second to leave."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            os.close(self._bell)
        self._context.destroy()

    def _socket(self, kind: int) -> zmq.Socket[bytes]:
        socket = self._context.socket(kind)
        socket.sndhwm = socket.rcvhwm = 0
        socket.linger = _LINGER_MS
        socket.immediate = True
        socket.maxmsgsize = MAX_FRAME_BYTES
        socket.reconnect_ivl, socket.reconnect_ivl_max = 10, 200
        silence_ms = int(_SILENCE_S * 1000)
        socket.heartbeat_ivl, socket.heartbeat_timeout = min(1000, silence_ms // 2), silence_ms
        socket.handshake_ivl = _HANDSHAKE_MS
        socket.copy_threshold = _SMALL_BYTES
        return socket

    def _guard(self, socket: zmq.Socket[bytes], place: str, lock=None) -> None:
        if lock:
            socket.curve_server = True
            socket.curve_secretkey = lock.own.secret
            socket.curve_publickey = lock.own.public
            self._locks = getattr(self, "_locks", {})
            self._locks[place] = lock
            place = "far" + place
            self._locks[place] = lock
            socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)
            socket.zap_domain = place.encode()
            return
        """Let the doorman see who connects."""
        if self._doorman is not None:
            socket.zap_domain = place.encode()
            self._listen_for_noise(socket, place)

    def _listen_for_noise(self, socket: zmq.Socket[bytes], place: str) -> None:
        if self._doorman is not None:
            monitor = socket.get_monitor_socket(_EVENTS)
            self._monitors[monitor] = (place, Visits())
            self._poller.register(monitor, zmq.POLLIN)

    def _answers_door(self, source: Any) -> bool:
        """Do what the doorman has to, if that is what this socket is for."""
        if self._doorman is None or (source is not self._door and source not in self._monitors):
            return False
        if source in self._monitors:
            place, visits = self._monitors[source]
            for frames in self.receive(source):
                event, value = _MONITORED.unpack(frames[0].bytes)
                if _is_noise(visits, event, value):
                    self._doorman.heard_noise(place)
            return True
        for frames in self.receive(source, 1):
            version, request, domain, peer = (frame.bytes for frame in frames[:4])
            admitted = domain.startswith(b"far") or self._doorman.admits(
                domain.decode(), peer.decode("latin-1")
            )
            status = b"200" if admitted else b"400"
            source.send_multipart([version, request, status, b"", b"", b""])
        return True

    def _outlet(self, socket: zmq.Socket[bytes], *, reads: bool) -> Outlet:
        outlet = Outlet(socket)
        self._outlets.append(outlet)
        if reads:
            self._poller.register(socket, zmq.POLLIN)
        return outlet

    def _reads(self, outlet: Outlet) -> int:
        return zmq.POLLIN if outlet.socket.type in _READS_TOO else 0

    def _quieten(self, outlet: Outlet) -> None:
        if self._reads(outlet):
            self._poller.register(outlet.socket, zmq.POLLIN)
        else:
            self._poller.unregister(outlet.socket)


def _is_noise(visits: Visits, event: int, value: int) -> bool:
    if event == zmq.EVENT_ACCEPTED:
        visits.came(value)
    elif event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
        visits.succeeded()
    elif event == zmq.EVENT_DISCONNECTED:
        return visits.went(value)
    else:
        visits.excused()
    return False


def sender(frames: list[zmq.Frame]) -> str:
    """Return the address of whoever sent a message, see `admission.pid_of`; '' where unknown."""
    try:
        return str(frames[-1].get("Peer-Address"))
    except (zmq.ZMQError, IndexError):
        return ""


def _bind(socket: zmq.Socket[bytes], address: str) -> None:
    try:
        socket.bind(address)
    except zmq.ZMQError as error:
        socket.close(0)
        raise OSError(error.errno, os.strerror(error.errno or 0), address) from None


_READS_TOO = (zmq.XPUB, zmq.DEALER, zmq.ROUTER)
