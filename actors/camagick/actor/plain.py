"""A host without an event loop, for processors that are plain functions."""

from __future__ import annotations

import asyncio
import functools
import math
import os
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from camagick.actor.host import NOT_STARTED, Host
from camagick.actor.standin import StandIn
from camagick_broker.edges import Joined
from camagick_broker.protocol import Permit, Stop

if TYPE_CHECKING:
    from camagick.actor.assignment import Assignment

#: What was made leaves when there is nothing else to do, and after so many iterations or seconds.
_BATCH = 64
_HURRY_S = 0.002
#: Arrays from here on leave at once for another host, where nothing is encrypted.
_LARGE_BYTES = 1 << 18


class PlainHost(Host):
    """Does one iteration after the other, and serves the sockets in between."""

    def __init__(self, assignment: Assignment) -> None:
        self._inbox: deque[Any] = deque()
        self._taken = 0
        self._served_at = 0.0
        super().__init__(assignment)
        let_out = functools.partial(self.serve, self.station.let_out)
        self._stand_in = StandIn(self._turn, self.station.ring, let_out)
        self._makes_way = self.wiring.is_insecure

    def deliver(self, item: Any) -> None:
        if isinstance(item, Stop):
            self.stopping = True
        self._inbox.append(item)

    def run(self) -> int:
        """Host the processor from its start to its end; return the exit code."""
        self.settle_in()
        self._stand_in.start()
        self._stand_in.serve(0)
        self._stand_in.leave()
        try:
            # Most never wait in there; an event loop for those that do costs little, once.
            asyncio.run(self.node.startup())
            self.recall()
        except Exception as error:  # noqa: BLE001 - any failure of a processor ends the run
            self.failures.fatal(error, code=NOT_STARTED)
            self.station.cut()
        else:
            self.station.call("started")
            ended_at = self.resume.ended_at
            if ended_at is None:
                ended_at = self._lead() if self.wiring.is_head else self._follow()
            self.say_ended(ended_at)
        self._stand_in.serve(0)
        self._stand_in.leave()
        try:
            asyncio.run(self.node.shutdown())
        except Exception as error:  # noqa: BLE001 - see above
            self.failures.fatal(error)
        self.station.call("closed")
        self._stand_in.stop()
        self.serve(self.station.run)
        return self.failures.exit_code

    def _lead(self) -> int:
        """Iterate as a head; return the first iteration that does not exist."""
        seq = self.resume.seq
        while seq != self.wiring.count and self._permitted(seq) and self._iterate(seq, None):
            seq += 1
        return seq

    def _follow(self) -> int:
        """Iterate behind others; return the first iteration that does not exist."""
        seq, commits = self.resume.seq, self.node.commits
        while True:
            if commits and not self._settle():
                return seq
            item = self._next()
            if isinstance(item, Joined):
                if item.ended or not self._iterate(seq, item):
                    return seq
                seq += 1
            elif self.stopping and (self.waits or self.failures.exit_code):
                return seq

    def _settle(self) -> bool:
        """Commit, if it is time to; tell whether all is well."""
        due = time.monotonic() + self.hand_over.patience_s
        while not self._inbox and time.monotonic() < due:
            self._stand_in.serve(due)
        self._stand_in.leave()
        return self.settle(idle=not self._inbox)

    def _permitted(self, seq: int) -> bool:
        """Wait until a head may start an iteration; False when it never may."""
        try:
            self._wait_until_due()
        except Exception as error:  # noqa: BLE001 - any failure of a processor ends the run
            self.failures.fatal(error, seq)
            return False
        if self.stopping:
            return False
        if len(self.wiring.heads) > 1:
            self.station.call("armed", seq)
        return isinstance(self._next(), Permit) and not self.stopping

    def _iterate(self, seq: int, joined: Joined | None) -> bool:
        """Do one iteration; tell whether there may be another."""
        if self.is_exceptional and self.excepts(seq, joined):
            return True
        try:
            given = self.read(joined)
            if joined is not None and self.waits:
                self._wait_until_due()
                if self.stopping:
                    return False
            before = dict(given.context)
            self.hand_over.begin(seq)
            made = self.node.process(given.data, given.context)
            frames = self.hand_over(seq, made, given, before)
            if self._makes_way:
                self._make_way(joined, frames)
        except Exception as error:  # noqa: BLE001 - the user says what any failure leads to
            return self.go_on_after(error, seq, joined)
        return True

    def _make_way(self, joined: Joined | None, frames: list[Any]) -> None:
        """Let ZeroMQ's thread go on with large arrays at once, should it wait for this very core.

        It does little with each, where nothing is encrypted: while it waits for its turn, which
        may take milliseconds, the array leaves the cache, and the next host has nothing to do.
        """
        messages = joined.messages if joined is not None else ()
        came = [buffer for message in messages for buffer in message.buffers]
        if any(len(buffer) >= _LARGE_BYTES for buffer in (*frames[1:], *came)):
            self._stand_in.let_out()
            os.sched_yield()

    def _wait_until_due(self) -> None:
        wait = self.node.due()
        if wait > 0:
            due = time.monotonic() + wait
            while not self.stopping and time.monotonic() < due:
                self._stand_in.serve(due)
            self._stand_in.leave()

    def _next(self) -> Any:
        """Return what is to be done next; serve the sockets until there is something."""
        if (
            not self._inbox
            or self._taken >= _BATCH
            or time.monotonic() - self._served_at > _HURRY_S
        ):
            self._refill()
        self._taken += 1
        return self._inbox.popleft()

    def _refill(self) -> None:
        """Let out what was made, and wait until there is something to do."""
        if self._inbox:
            self._stand_in.serve(0)
        while not self._inbox:
            self._stand_in.serve(math.inf)
        self._stand_in.leave()

    def _turn(self, until: float) -> None:
        self._taken = 0
        self.serve(self.station.turn, until)
        self._served_at = time.monotonic()
