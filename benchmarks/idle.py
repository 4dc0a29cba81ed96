"""What a pipe of ten actors takes: processor time while it waits, memory while it works."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.measure import OURS, Budget, Contender, Figure, Goal, Work
from benchmarks.pipes import REFERENCE, reference_command
from benchmarks.processes import (
    CASPY,
    DEADLINE_S,
    descendants,
    environment,
    name_of,
    own_cpu_seconds,
    peer_environment,
    running,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

_PASSING = (
    "--only . --npfun abs --npfun abs --npfun abs --rename {} --only . --npfun abs --npfun sum"
)
WAITING = f"--from-epics BENCH:nobody {_PASSING} --to-summary"
SMALL = f"--from-scratch random a=12 rate=100 {_PASSING} --to-summary"


def works(_: Budget) -> list[Work]:
    """Return both works."""
    return [
        Work(
            "idle", "processor time of an idle 10-actor pipe that waits for a PV", "% of a core",
            (Contender(OURS, idle), Contender(REFERENCE, reference_idle)),
            (Goal(2.0, sense="at most"),),
            better="less", once=True,
        ),
        Work(
            "memory", "private memory (USS) of an actor, 10-actor pipe of small messages", "MB",
            (Contender(OURS, memory),),
            (Goal(25.0, sense="at most"),),
            better="less", once=True,
        ),
    ]  # fmt: skip


def idle(budget: Budget) -> Figure:
    """Return the processor time of all processes of the run, in per cent of one core."""
    bus = f"bench{os.getpid()}"
    with _nobody() as env:
        command = [*CASPY, "-bus", bus, *WAITING.split()]
        with running(command, environment(**env), stdout=None) as process:
            _actors(bus)
            return _share(process.pid, budget)


def reference_idle(budget: Budget) -> Figure:
    """Return the same of the reference, which is one process."""
    with _nobody() as env:
        command = reference_command(WAITING.split())
        with running(command, peer_environment(**env), stdout=None) as process:
            time.sleep(1.0)  # it does not say when it is up
            figure = _share(process.pid, budget)
            if process.poll() is not None:
                raise RuntimeError("it ended early")
            return figure


def _share(pid: int, budget: Budget) -> Figure:
    time.sleep(budget.settle_s)
    pids = [pid, *(process.pid for process in descendants(pid))]
    begin, before = time.monotonic(), {one: own_cpu_seconds(one) for one in pids}
    time.sleep(min(budget.long_seconds, 10.0))
    lasted = time.monotonic() - begin
    used = {one: own_cpu_seconds(one) - before[one] for one in pids}
    each = {f"{name_of(one)} {one}": 100 * cpu / lasted for one, cpu in used.items()}
    return Figure(sum(each.values()), details={"seconds": lasted, "percent": each})


@contextlib.contextmanager
def _nobody() -> Iterator[dict[str, str]]:
    """Give the EPICS variables of a network, on loopback, in which nobody answers."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{sock.getsockname()[1]}"
        yield {"EPICS_CA_ADDR_LIST": address, "EPICS_CA_AUTO_ADDR_LIST": "NO"}


def memory(budget: Budget) -> Figure:
    """Return the largest private memory of an actor, in MB of 10^6 bytes."""
    bus = f"bench{os.getpid()}"
    with running([*CASPY, "-bus", bus, *SMALL.split()], environment(), stdout=None):
        pids = _actors(bus)
        time.sleep(budget.settle_s)
        used = {name: _uss_bytes(pid) / 1e6 for name, pid in pids.items()}
    return Figure(max(used.values()), details={"MB": used})


def _uss_bytes(pid: int) -> int:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    fields = dict(line.split(":", 1) for line in text.splitlines()[1:])
    return sum(1024 * int(fields[name].split()[0]) for name in ("Private_Clean", "Private_Dirty"))


def _actors(bus: str) -> dict[str, int]:
    """Return the process numbers of a bus's actors, once all of them run."""
    from camagick_broker.inquiry import Inquiry
    from camagick_broker.running import find

    until = time.monotonic() + DEADLINE_S
    while time.monotonic() < until:
        with contextlib.suppress(Exception):  # not there yet
            card = find(bus)
            with Inquiry(card.run, card.folder) as inquiry:
                status = inquiry.status() or {}
                if status.get("ready"):
                    actors = status["actors"].values()
                    return {actor["name"]: actor["pid"] for actor in actors}
        time.sleep(0.05)
    raise RuntimeError("it does not start")
