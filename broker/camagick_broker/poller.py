"""Waits for many sockets at the price of one.

`zmq_poll` asks each socket for its state before and after it waits, by a system call each: for the
ten sockets of an actor on a network, that is a tenth of all that Python does with a message. Here a
socket is asked only when the descriptor behind it (`zmq.FD`) says that something has changed, or
when it may have changed unseen.

The descriptor is signalled by what arrives for the socket from ZeroMQ's own thread, until the
socket takes notice; sending and receiving take notice, too. So a socket that was sent to, or of
which not all was received, has to be asked before the next wait; see `Poller.touched`. (libzmq,
zmq_getsockopt(3), ZMQ_FD.)
"""

from __future__ import annotations

import select
from typing import Any

import zmq

_POLLIN, _POLLOUT = int(zmq.POLLIN), int(zmq.POLLOUT)
_EVENTS = int(zmq.EVENTS)


class Poller:
    """Sockets and open files of one port, for one thread at a time."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Watch nothing, as in the beginning."""
        self._system = select.poll()
        self._wanted: dict[Any, int] = {}
        self._sources: dict[int, Any] = {}
        self._unsure: dict[Any, None] = {}  # sockets to be asked, in the order of their events

    def watch(self, source: Any, *, reads: bool = True, writes: bool = False) -> None:
        """Let `wait` return when a source is ready.

        Parameters
        ----------
        source
            A socket, or the number of an open file.
        reads, writes
            For what; if for nothing, it is not watched any more. Files also when they have ended.
        """
        if not reads and not writes:
            self.forget(source)
        elif isinstance(source, int):
            self._wanted[source], self._sources[source] = 0, source
            mask = (select.POLLIN if reads else 0) | (select.POLLOUT if writes else 0)
            self._system.register(source, mask)
        else:
            if source not in self._wanted:
                handle = int(source.get(zmq.FD))
                self._sources[handle] = source
                self._system.register(handle, select.POLLIN)
            self._wanted[source] = (_POLLIN if reads else 0) | (_POLLOUT if writes else 0)
            self._unsure[source] = None

    def forget(self, source: Any) -> None:
        """Watch a source no more; a socket must not be closed before."""
        if self._wanted.pop(source, None) is None:
            return
        self._unsure.pop(source, None)
        handle = source if isinstance(source, int) else int(source.get(zmq.FD))
        del self._sources[handle]
        self._system.unregister(handle)

    def touched(self, socket: Any) -> None:
        """Note that a socket was sent to, connected, or not read to its end."""
        if socket in self._wanted:
            self._unsure[socket] = None

    def settled(self, socket: Any) -> None:
        """Note that a socket has just said that there is nothing to read."""
        if self._wanted.get(socket) == _POLLIN:
            self._unsure.pop(socket, None)

    def wait(self, timeout_ms: int) -> list[Any]:
        """Wait for any of them, and return those to be read, and files that are ready.

        There may be nothing to read there after all: only the socket knows what has changed. It
        may also return nothing before the time is over.
        """
        ready = []
        for socket in tuple(self._unsure):
            if events := self._ask(socket):
                timeout_ms = 0
                if events & _POLLIN:
                    ready.append(socket)
        for handle, _ in self._system.poll(timeout_ms):
            source = self._sources[handle]
            if type(source) is not int:
                if source in self._unsure:  # as was just asked
                    continue
                self._unsure[source] = None
                if not self._wanted[source] & _POLLIN:
                    continue
            ready.append(source)
        return ready

    def _ask(self, socket: Any) -> int:
        """Return for what a socket is ready; it is asked again until that is nothing."""
        events = int(socket.get(_EVENTS)) & self._wanted[socket]
        if events:
            self._unsure[socket] = None
        else:
            self._unsure.pop(socket, None)
        return events
