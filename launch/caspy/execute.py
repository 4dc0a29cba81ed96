"""Running a plan from the command line: signals in, exit code out."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
from typing import TYPE_CHECKING

from camagick_broker import running
from camagick_broker.address import bus_folder, clean_up
from camagick_broker.errors import AddressError
from caspy import logbook, standardinput
from caspy.card import make_card
from caspy.errors import PlanError
from caspy.hosts.opening import opened as outposts_opened
from caspy.hosts.places import Places
from caspy.hosts.talk import GivenUpError
from caspy.limits import allow_open_files
from caspy.policy import Policy
from caspy.process import DRAIN
from caspy.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from caspy.plan import Plan
    from caspy.watchers import Watcher

_INTERRUPTED = 130
log = logging.getLogger(__name__)


def execute(
    plan: Plan, policy: Policy | None = None, watchers: Sequence[Watcher] = (),
    places: Places | None = None,
) -> int:  # fmt: skip
    """Run a plan until it ends, or until Ctrl-C; return the exit code.

    Parameters
    ----------
    plan
        What to run.
    policy
        What to do when actors die or fail.
    watchers
        What looks at it meanwhile.
    places
        Where other hosts are, and how they are reached.

    Returns
    -------
    int
        0 for a normal end (Ctrl-C and a closed output are one), 1 after a failure, 130 after a
        second Ctrl-C, or one while other hosts have not answered yet.

    Raises
    ------
    PlanError
        When the bus cannot be set up.
    """
    interrupts: list[int] = []
    begun = opened(plan, policy, watchers, places, lambda: bool(interrupts))
    try:
        with _signals(interrupts) as bell, begun as supervisor:
            supervisor.watch(bell)
            supervisor.start()
            while supervisor.step(0.5):
                if _pressed(interrupts) > 1:
                    supervisor.kill()
                elif interrupts:
                    supervisor.drain()
    except GivenUpError as error:
        log.warning('msg="%s"', error)
        return _INTERRUPTED
    return _INTERRUPTED if _pressed(interrupts) > 1 else supervisor.exit_code


def _pressed(interrupts: list[int]) -> int:
    """Return how often somebody has pressed Ctrl-C, or the like."""
    return len(interrupts) - interrupts.count(DRAIN)


@contextlib.contextmanager
def opened(
    plan: Plan, policy: Policy | None = None, watchers: Sequence[Watcher] = (),
    places: Places | None = None, given_up: Callable[[], bool] = lambda: False,
) -> Iterator[Supervisor]:  # fmt: skip
    """Hold the folder of a bus while its supervisor is in use, and leave nothing behind.

    Other hosts are waited for until `given_up` says that it is no use.
    """
    try:
        for pipe in plan.pipes:
            for remark in pipe.remarks:
                log.warning('msg="%s"', remark)
        standardinput.check(plan)
        clean_up()
        allow_open_files(plan)
        policy, places = policy or Policy(), places or Places()
        with (
            bus_folder(plan.bus) as folder,
            logbook.kept(folder),
            outposts_opened(plan, places, policy, given_up) as (post, outposts),
        ):
            card = make_card(plan)
            running.write(folder, card)
            supervisor = Supervisor(plan, folder, policy, post, outposts)
            try:
                for watcher in watchers:
                    supervisor.accompany(watcher, card)
                yield supervisor
            finally:
                supervisor.finish()
    except AddressError as error:
        raise PlanError(str(error)) from None


@contextlib.contextmanager
def _signals(interrupts: list[int]) -> Iterator[int]:
    """Note SIGINT, SIGTERM, SIGHUP, DRAIN in `interrupts`; yield a pipe that each of them rings."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, DRAIN)
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
