"""Messages of 100 B: how many a second through three actors, and what one more actor delays."""

from __future__ import annotations

import functools
import statistics
from typing import TYPE_CHECKING

from benchmarks import chains, dora
from benchmarks.measure import OURS, Budget, Contender, Figure, Goal, Work
from benchmarks.pipes import ours
from benchmarks.processes import CASPY, Rows, environment, running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

RAW, APART, DORA = "raw pyzmq", "raw pyzmq, header and array", "dora-rs"
DOUBLES = 12  # 96 B; a prefix, or a tag, comes on top
RATE_HZ = 500
SMALL = f"--from-scratch random a={DOUBLES} rate=1e9 --only a --to-summary"


def works(budget: Budget) -> list[Work]:
    """Return both works."""
    apart = Contender(APART, functools.partial(raw_rate, more=("--apart",)))
    return [
        Work(
            "small", "100 B messages, pipelined, 3 actors", "messages/s",
            (
                Contender(OURS, functools.partial(ours, SMALL.split())),
                Contender(RAW, raw_rate),
                *(() if budget.small else (apart,)),
                Contender(DORA, _dora_rate, slow=True),
            ),
            (Goal(0.5, RAW),),
        ),
        Work(
            "latency", "added latency of one actor, 100 B, one message at a time", "us",
            (Contender(OURS, latency), Contender(RAW, raw_latency)),
            (Goal(150.0, sense="at most"), Goal(1 / 3, RAW)),
            better="less",
        ),
    ]  # fmt: skip


def raw_rate(budget: Budget, more: tuple[str, ...] = ()) -> Figure:
    """Return the messages a second of three processes on raw pyzmq."""
    with chains.raw(["same"], (DOUBLES,), *more) as (rows, pids):
        return rows.rate(budget.seconds, budget.warm_s, *pids)


def _dora_rate(budget: Budget) -> Figure:
    return dora.frames(DOUBLES, 2, "same", budget, window=64)


def latency(budget: Budget) -> Figure:
    """Return what one actor adds, in microseconds, for ours."""

    def ages(hops: int) -> list[float]:
        passing = "--only a " * (hops - 1)
        words = f"--from-bench_probe:Source random a={DOUBLES} rate={RATE_HZ} {passing}"
        command = [*CASPY, *words.split(), "--to-bench_probe:Sink"]
        with running(command, environment()) as process:
            if process.stdout is None:
                raise RuntimeError("no output")
            return _ages(Rows(process.stdout.fileno()), budget)

    return _slope(ages, (1, 3) if budget.small else (1, 2, 3))


def raw_latency(budget: Budget) -> Figure:
    """Return what one process adds, in microseconds, for raw pyzmq."""

    def ages(hops: int) -> list[float]:
        more = ("--rate", str(RATE_HZ), "--latency")
        with chains.raw(["same"] * (hops - 1), (DOUBLES,), *more) as (rows, _):
            return _ages(rows, budget)

    return _slope(ages, (1, 3) if budget.small else (1, 2, 3))


def _slope(ages: Callable[[int], list[float]], numbers: tuple[int, ...]) -> Figure:
    """Return what one more hop costs, from medians over 1 to 3 hops."""
    found = {hops: ages(hops) for hops in numbers}
    medians = {hops: statistics.median(some) for hops, some in found.items()}
    details = {"median_us": medians, "p99_us": {h: _percentile(a, 0.99) for h, a in found.items()}}
    return Figure((medians[3] - medians[1]) / 2, details=details)


def _percentile(values: Iterable[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _ages(rows: Rows, budget: Budget) -> list[float]:
    """Return what was printed, without the first messages."""
    skip = int(RATE_HZ * budget.warm_s)
    lines = rows.lines(skip + max(20, int(RATE_HZ * budget.seconds)))
    return [float(line) for line in lines[skip:]]
