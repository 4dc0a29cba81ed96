"""The supervisor: from a plan to processes, and from their ends to one exit code."""

from __future__ import annotations

import logging
import mmap
import os
import select
import signal
import time
from typing import TYPE_CHECKING, Any

from camagick.actor.host import NOT_STARTED, SOCKETS_FAILED
from camagick.actor.plain import PlainHost
from camagick.actor.waiting import WaitingHost
from camagick.walk import place
from caspy import helpers
from caspy.process import Child, fork

if TYPE_CHECKING:
    from pathlib import Path

    from camagick_broker.running import Card
    from caspy.layout import Actor
    from caspy.plan import Pipe, Plan
    from caspy.watchers import Watcher

log = logging.getLogger(__name__)

#: Seconds a drain may go on without progress anywhere; then the rest is stopped at once.
DRAIN_S = 60.0
_SAY_S = 5.0
_KILL_S = 5.0


class Supervisor:
    """Runs one plan.

    Parameters
    ----------
    plan
        What to run.
    folder
        The folder of the bus.
    """

    def __init__(self, plan: Plan, folder: Path) -> None:
        self._plan = plan
        self._folder = str(folder)
        self._children: dict[int, Child] = {}
        self._poll = select.epoll()
        # Written by the actors, one number each: how many iterations they have done.
        self._progress = memoryview(mmap.mmap(-1, 8 * (len(plan.actors) + 1))).cast("Q")
        self._progressed = 0
        self.exit_code = 0
        self._watchers = 0
        self._draining_since: float | None = None
        self._said = False
        self._cut_at: float | None = None

    def start(self) -> None:
        """Fork the broker, the helper services, and all actors."""
        plan = self._plan
        names = {actor.number: actor.name for actor in plan.actors}
        serve = lambda: helpers.serve_broker(plan.run, self._folder, names, self._watchers)  # noqa: E731
        self._fork("broker", "broker", serve)
        for service in plan.services:
            self._fork(service, "service", lambda name=service: helpers.serve(name, self._folder))
        for pipe in plan.pipes:
            place(pipe.flow, plan.run.hex(), self._folder)
            for actor in pipe.actors:
                waits = actor.node.gates or not actor.inputs
                self._fork(actor.name, "actor", self._host(pipe, actor), waits=waits)

    def accompany(self, watcher: Watcher, card: Card) -> None:
        """Fork, before `start`, a process that looks at the run; its end is not that of the run."""
        self._watchers += watcher.last_word
        self._fork(watcher.name, "watcher", lambda: watcher.serve(card))
        watcher.close()

    def fileno(self) -> int:
        """Return a handle that is readable when `step` has something to do."""
        return self._poll.fileno()

    def watch(self, handle: int) -> None:
        """Let `step` return when there is something to read from a pipe."""
        self._poll.register(handle, select.EPOLLIN)

    def step(self, timeout_s: float) -> bool:
        """Wait for something to happen; tell whether actors are still running."""
        for handle, _ in self._poll.poll(timeout_s):
            self._reap(handle)
        self._watch_the_clock()
        return bool(self._of("actor"))

    def drain(self) -> None:
        """Ask the sources to stop; what is under way still reaches the sinks."""
        if self._draining_since is None:
            self._draining_since = time.monotonic()
            for child in self._of("actor"):
                if child.waits:
                    child.signal(signal.SIGUSR1)

    def cut(self) -> None:
        """Stop all actors at once; each still shuts its processor down."""
        if self._cut_at is None:
            self._cut_at = time.monotonic()
            for child in self._of("actor"):
                child.signal(signal.SIGTERM)

    def kill(self) -> None:
        """Kill whatever is left."""
        self._cut_at = self._cut_at or time.monotonic()
        for child in self._children.values():
            child.signal(signal.SIGKILL)

    def finish(self) -> None:
        """End broker and services, and wait for every process."""
        for child in self._children.values():
            child.signal(signal.SIGTERM)
        deadline = time.monotonic() + _KILL_S
        while self._children:
            for handle, _ in self._poll.poll(0.1):
                self._reap(handle)
            if time.monotonic() > deadline:
                self.kill()
        self._poll.close()

    def _host(self, pipe: Pipe, actor: Actor) -> Any:
        wiring = self._plan.wiring(pipe, actor, self._folder)
        host = PlainHost if actor.node.synchronous else WaitingHost
        progress = self._progress[actor.number : actor.number + 1]
        return lambda: host(actor.node, wiring, actor.tree, progress).run()

    def _fork(self, name: str, kind: str, work: Any, *, waits: bool = False) -> None:
        pid = fork(f"caspy: {self._plan.bus}/{name}", work)
        child = Child(name, pid, kind, waits=waits)
        self._children[child.handle] = child
        self._poll.register(child.handle, select.EPOLLIN)

    def _of(self, kind: str) -> list[Child]:
        return [child for child in self._children.values() if child.kind == kind]

    def _reap(self, handle: int) -> None:
        child = self._children.pop(handle, None)
        if child is None:  # the bell of a signal
            os.read(handle, 64)
            return
        self._poll.unregister(handle)
        code = child.reap()
        if self._draining_since is not None:
            self._draining_since = time.monotonic()
        if child.kind == "actor":
            self._actor_ended(child, code)
        elif self._of("actor") and self._cut_at is None:
            self._helper_ended(child, code)

    def _actor_ended(self, child: Child, code: int) -> None:
        if code == 0 or self._cut_at is not None:
            return
        self.exit_code = 1
        if code == 1:  # it has said why, and what was under way behind it drains
            self.drain()
            return
        if code < 0:
            log.error('msg="killed by %s" actor=%s', signal.Signals(-code).name, child.name)
        elif code not in (NOT_STARTED, SOCKETS_FAILED):  # those have said why
            log.error('msg="ended with exit code %d" actor=%s', code, child.name)
        self.cut()

    def _helper_ended(self, child: Child, code: int) -> None:
        if child.kind == "watcher":
            log.warning('msg="no more figures, data flow on" process=%s code=%s', child.name, code)
            return
        if child.kind == "broker":
            log.warning('msg="the broker has gone, data flow on" code=%s', code)
            return
        log.error('msg="a helper has gone" service=%s code=%s', child.name, code)
        self.exit_code = 1
        self.cut()

    def _watch_the_clock(self) -> None:
        now = time.monotonic()
        if self._cut_at is not None:
            if now > self._cut_at + _KILL_S:
                self.kill()
        elif self._draining_since is not None:
            self._watch_the_drain(now, self._draining_since)

    def _watch_the_drain(self, now: float, since: float) -> None:
        left = ",".join(child.name for child in self._of("actor"))
        progressed = sum(self._progress)
        if progressed != self._progressed:
            self._progressed, self._draining_since = progressed, now
        elif left and not self._said and now > since + _SAY_S:
            self._said = True
            log.warning('msg="waiting until they have done what is left" actors=%s', left)
        elif left and now > since + DRAIN_S:
            log.error('msg="stopped: no progress for %d s" actors=%s', DRAIN_S, left)
            self.exit_code = 1
            self.cut()
