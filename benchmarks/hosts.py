"""One and two network hops between hosts: against raw ZeroMQ over TCP, and plain sockets.

    python -m benchmarks.hosts [--full] [--hops 1 2] [--sizes 100 16e3 1e6 8e6] [--runs 16]

Hosts are network namespaces on a bridge (`tests/servers/hosts.py`: as root, with an sshd). Frames
of float64 go from one to the next, and the last process prints a line for each. All peers run in
the same namespaces, in turn with ours. There is no wire: the limit is what the kernel copies, and
all hosts share the cores, so a hop costs here what it costs on both machines together.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import signal
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / name) for name in (".", "broker", "actors", "launch")]

import zmq  # noqa: E402

from benchmarks import machine, table  # noqa: E402
from benchmarks.measure import (  # noqa: E402
    FULL,
    OURS,
    QUICK,
    SMOKE,
    Budget,
    Contender,
    Figure,
    Goal,
    Work,
    compare,
)  # fmt: skip
from benchmarks.processes import Rows, environment, rate_of, running  # noqa: E402
from tests.servers import hosts  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

RESULTS = Path(__file__).with_name("results")
STAGES = ROOT / "benchmarks/stages"
#: Frames go from the first to the last; the last is where the launcher is, and the lines are read.
NAMES = ("daq", "gpu", "desk")
SIZES = (100, 16_000, 1_000_000, 8_000_000)
RAW, CURVE, LIMIT = "raw ZeroMQ tcp", "raw ZeroMQ tcp, CURVE", "plain sockets"
_PORT = 21000


def works(lab: hosts.Network, hops: Sequence[int], sizes: Sequence[int]) -> list[Work]:
    """Return the works: each number of hops with each size of a frame, in bytes."""
    makers = (_encrypted, _plain)
    return [make(lab, count, size) for count in hops for size in sizes for make in makers]


def _encrypted(lab: hosts.Network, hops: int, size: int) -> Work:
    items = max(1, size // 8)
    # Keys of a benchmark: nobody else can come into these namespaces.
    public, secret = (key.decode() for key in zmq.curve_keypair())
    more = ("--curve", public, secret)
    return Work(
        f"hosts-{hops}-{size}", f"{_title(hops, size)}, encrypted", "frames/s",
        (
            Contender(OURS, functools.partial(ours, lab, hops, f"ones a={items}", ())),
            *_compressed(lab, hops, items),
            Contender(CURVE, functools.partial(raw, lab, hops, items, more)),
        ),
        _goals(size, CURVE),
    )  # fmt: skip


def _plain(lab: hosts.Network, hops: int, size: int) -> Work:
    items = max(1, size // 8)
    return Work(
        f"hosts-{hops}-{size}-insecure", f"{_title(hops, size)}, -insecure", "frames/s",
        (
            Contender(OURS, functools.partial(ours, lab, hops, f"ones a={items}", ("-insecure",))),
            Contender(RAW, functools.partial(raw, lab, hops, items, ())),
            Contender(LIMIT, functools.partial(limit, lab, hops, 8 * items)),
        ),
        _goals(size, RAW),
    )  # fmt: skip


def _goals(size: int, peer: str) -> tuple[Goal, ...]:
    return (Goal(0.8, peer),) if size >= 1_000_000 else ()


def _title(hops: int, size: int) -> str:
    return f"{_short(size)} frames, {hops} network hop{'s' * (hops > 1)}"


def _compressed(lab: hosts.Network, hops: int, items: int) -> list[Contender]:
    """Return caspy with compression, of a ramp: neither as easy as ones, nor as hard as noise."""
    if items < 100_000:
        return []
    source = f"linspace a={items}"
    return [
        Contender(
            f"{OURS}, {codec}", functools.partial(ours, lab, hops, source, ("-compress", codec))
        )
        for codec in ("lz4", "bslz4")
    ]


def _short(size: int) -> str:
    for unit, least in (("MB", 1_000_000), ("kB", 1000)):
        if size >= least:
            return f"{size / least:.3g} {unit}"
    return f"{size} B"


def _route(hops: int) -> tuple[str, ...]:
    """Return the hosts that frames pass, the source's first."""
    return (*NAMES[:hops], NAMES[-1])


