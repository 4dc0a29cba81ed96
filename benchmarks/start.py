"""From the command to the first line."""

from __future__ import annotations

import time

from benchmarks.measure import OURS, Budget, Contender, Figure, Goal, Work
from benchmarks.pipes import README, REFERENCE, reference_command
from benchmarks.processes import CASPY, Rows, environment, peer_environment, running


def works(_: Budget) -> list[Work]:
    """Return the one work."""
    return [
        Work(
            "start", "start of a 5-actor pipe to its first line", "s",
            (Contender(OURS, ours), Contender(REFERENCE, reference)),
            (Goal(1.0, REFERENCE),),
            better="less",
        )
    ]  # fmt: skip


def ours(_: Budget) -> Figure:
    """Return the seconds of this tree's caspy."""
    return _first_line([*CASPY, *README.split()], environment())


def reference(_: Budget) -> Figure:
    """Return the seconds of the reference."""
    return _first_line(reference_command(README.split()), peer_environment())


def _first_line(command: list[str], env: dict[str, str]) -> Figure:
    begin = time.perf_counter()
    with running(command, env) as process:
        if process.stdout is None:
            raise RuntimeError("no output")
        Rows(process.stdout.fileno()).first()
        return Figure(time.perf_counter() - begin)
