"""The Python way in: the same objects as in one process, as actors on a bus."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any

from caspy import log
from caspy.execute import opened
from caspy.plan import DEFAULT_WINDOW, Window, make_plan
from caspy.policy import Policy

if TYPE_CHECKING:
    from camagick.actor.assignment import OnError
    from caspy.supervisor import Supervisor


class RunFailed(Exception):
    """A run on the bus ended with an error; the actor that failed has logged it."""

    def __init__(self, code: int) -> None:
        super().__init__(f"the run ended with exit code {code}; its log says why")
        self.code = code


async def run(
    *flows: Any,
    window: Window = DEFAULT_WINDOW,
    count: int | None = None,
    bus: str | None = None,
    restart: int = 3,
    hang_s: float | None = None,
    on_error: OnError = "stop",
) -> None:
    """Run flows as actors on one bus, each processor in a process of its own.

    Cancelling drains the pipes: what is under way still reaches the sinks.

    Parameters
    ----------
    *flows
        Flows, processors, or functions of (data, context); one pipe each. They are inherited by
        fork, so anything goes; what they hold open must bear that.
    window
        How many iterations of a pipe may be under way at once; 'auto': as fits their size and pace,
        see the command line's ``-window``.
    count
        End after so many iterations; None for no limit.
    bus
        Name of the bus; None makes one.
    restart
        How often an actor that was killed may be started again within a minute.
    hang_s
        Seconds after which a processor that does not return from a call is killed; None: never.
    on_error
        When a processor raises: 'stop' the run, 'skip' its output, or 'restart' it.

    Raises
    ------
    PlanError
        For flows that cannot be laid out.
    RunFailed
        When a processor failed.
    """
    from camagick.processor import wrap

    if not logging.getLogger().handlers:  # else the script has its own way to log
        log.configure()

    plan = make_plan([wrap(flow) for flow in flows], window, count, bus)
    with opened(plan, Policy(restart, hang_s, on_error)) as supervisor:
        supervisor.start()
        try:
            await _until_over(supervisor)
        except asyncio.CancelledError:
            supervisor.drain()
            while supervisor.step(0.1):
                pass
            raise
    if supervisor.exit_code:
        raise RunFailed(supervisor.exit_code)


async def _until_over(supervisor: Supervisor) -> None:
    """Let the supervisor work whenever a process has ended, and now and then for its clock."""
    loop, stirred = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(supervisor.fileno(), stirred.set)
    try:
        while supervisor.step(0):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stirred.wait(), 0.5)
            stirred.clear()
    finally:
        loop.remove_reader(supervisor.fileno())
