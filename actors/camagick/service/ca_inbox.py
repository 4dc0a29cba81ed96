"""What clients have written for one actor, held until it has been worked on. No network."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

#: Most bytes that wait in one inbox, where there is more than one write.
BYTES = 256 << 20


class Write(NamedTuple):
    """A write of a PV, as its actor is told of it.

    Attributes
    ----------
    serial
        Goes up with each write; 0 where nothing was written, but refused.
    name, value
        What was written.
    timestamp
        When, in seconds since 1970.
    overruns
        How many writes have been refused so far because the queue was full.
    """

    serial: int
    name: str
    value: Any
    timestamp: float
    overruns: int


class Rules(NamedTuple):
    """How writes are kept for an actor.

    Attributes
    ----------
    every
        Each write counts. Otherwise a newer one takes the place of an older one of the same PV.
    complete
        A client's put is answered when the actor has said that it is done with it.
    limit
        How many writes may wait.
    refuse_same
        Clients cannot write what is there already.
    """

    every: bool = False
    complete: bool = False
    limit: int = 1000
    refuse_same: bool = False


class Full(ValueError):
    """There is no room for another write."""


class Ended(ValueError):
    """The run has ended before it was done with what was written."""


class Inbox:
    """The writes for one actor, in order. They outlive its process."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self._listener: Callable[[Write], None] | None = None
        self._writes: OrderedDict[int, Write] = OrderedDict()
        self._newest: dict[str, int] = {}
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()
        # They go up over all servers of a run: the next one begins at a later time.
        self._serials = itertools.count(time.time_ns() // 1000)
        self._bytes = 0
        self._overruns = 0

    def attach(self, listener: Callable[[Write], None]) -> None:
        """Tell an actor, from now on; at first of all that its predecessor was not done with."""
        self._listener = listener
        for write in tuple(self._writes.values()):
            listener(write)

    def detach(self, listener: Callable[[Write], None]) -> None:
        """Keep writes, as the actor has gone; another one may come."""
        if self._listener is listener:
            self._listener = None

    def check(self) -> None:
        """Make sure that there is room for another write.

        Raises
        ------
        Full
            When there is none; the actor is told.
        """
        waiting = len(self._waiting) if self.rules.complete else 0
        held = max(waiting, len(self._writes) if self.rules.every else 0)
        if held < self.rules.limit and (self._bytes < BYTES or not self.rules.every):
            return
        self._overruns += 1
        self._tell(Write(0, "", None, time.time(), self._overruns))
        raise Full(f"{held} writes are waiting already: the pipe is slower (queue=)")

    def put(self, name: str, value: Any, timestamp: float) -> asyncio.Future[None] | None:
        """Take a write; return what is done when the actor is, None where nobody waits for it."""
        write = Write(next(self._serials), name, value, timestamp, self._overruns)
        if not self.rules.every and name in self._newest:
            self._forget(self._newest[name])
        self._newest[name] = write.serial
        self._writes[write.serial] = write
        self._bytes += _size(value)
        self._tell(write)
        if not self.rules.complete:
            return None
        future = asyncio.get_running_loop().create_future()
        self._waiting.append((write.serial, future))
        return future

    def done(self, serial: int) -> None:
        """Note that the actor is done with all writes up to that one."""
        while self._writes and next(iter(self._writes)) <= serial:
            self._forget(next(iter(self._writes)))
        while self._waiting and self._waiting[0][0] <= serial:
            _, future = self._waiting.popleft()
            if not future.done():
                future.set_result(None)

    def end(self) -> None:
        """Answer everybody who waits: nobody works on it any more."""
        self._listener = None
        self._writes.clear()
        self._newest.clear()
        while self._waiting:
            _, future = self._waiting.popleft()
            if not future.done():
                future.set_exception(Ended("the run has ended before it was done with this"))

    def _forget(self, serial: int) -> None:
        write = self._writes.pop(serial, None)
        if write is not None:
            self._bytes -= _size(write.value)
            if self._newest.get(write.name) == serial:
                del self._newest[write.name]

    def _tell(self, write: Write) -> None:
        if self._listener is not None:
            self._listener(write)


def _size(value: Any) -> int:
    return value.nbytes if isinstance(value, np.ndarray) else 100
