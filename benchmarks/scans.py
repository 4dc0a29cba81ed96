"""How cost grows: with actors, with the size of a frame, with cores; and what a hop is made of."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import chains, pipes
from benchmarks.measure import OURS, Budget, Figure, Unavailable
from benchmarks.messages import DOUBLES, RAW
from benchmarks.processes import (
    CASPY,
    Rows,
    descendants,
    environment,
    name_of,
    rate_of,
    running,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ACTORS = (2, 3, 5, 8, 12)
SIZES = (12, 128, 1024, 8192, 65536, 524288, 4194304)
_RUNS = 3
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Scan:
    """Figures along one axis.

    Attributes
    ----------
    key, title, x, y
        Names: of the scan, of what it shows, and of the axes.
    points
        The place on the axis.
    values
        Medians by contender; None where it could not be run.
    cpu_us
        Processor time of one message or frame.
    """

    key: str
    title: str
    x: str
    y: str
    points: list[float]
    values: dict[str, list[float | None]]
    cpu_us: dict[str, list[float | None]]


def all_scans(budget: Budget) -> list[Scan]:
    """Return all scans; each point is the median of 3 runs, the contenders in turn."""
    actors = [(float(n), _chain(n, DOUBLES)) for n in ACTORS]
    sizes = [(8.0 * n, _chain(3, n)) for n in SIZES]
    cores = [(float(n), _on_cores(n)) for n in _core_counts()]
    if budget.small:  # the others run the same
        actors, sizes, cores = actors[:1], [], [(1.0, {OURS: _on_cores(1)[f"{OURS}, scalar"]})]
    return [
        _scan("actors", "100 B messages, pipelined", "actors", "messages/s", actors, budget),
        _scan("sizes", "three actors", "bytes in a frame", "frames/s", sizes, budget),
        _scan("cores", "pipes of the README", "cores", "rows/s", cores, budget),
        hop(budget),
    ]


_Runs = dict[str, "Callable[[Budget], Figure]"]


def _scan(
    key: str, title: str, x: str, y: str, points: list[tuple[float, _Runs]], budget: Budget
) -> Scan:
    print(f"\nscan: {title}", flush=True)
    scan = Scan(key, title, x, y, [], {}, {})
    for point, contenders in points:
        figures: dict[str, list[Figure]] = {name: [] for name in contenders}
        for _ in range(min(_RUNS, budget.runs)):
            for name, run in contenders.items():
                with contextlib.suppress(OSError, RuntimeError, Unavailable):
                    figures[name].append(run(budget))
        scan.points.append(point)
        for name, some in figures.items():
            value = statistics.median([one.value for one in some]) if some else None
            cpu = [one.cpu_us for one in some if one.cpu_us]
            scan.values.setdefault(name, []).append(value)
            scan.cpu_us.setdefault(name, []).append(statistics.median(cpu) if cpu else None)
            print(f"    {point:g} {x}: {name} {value or 0:.4g} {y}", flush=True)
    return scan


def _chain(actors: int, doubles: int) -> _Runs:
    """Return how so many actors hand on so much, for ours and raw ZeroMQ."""
    method = "random" if doubles <= DOUBLES else "ones"
    words = f"--from-scratch {method} a={doubles} rate=1e9 {'--only a ' * (actors - 2)}--to-summary"
    return {
        OURS: functools.partial(pipes.ours, words.split()),
        RAW: functools.partial(_raw, actors - 2, doubles),
    }


def _raw(hops: int, doubles: int, budget: Budget) -> Figure:
    hwm = "1000" if doubles <= 1024 else "8"
    with chains.raw(["same"] * hops, (doubles,), "--hwm", hwm) as (rows, pids):
        return rows.rate(budget.seconds, budget.warm_s, *pids)


def _core_counts() -> list[int]:
    there = len(os.sched_getaffinity(0))
    return [n for n in (1, 2, 4, 8, 16, 32, 64) if n < there] + [there]


def _on_cores(count: int) -> _Runs:
    """Return how pipes do on so many cores."""
    cores = ",".join(map(str, sorted(os.sched_getaffinity(0))[:count]))

    def run(pipe: str, budget: Budget) -> Figure:
        if shutil.which("taskset") is None:
            raise Unavailable("there is no taskset")
        command = ["taskset", "-c", cores, *CASPY, *pipe.split()]
        return rate_of(command, environment(), budget)

    named = {"README": pipes.README, "two stages": pipes.STAGES, "scalar": pipes.SCALAR}
    return {f"{OURS}, {name}": functools.partial(run, pipe) for name, pipe in named.items()}


def hop(budget: Budget) -> Scan:
    """Return what one hop takes of a process in mid-chain: user and system time, switches."""
    print("\nscan: one hop", flush=True)
    words = f"--from-scratch random a={DOUBLES} rate=1e9 --only a --only a --only a --to-summary"
    with running([*CASPY, *words.split()], environment()) as process:
        rows = _rows(process.stdout)
        rows.first()
        pids = [p.pid for p in descendants(process.pid) if "/only" in name_of(p.pid)]
        ours = _cost(rows, pids, budget.seconds)
    with chains.raw(["same"] * 3, (DOUBLES,)) as (rows, pids):
        rows.first()
        raw = _cost(rows, pids[1:-1], budget.seconds)
    kinds = ("user us", "system us", "waits", "preemptions")
    for kind in kinds:
        print(f"    {kind} a message: {OURS} {ours[kind]:.3g}, {RAW} {raw[kind]:.3g}", flush=True)
    values: dict[str, list[float | None]] = {
        name: [cost[kind] for kind in kinds] for name, cost in ((OURS, ours), (RAW, raw))
    }
    axis = [float(number) for number in range(len(kinds))]
    return Scan("hop", "one hop, 100 B", ", ".join(kinds), "for one message", axis, values, {})


def _rows(stdout: object) -> Rows:
    fileno = getattr(stdout, "fileno", None)
    if fileno is None:
        raise RuntimeError("no output")
    return Rows(fileno())


def _cost(rows: Rows, pids: list[int], seconds: float) -> Mapping[str, float]:
    """Return what one message costs one of these processes, on average."""
    before, count = [_counters(pid) for pid in pids], rows.count
    rows.rate(seconds, 0.0)
    lines = max(1, rows.count - count)
    total: dict[str, float] = {}
    for pid, old in zip(pids, before, strict=True):
        for name, value in _counters(pid).items():
            total[name] = total.get(name, 0.0) + value - old[name]
    return {name: value / lines / len(pids) for name, value in total.items()}


def _counters(pid: int) -> dict[str, float]:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    switches = {"waits": 0.0, "preemptions": 0.0}
    for status in Path(f"/proc/{pid}/task").glob("*/status"):
        for line in status.read_text().splitlines():
            if line.startswith("voluntary_ctxt_switches"):
                switches["waits"] += float(line.split()[1])
            elif line.startswith("nonvoluntary_ctxt_switches"):
                switches["preemptions"] += float(line.split()[1])
    user, system = (float(fields[n]) * _TICK_S * 1e6 for n in (11, 12))
    return {"user us": user, "system us": system, **switches}