def ours(
    lab: hosts.Network, hops: int, source: str, options: Sequence[str], budget: Budget
) -> Figure:  # fmt: skip
    """Return the frames a second of caspy."""
    words = [*options, "--from-scratch", *source.split(), "rate=1e9", f"@{NAMES[0]}"]
    for name in _route(hops)[1:-1]:
        words += ["--rename", "{}_v", f"@{name}"]
    words += ["--to-summary", "@local"]
    command = lab.command(NAMES[-1], "caspy", "-hosts", lab.hosts_file, *words)
    return rate_of(command, environment(), budget)


def raw(
    lab: hosts.Network, hops: int, items: int, more: Sequence[str], budget: Budget
) -> Figure:  # fmt: skip
    """Return the frames a second of a chain on ZeroMQ sockets."""
    shape = ("--shape", str(items), "--hwm", "1000" if items < 4096 else "8", *more)

    def words(role: str, before: str, here: str) -> list[str]:
        source = ["--input", f"tcp://{before}"] if before else []
        target = ["--output", f"tcp://{here}"] if role != "sink" else []
        return ["rawzmq.py", role, *source, *target, *shape]

    return _chain(lab, hops, words, budget)


def limit(lab: hosts.Network, hops: int, size: int, budget: Budget) -> Figure:
    """Return the frames a second of a chain on plain sockets."""

    def words(role: str, before: str, here: str) -> list[str]:
        source = ["--connect", before] if before else []
        target = ["--listen", here] if role != "sink" else []
        return ["rawtcp.py", role, *source, *target, "--bytes", str(size)]

    return _chain(lab, hops, words, budget)


def _chain(
    lab: hosts.Network, hops: int, words: Callable[[str, str, str], list[str]], budget: Budget
) -> Figure:
    """Start a process on each host of the route, and read the lines of the last."""
    route, before = _route(hops), ""
    with ExitStack() as stack:
        for place, name in enumerate(route):
            role = "source" if not place else "sink" if name == route[-1] else "pipe"
            here = f"{lab.hosts[name].address}:{_PORT}"
            script, *rest = words(role, before, here)
            command = lab.command(name, sys.executable, STAGES / script, *rest)
            process = stack.enter_context(running(command, environment(), at_once=True))
            before = here
        if process.stdout is None:
            raise RuntimeError("no output")
        return Rows(process.stdout.fileno()).rate(budget.seconds, budget.warm_s, process.pid)


def _count(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{number} are no runs")
    return number


def main() -> None:
    """Measure, print the table, and write it down."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--full", action="store_true", help="medians of five long runs")
    parser.add_argument("--smoke", action="store_true", help="all once: does it run?")
    parser.add_argument("--hops", type=int, nargs="+", default=[1, 2], choices=(1, 2))
    parser.add_argument("--sizes", type=float, nargs="+", default=SIZES, help="bytes of a frame")
    parser.add_argument(
        "--runs", type=_count, metavar="N",
        help="paired runs instead: where others disturb, a median of few says little",
    )  # fmt: skip
    parser.add_argument("--results", type=Path, default=RESULTS, help="a folder")
    options = parser.parse_args()
    budget = SMOKE if options.smoke else FULL if options.full else QUICK
    budget = dataclasses.replace(budget, runs=options.runs or budget.runs)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if reason := hosts.missing():
        raise SystemExit(f"not run: {reason}")
    described = machine.describe()
    print(machine.line(described), flush=True)
    results = []
    with hosts.network(*NAMES) as lab:
        for work in works(lab, options.hops, [int(size) for size in options.sizes]):
            print(f"\n{work.key}: {work.title}", flush=True)
            results.append(compare(work, budget, lambda text: print(f"    {text}", flush=True)))
    text = table.markdown([row for result in results for row in table.rows(result)])
    print(f"\n{text}")
    options.results.mkdir(exist_ok=True)
    content = {"machine": described, "results": [table.plain(result) for result in results]}
    (options.results / "hosts.json").write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
