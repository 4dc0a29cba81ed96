"""Sockets: with `camagick_broker.door` and `camagick_broker.poller`, the only file that has any.

Socket options follow from measurements, not from taste: high-water marks are off, because the
window bounds what is under way and a finite mark makes XPUB lose silently; `IMMEDIATE` keeps
messages from queueing for a peer that is gone; what is queued at close is kept by retention.

Who connects to a bound socket is shown to a `Doorman` first, see `camagick_broker.door`: nobody
else can take messages from a PUSH, or let them pile up. On ipc he knows the process that has come.
On tcp a `Lock` says which keys may come in, and what travels is encrypted (CURVE); without keys, a
socket can be bound and connected on this host only, unless the port was made `insecure`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

import zmq

from camagick_broker.door import Door
from camagick_broker.endpoints import candidates, is_ipv6, stays_here
from camagick_broker.errors import AddressError
from camagick_broker.poller import Poller
from camagick_broker.subscriptions import TOPIC
from camagick_broker.wire import MAX_FRAME_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from camagick_broker.admission import Doorman
    from camagick_broker.keys import Key, Lock

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
#: The system would try for minutes, at ever longer intervals, though a cut link is whole again.
_CONNECT_MS = 2000
#: As plain numbers: what is done with members of an enum, once for each message, is slow.
_POLLIN, _EVENTS = int(zmq.POLLIN), int(zmq.EVENTS)
_NOBLOCK, _MORE = int(zmq.NOBLOCK), int(zmq.NOBLOCK | zmq.SNDMORE)
#: `zmq.Socket.send` without what it has for groups and routing, which takes longer than the rest.
_send = zmq.backend.Socket.send


class Outlet:
    """A sending socket that never blocks: what cannot be sent now waits in order.

    Parameters
    ----------
    socket
        A bound or connected PUSH, XPUB, DEALER or ROUTER.
    touched
        Told whenever the socket was used, where something can be read there, too.

    Attributes
    ----------
    endpoint
        Where it is really bound, see `endpoint_of`.
    reads
        Whether something can be read there, too.
    """

    def __init__(
        self, socket: zmq.Socket[bytes], touched: Callable[[Any], None] | None = None
    ) -> None:
        self.socket, self._touched = socket, touched
        self.reads = touched is not None
        self.endpoint = endpoint_of(socket)
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
        socket, last = self.socket, len(frames) - 1
        try:
            for number, frame in enumerate(frames):
                copy = type(frame) is bytes and len(frame) < _SMALL_BYTES
                _send(socket, frame, _MORE if number < last else _NOBLOCK, copy)
        except zmq.Again:
            return False
        finally:
            if self._touched is not None:
                self._touched(socket)
        return True


class Port:
    """All sockets of one process, for one thread.

    Addresses of sockets are ``ipc://`` or ``tcp://``, see `camagick_broker.endpoints`; a path that
    is too long or not writable, or a port that is taken, raises `OSError` with the address in it,
    and one that would be open to strangers `AddressError`. Locks and keys are for tcp; on ipc they
    are ignored.

    Parameters
    ----------
    doorman
        Decides who may connect to what is bound here; None lets everybody in.
    insecure
        Lets sockets without keys bind and connect to other addresses than those of this host.

    Attributes
    ----------
    refused_by
        Addresses that refuse our key at present, and why.
    """

    def __init__(self, doorman: Doorman | None = None, *, insecure: bool = False) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._poller = Poller()
        self._outlets: list[Outlet] = []
        self._lock = threading.RLock()  # a signal handler may ring while its thread does
        self._closed = False
        self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._poller.watch(self._bell)
        self._insecure = insecure
        self._door = Door(self._context, self._poller, doorman)
        self.refused_by = self._door.refused_by

    def ring(self) -> None:
        """Make `wait` return; any thread and any signal handler may call it, at any time."""
        with self._lock, contextlib.suppress(BlockingIOError):
            if not self._closed:
                os.eventfd_write(self._bell, 1)

    def wait(self, timeout_ms: int) -> list[Any]:
        """Wait for something to read, room to send, or the bell; return what can be read."""
        for outlet in self._outlets:
            if outlet.waiting:
                self._poller.watch(outlet.socket, reads=outlet.reads, writes=True)
        readable = self._poller.wait(self._door.patience_ms(timeout_ms))
        for outlet in self._outlets:
            if outlet.waiting:
                outlet.flush()
                if not outlet.waiting:
                    self._poller.watch(outlet.socket, reads=outlet.reads)
        others = []
        for source in readable:
            if source == self._bell:
                with contextlib.suppress(BlockingIOError):
                    os.eventfd_read(self._bell)
            elif (handler := self._door.handlers.get(source)) is not None:
                handler(source)
            else:
                others.append(source)
        return others

    def watch(self, handle: int, *, reads: bool = True, writes: bool = False) -> None:
        """Let `wait` return, and name, an open file that can be read, or written, or has ended."""
        self._poller.watch(handle, reads=reads, writes=writes)

    def move(self, socket: zmq.Socket[bytes], old: str, new: str) -> None:
        """Connect a socket to another address than the one that it was connected to."""
        if old != new:
            self._door.forgive(socket)
            with contextlib.suppress(zmq.ZMQError):
                socket.disconnect(old)
            socket.connect(new)
            self._poller.touched(socket)

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

    def bind_data(self, address: str, consumers: int, lock: Lock | None = None) -> Outlet:
        """PUSH for one consumer, XPUB for several."""
        socket = self._socket(zmq.PUSH if consumers == 1 else zmq.XPUB)
        socket.linger = 0  # what matters is retained
        socket.maxmsgsize = _BACK_BYTES
        if consumers > 1:
            socket.setsockopt(zmq.XPUB_VERBOSER, 1)
            socket.setsockopt(zmq.XPUB_NODROP, 1)
        self._bind(socket, address, "data", lock)
        return self._outlet(socket, reads=consumers > 1)

    def bind_pull(
        self, address: str, place: str = "back", lock: Lock | None = None
    ) -> zmq.Socket[bytes]:
        """Return a PULL that many may connect to; `place` is what the log calls it."""
        socket = self._socket(zmq.PULL)
        socket.maxmsgsize = _BACK_BYTES
        self._bind(socket, address, place, lock)
        self._poller.watch(socket)
        return socket

    def connect_data(
        self, address: str, *, multicast: bool, identity: bytes, key: Key | None = None
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
        self._connect(socket, address, key)
        self._poller.watch(socket)
        return socket

    def connect_push(self, address: str, key: Key | None = None) -> Outlet:
        """Return a PUSH whose messages wait here until the peer is there."""
        socket = self._socket(zmq.PUSH)
        self._connect(socket, address, key)
        return self._outlet(socket, reads=False)

    def connect_dealer(self, address: str, identity: bytes, key: Key | None = None) -> Outlet:
        """Return a DEALER, to talk with the broker."""
        socket = self._socket(zmq.DEALER)
        socket.immediate = False  # the broker may come later, and come back
        socket.sndhwm, socket.maxmsgsize = _CONTROL_MESSAGES, _CONTROL_BYTES
        socket.setsockopt(zmq.IDENTITY, identity)
        self._connect(socket, address, key)
        return self._outlet(socket, reads=True)

    def bind_router(self, address: str, place: str = "broker", lock: Lock | None = None) -> Outlet:
        """Return a ROUTER, for the broker; a new peer of an old name replaces it.

        On ipc everybody may connect who may enter the folder: anybody may ask.
        """
        socket = self._socket(zmq.ROUTER)
        socket.sndhwm, socket.maxmsgsize = _CONTROL_MESSAGES, _CONTROL_BYTES
        socket.setsockopt(zmq.ROUTER_HANDOVER, 1)
        self._bind(socket, address, place, lock, kin_only=False)
        return self._outlet(socket, reads=True)

    def bind_tap(self, address: str, most: int, lock: Lock | None = None) -> Outlet:
        """Return an XPUB that drops what a slow listener cannot take; nobody waits for it.

        Parameters
        ----------
        address
            Where others listen.
        most
            Messages that may queue for each of them.
        lock
            Who may, from other hosts.
        """
        socket = self._socket(zmq.XPUB)
        socket.linger, socket.sndhwm = 0, most
        socket.setsockopt(zmq.XPUB_VERBOSER, 1)
        self._bind(socket, address, "tap", lock, kin_only=False)
        return Outlet(socket)

    def connect_tap(self, address: str, topic: bytes, key: Key | None = None) -> zmq.Socket[bytes]:
        """Return a SUB that takes what a tap offers under a topic."""
        socket = self._socket(zmq.SUB)
        socket.linger, socket.rcvhwm = 0, _TAP_MESSAGES
        # libzmq aborts (seen) when a peer leaves and: IMMEDIATE ends a pipe within a message, or a
        # heartbeat is due while a full queue keeps the socket from reading.
        socket.immediate, socket.heartbeat_ivl = False, 0
        socket.setsockopt(zmq.SUBSCRIBE, topic)
        self._connect(socket, address, key)
        self._poller.watch(socket)
        return socket

    def receive(self, socket: zmq.Socket[bytes], most: int = 64) -> Iterator[list[zmq.Frame]]:
        """Yield what has arrived, without copies, at most `most` messages."""
        self._poller.touched(socket)  # until it has said that there is no more
        for number in range(most):
            # An exception is slower than a look, many looks are slower than an exception.
            if number == 1 and not int(socket.get(_EVENTS)) & _POLLIN:
                break
            try:
                frames = [socket.recv(_NOBLOCK, copy=False)]
                while frames[-1].more:
                    frames.append(socket.recv(_NOBLOCK, copy=False))
            except zmq.Again:
                break
            yield frames
        else:
            return
        self._poller.settled(socket)

    def drop(self, socket: zmq.Socket[bytes]) -> None:
        """Close one socket; what it has not sent yet is gone."""
        self._door.forget(socket)
        self._outlets = [outlet for outlet in self._outlets if outlet.socket is not socket]
        self._poller.forget(socket)
        socket.close(0)

    def close(self) -> None:
        """Close everything; what was last said to peers and broker has half a second to leave."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            os.close(self._bell)
        self._context.destroy()
        self._poller.clear()

    def _socket(self, kind: int) -> zmq.Socket[bytes]:
        socket = self._context.socket(kind)
        socket.sndhwm = socket.rcvhwm = 0
        socket.linger = _LINGER_MS
        socket.immediate = True
        socket.maxmsgsize = MAX_FRAME_BYTES
        socket.reconnect_ivl, socket.reconnect_ivl_max = 10, 200
        silence_ms = int(_SILENCE_S * 1000)
        socket.heartbeat_ivl, socket.heartbeat_timeout = min(1000, silence_ms // 2), silence_ms
        socket.connect_timeout = _CONNECT_MS
        socket.handshake_ivl = _HANDSHAKE_MS
        socket.copy_threshold = _SMALL_BYTES
        return socket

    def _bind(
        self, socket: zmq.Socket[bytes], address: str, place: str, lock: Lock | None,
        *, kin_only: bool = True,
    ) -> None:  # fmt: skip
        """Bind to the first address that is free; nobody is connected to before he is known."""
        over_tcp = address.startswith("tcp://")
        lock = lock if over_tcp else None
        try:
            self._check(address, "bind to", has_key=lock is not None)
            socket.ipv6 = is_ipv6(address)
            if lock is not None or (kin_only and not over_tcp):
                self._door.guard(socket, place, lock)
            else:
                self._door.listen(socket, place)
            _bind_first(socket, address)
        except BaseException:
            self._door.forget(socket)
            socket.close(0)
            raise

    def _connect(self, socket: zmq.Socket[bytes], address: str, key: Key | None) -> None:
        over_tcp = address.startswith("tcp://")
        try:
            self._check(address, "connect to", has_key=key is not None)
            socket.ipv6 = is_ipv6(address)
            if key is not None and over_tcp:
                self._door.escort(socket, address, key)
            socket.connect(address)
        except zmq.ZMQError as error:
            self.drop(socket)
            number = error.errno or 0
            raise OSError(number, os.strerror(number), address) from None
        except BaseException:
            self.drop(socket)
            raise

    def _check(self, address: str, verb: str, *, has_key: bool) -> None:
        if not (has_key or self._insecure or stays_here(address)):
            raise AddressError(
                f"will not {verb} {address} without keys: anybody could read along and write"
            )

    def _outlet(self, socket: zmq.Socket[bytes], *, reads: bool) -> Outlet:
        outlet = Outlet(socket, self._poller.touched if reads else None)
        self._outlets.append(outlet)
        if reads:
            self._poller.watch(socket)
        return outlet


def sender(frames: list[zmq.Frame]) -> str:
    """Return the address of whoever sent a message, see `admission.pid_of`; '' where unknown."""
    try:
        return str(frames[-1].get("Peer-Address"))
    except (zmq.ZMQError, IndexError):
        return ""


def sender_name(frames: list[zmq.Frame]) -> str:
    """Return who sent a message, as his key says (`Lock.admitted`); '' on sockets without keys."""
    try:
        return str(frames[-1].get("User-Id"))
    except (zmq.ZMQError, IndexError):
        return ""


def endpoint_of(socket: zmq.Socket[bytes]) -> str:
    """Return where a socket is really bound, ``tcp://10.0.0.7:5012``; '' if it is not."""
    return str(socket.getsockopt_string(zmq.LAST_ENDPOINT)).rstrip("\0")


def _bind_first(socket: zmq.Socket[bytes], address: str) -> None:
    number = 0
    for one in candidates(address):
        try:
            socket.bind(one)
        except zmq.ZMQError as error:
            number = error.errno or 0
            if number != errno.EADDRINUSE:
                break
        else:
            return
    raise OSError(number, os.strerror(number), address)
