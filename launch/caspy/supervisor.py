"""The supervisor: from a plan to processes, and from their ends to one exit code."""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import time
from typing import TYPE_CHECKING, Any

from camagick.actor.plain import PlainHost
from camagick.actor.waiting import WaitingHost
from camagick.walk import place
from camagick_broker.address import bus_folder, clean_up
from camagick_broker.broker import Broker
from camagick_broker.errors import AddressError
from caspy.errors import PlanError
from caspy.process import HELD, fork

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from caspy.plan import Actor, Pipe, Plan

log = logging.getLogger(__name__)

#: Seconds a drain may take without any actor ending; then the rest is stopped at once.
DRAIN_S = 30.0
_SAY_S = 5.0
_KILL_S = 5.0
_INTERRUPTED = 130


class Child:
    """A process that was forked and not yet waited for."""

    def __init__(self, name: str, pid: int, kind: str, *, waits: bool = False) -> None:
        self.name = name
        self.pid = pid
        self.kind = kind
        self.waits = waits
        self.handle = os.pidfd_open(pid)

    def signal(self, number: int) -> None:
        """Send a signal, if it still lives."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.handle, number)


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
        self._poll = select.poll()
        self.exit_code = 0
        self._draining_since: float | None = None
        self._said = False
        self._cut_at: float | None = None

    def start(self) -> None:
        """Fork the broker, the helper services, and all actors."""
        plan = self._plan
        names = {actor.number: actor.name for actor in plan.actors}
        self._fork("broker", "broker", lambda: _serve_broker(plan.run, self._folder, names))
        for service in plan.services:
            self._fork(service, "service", lambda name=service: _serve(name, self._folder))
        for pipe in plan.pipes:
            place(pipe.flow, plan.run.hex(), self._folder)
            for actor in pipe.actors:
                waits = actor.node.role == "source" or actor.node.paces or not actor.inputs
                self._fork(actor.name, "actor", self._host(pipe, actor), waits=waits)

    def watch(self, handle: int) -> None:
        """Let `step` return when there is something to read from a pipe."""
        self._poll.register(handle, select.POLLIN)

    def step(self, timeout_s: float) -> bool:
        """Wait for something to happen; tell whether actors are still running."""
        for handle, _ in self._poll.poll(timeout_s * 1000):
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
            for handle, _ in self._poll.poll(100):
                self._reap(handle)
            if time.monotonic() > deadline:
                self.kill()

    def _host(self, pipe: Pipe, actor: Actor) -> Any:
        wiring = self._plan.wiring(pipe, actor, self._folder)
        host = PlainHost if actor.node.synchronous else WaitingHost
        return lambda: host(actor.node, wiring, actor.tree).run()

    def _fork(self, name: str, kind: str, work: Any, *, waits: bool = False) -> None:
        pid = fork(f"caspy: {self._plan.bus}/{name}", work)
        child = Child(name, pid, kind, waits=waits)
        self._children[child.handle] = child
        self._poll.register(child.handle, select.POLLIN)

    def _of(self, kind: str) -> list[Child]:
        return [child for child in self._children.values() if child.kind == kind]

    def _reap(self, handle: int) -> None:
        child = self._children.pop(handle, None)
        if child is None:  # the bell of a signal
            os.read(handle, 64)
            return
        self._poll.unregister(handle)
        os.close(handle)
        _, status = os.waitpid(child.pid, 0)
        code = os.waitstatus_to_exitcode(status)
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
        self.cut()

    def _helper_ended(self, child: Child, code: int) -> None:
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
            left = ",".join(child.name for child in self._of("actor"))
            if left and not self._said and now > self._draining_since + _SAY_S:
                self._said = True
                log.warning('msg="waiting until they have done what is left" actors=%s', left)
            if left and now > self._draining_since + DRAIN_S:
                log.error('msg="stopped, not drained in %d s" actors=%s', DRAIN_S, left)
                self.exit_code = 1
                self.cut()


def execute(plan: Plan) -> int:
    """Run a plan until it ends, or until Ctrl-C; return the exit code.

    Returns
    -------
    int
        0 for a normal end (Ctrl-C and a closed output are one), 1 after a failure, 130 after a
        second Ctrl-C.

    Raises
    ------
    PlanError
        When the bus cannot be set up.
    """
    interrupts: list[int] = []
    with _signals(interrupts) as bell, opened(plan) as supervisor:
        supervisor.watch(bell)
        supervisor.start()
        while supervisor.step(0.5):
            if len(interrupts) > 1:
                supervisor.kill()
            elif interrupts:
                supervisor.drain()
    return _INTERRUPTED if len(interrupts) > 1 else supervisor.exit_code


@contextlib.contextmanager
def opened(plan: Plan) -> Iterator[Supervisor]:
    """Hold the folder of a bus while its supervisor is in use, and leave nothing behind."""
    try:
        clean_up()
        with bus_folder(plan.bus) as folder:
            supervisor = Supervisor(plan, folder)
            try:
                yield supervisor
            finally:
                supervisor.finish()
    except AddressError as error:
        raise PlanError(str(error)) from None


@contextlib.contextmanager
def _signals(interrupts: list[int]) -> Iterator[int]:
    """Count SIGINT, SIGTERM and SIGHUP in `interrupts`; yield a pipe that each of them rings."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    bell, ringer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    wakeup = signal.set_wakeup_fd(ringer, warn_on_full_buffer=False)
    for number in numbers:
        signal.signal(number, lambda number, _: interrupts.append(number))
    try:
        yield bell
    finally:
        signal.set_wakeup_fd(wakeup)
        for number in numbers:
            signal.signal(number, before[number])
        os.close(bell)
        os.close(ringer)


def _serve_broker(run: bytes, folder: str, names: dict[int, str]) -> int:
    stopped: list[int] = []
    broker = Broker(run, folder, names)

    def stop(number: int, _: Any) -> None:
        stopped.append(number)
        broker.ring()

    signal.signal(signal.SIGTERM, stop)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD)
    broker.serve(lambda: bool(stopped))
    return 0


def _serve(name: str, folder: str) -> int:
    import asyncio
    import importlib

    module = importlib.import_module(f"camagick.service.{name}")

    async def serve() -> None:
        task = asyncio.current_task()
        if task is not None:
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD)
        with contextlib.suppress(asyncio.CancelledError):
            await module.serve(folder)

    asyncio.run(serve())
    return 0
