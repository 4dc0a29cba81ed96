"""The agent: what the launcher starts on another host, and speaks to by its input and output.

It runs its part of the plan as the launcher runs its own: forks actors, starts them again, holds
their shared memory. It ends, with all that it has started, when its input ends: signals do not
travel over ssh.
"""

from __future__ import annotations

import contextlib
import logging
import os
import platform
import select
import signal
import socket
import sys
import time
from typing import TYPE_CHECKING, Any

from camagick import __version__
from camagick_broker.address import bus_folder, clean_up
from camagick_broker.errors import AddressError
from camagick_broker.squeeze import is_there
from camagick_broker.wire import VERSION
from caspy.crew import Post
from caspy.errors import PlanError
from caspy.hosts import order
from caspy.hosts.channel import Channel
from caspy.hosts.gate import serve_gate
from caspy.hosts.ports import reserve
from caspy.limits import allow_open_files
from caspy.process import Child, fork, told_to_stop
from caspy.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)

#: How long nothing need be heard of the launcher between the first words and the order.
_ORDER_S = 120.0


def serve() -> int:
    """Be the agent of this host; return the exit code."""
    if os.isatty(0):
        sys.stderr.write("caspy: -agent is for launchers on other hosts: @HOST starts it\n")
        return 2
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    end = _End()
    channel = Channel(os.dup(0), os.dup(1))
    _redirect(os.open(os.devnull, os.O_RDWR), 0, 1)
    try:
        with contextlib.ExitStack() as holds:
            told = _introduce(channel, holds, end)
            return _run(channel, told, end) if told is not None else 0
    except (EOFError, TimeoutError):
        return 1
    except (PlanError, AddressError) as error:
        with contextlib.suppress(OSError):  # the gate has it
            channel.send("problem", text=str(error))
        return 1
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # nothing is left that would need an end


class _End:
    """SIGTERM, which is heeded where there is time for it: what cleans up is not interrupted.

    Attributes
    ----------
    bell
        An open file that is readable once the signal has come.
    has_come
        Tells whether it has.
    """

    def __init__(self) -> None:
        self.bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.has_come = told_to_stop(lambda: os.eventfd_write(self.bell, 1))


def _introduce(channel: Channel, holds: contextlib.ExitStack, end: _End) -> dict[str, Any] | None:
    """Say who this is, and do what the launcher wants to know; return its order."""
    channel.send(
        "hello", version=__version__, protocol=VERSION, python=platform.python_version(),
        hostname=socket.gethostname(), codecs=is_there(),
        ssh=os.environ.get("SSH_CONNECTION", "").split(),
    )  # fmt: skip
    deadline = time.monotonic() + _ORDER_S
    while time.monotonic() < deadline and not end.has_come():
        readable, _, _ = select.select([channel.reads, end.bell], [], [], 1.0)
        for message in channel.receive() if channel.reads in readable else ():
            deadline = time.monotonic() + _ORDER_S
            if message["op"] == "time":
                channel.send("time", ns=time.time_ns())
            elif message["op"] == "reserve":
                channel.send("ports", ports=_reserved(message, holds))
            elif message["op"] == "order":
                return message
    return None


def _reserved(message: dict[str, Any], holds: contextlib.ExitStack) -> list[int]:
    low, high = message["range"]
    return reserve(message["address"], message["count"], (low, high), holds)


def _run(channel: Channel, told: dict[str, Any], end: _End) -> int:
    """Carry out an order."""
    with contextlib.suppress(OSError):
        os.chdir(told["cwd"])
    plan, policy = order.carry_out(told)
    post = Post(told["host"], order.networks(told), told["ahead_ns"])
    clean_up()
    _keep_to(told["cores"])
    allow_open_files(plan, post.host)
    with bus_folder(told["folder"]) as folder:
        supervisor = Supervisor(plan, folder, policy, post, begin=order.beginning(told))
        try:
            inside = _start_gate(supervisor, channel, str(folder), told)
            inside.send("ready")
            supervisor.watch(end.bell)
            _obey(supervisor, inside, end.has_come)
        finally:
            supervisor.finish()
        return supervisor.exit_code


def _keep_to(cores: int | None) -> None:
    """Run this process, and those it forks, on so many of the cores that it may use."""
    allowed = sorted(os.sched_getaffinity(0))
    if cores is not None and cores < len(allowed):
        os.sched_setaffinity(0, allowed[:cores])


def _start_gate(
    supervisor: Supervisor, channel: Channel, folder: str, told: dict[str, Any]
) -> Channel:
    """Fork the process that stands for the broker, and give it the channel.

    Returns
    -------
    Channel
        To the gate. It stays open until this process ends: the gate would take its end for that of
        the agent, and end itself without the last words that it is still to say.
    """
    inside, outside = Channel.pair()
    reads, writes = os.pipe()

    def work() -> int:
        inside.close()
        os.close(writes)
        own, others = supervisor.plan.parted(told["host"])
        return serve_gate(
            folder, reads, channel, outside, supervisor.ledger, own, others, told["patience"]
        )

    pid = fork(f"caspy: {told['bus']}/gate", work, signal.SIGTERM)  # it cleans up
    supervisor.keep(Child("gate", pid, "gate"))
    outside.close()
    os.close(reads)
    channel.close()  # from here on it is the gate's alone
    _redirect(writes, 1)
    supervisor.report_to(inside)
    return inside


def _obey(supervisor: Supervisor, inside: Channel, has_end_come: Callable[[], bool]) -> None:
    """Run the actors, and do what the launcher says, until somebody says that all is over."""
    supervisor.start()
    said_ended = False
    while not supervisor.is_alone and not has_end_come():
        running = supervisor.step(0.5)
        if not running and not said_ended:
            said_ended = True
            inside.send("ended", code=supervisor.exit_code)
        try:
            for message in inside.receive():
                if message["op"] == "finish":
                    return
                if message["op"] in ("drain", "cut", "kill"):
                    getattr(supervisor, message["op"])()
        except EOFError:
            return


def _redirect(handle: int, *targets: int) -> None:
    for target in targets:
        os.dup2(handle, target)
    os.close(handle)
