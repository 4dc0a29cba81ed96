"""What listeners cost the pipe they listen to: paired, interleaved, as ratios.

    python benchmarks/tap.py [--rounds 5] [--seconds 2]

One bus runs all the time; a listener comes, and goes, and between any two of them nobody listens.
The rate with a listener is divided by the mean of those just before and after it. A live listener
needs processor time of its own, which a pipe that keeps all cores busy will lack.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import time
import timeit
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from camagick_broker.events import ToConsumers
from camagick_broker.inquiry import Inquiry
from camagick_broker.port import Port
from camagick_broker.refusals import Refusals
from camagick_broker.running import Card, find
from camagick_broker.tap import Tap
from camagick_broker.wiring import Wiring

if TYPE_CHECKING:
    from collections.abc import Iterator

RESULTS = Path(__file__).with_name("results")
CASPY = [sys.executable, "-m", "caspy"]
DEADLINE_S = 60.0
QUIET: dict[str, Any] = {
    "stdin": subprocess.DEVNULL,
    "stdout": subprocess.DEVNULL,
    "stderr": subprocess.DEVNULL,
}

PIPES = {
    "small messages, as fast as they go": "--from-scratch random a=64 rate=1e9 --npfun sum",
    "small messages, 500/s": "--from-scratch random a=64 rate=500 --npfun sum",
    "8 MB frames, as fast as they go": "--from-scratch random a=1024,1024 rate=1e9 --npfun max",
    "8 MB frames, 20/s": "--from-scratch random a=1024,1024 rate=20 --npfun max",
}


@dataclass(frozen=True)
class Guest:
    """A listener: its command line, and whether it is stopped while the rate is measured."""

    name: str
    words: str
    stopped: bool = False


GUESTS = (
    Guest("live, 25/s", "rate=25 --to-summary path=/dev/null"),
    Guest("live, all", "rate=all --to-summary path=/dev/null"),
    Guest("SIGSTOPped, all", "rate=all --to-summary path=/dev/null", stopped=True),
    Guest("slow (2/s), all", "rate=all latest=0 --pace Hz=2 --to-summary path=/dev/null"),
)


@contextlib.contextmanager
def caspy(*words: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run caspy in the background."""
    process = subprocess.Popen([*CASPY, *words], start_new_session=True, **QUIET)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(DEADLINE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def ready(name: str) -> Card:
    """Return a bus, once all its actors run."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        with contextlib.suppress(Exception):
            card = find(name)
            with Inquiry(card.run, card.folder) as inquiry:
                if (inquiry.status() or {}).get("ready"):
                    return card
        time.sleep(0.05)
    raise TimeoutError(name)


def rate(card: Card, seconds: float) -> float:
    """Return iterations per second of a bus, by its own clock, over about so many seconds."""
    with Inquiry(card.run, card.folder) as inquiry:
        stale = first = figures(inquiry, card)
        while first["lifetime_s"] == stale["lifetime_s"]:  # it tells of what was before
            time.sleep(0.05)
            first = figures(inquiry, card)
        last = first
        while last["lifetime_s"] < first["lifetime_s"] + seconds:
            time.sleep(0.05)
            last = figures(inquiry, card)
    return float((last["seq"] - first["seq"]) / (last["lifetime_s"] - first["lifetime_s"]))


def figures(inquiry: Inquiry, card: Card) -> dict[str, Any]:
    """Return what the last actor of a bus has reported."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        found = (inquiry.status() or {}).get("statistics", {}).get(len(card.actors))
        if found:
            return dict(found)
        time.sleep(0.05)
    raise TimeoutError("no figures")


def with_guest(card: Card, guest: Guest, seconds: float) -> float:
    """Return the rate of a bus while somebody listens to its source."""
    name = f"guest{os.getpid()}"
    with caspy("-bus", name, "--from-tap", f"{card.bus}/1", *guest.words.split()):
        ear = ready(name)
        with Inquiry(ear.run, ear.folder) as inquiry:
            pid = (inquiry.status() or {})["actors"][1]["pid"]
        time.sleep(1.0)  # it hears something by now
        try:
            if guest.stopped:
                os.kill(pid, signal.SIGSTOP)
            return rate(card, seconds)
        finally:
            os.kill(pid, signal.SIGCONT)


def measure(pipe: str, rounds: int, seconds: float) -> dict[str, Any]:
    """Return rates of a pipe with and without guests."""
    bus = f"bench{os.getpid()}"
    ratios: dict[str, list[float]] = {guest.name: [] for guest in GUESTS}
    alone = []
    with caspy("-bus", bus, *pipe.split(), "--to-summary", "path=/dev/null"):
        card = ready(bus)
        rate(card, 1.0)
        for _ in range(rounds):
            before = rate(card, seconds)
            for guest in GUESTS:
                its = with_guest(card, guest, seconds)
                time.sleep(3.5)  # the tap closes
                after = rate(card, seconds)
                ratios[guest.name].append(2 * its / (before + after))
                alone.append(after)
                before = after
    return {"pipe": pipe, "alone": statistics.median(alone), "ratios": ratios}


def idle_ns() -> float:
    """Return what a message costs more in an actor to which nobody listens, in nanoseconds."""
    port = Port()
    wiring = Wiring(b"12345678", "b", "", 1, "a.1", (), (2,), (1,), (), (2,))
    tap, message = Tap(port, wiring, Refusals("a.1")), ToConsumers([b"x"], 1)

    def without() -> None:
        isinstance(message, tuple)

    def check() -> None:
        isinstance(message, tuple)
        if tap.is_open and isinstance(message, ToConsumers):
            tap.offer(message)

    times = [
        min(timeit.repeat(work, number=100_000, repeat=7)) / 100_000 for work in (check, without)
    ]
    port.close()
    return (times[0] - times[1]) * 1e9


def main() -> None:
    """Measure, print the table, and write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, help="paired rounds (5)")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement (2)")
    parser.add_argument("--pipes", type=int, default=len(PIPES), help="how many of the pipes")
    options = parser.parse_args()
    # Whoever ends it ends what it has started, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    machine = f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    print(f"{machine}\nrate with a listener / rate without; medians of {options.rounds} rounds\n")
    rows = []
    for name, pipe in list(PIPES.items())[: options.pipes]:
        row = {"name": name, **measure(pipe, options.rounds, options.seconds)}
        rows.append(row)
        print(f"{name}: {row['alone']:.1f} iterations/s alone")
        for guest, ratios in row["ratios"].items():
            spread = f"{min(ratios):.2f} .. {max(ratios):.2f}"
            print(f"    {guest:<18} {statistics.median(ratios):5.2f}   {spread}")
    nanoseconds = idle_ns()
    print(f"nobody listens: {nanoseconds:.0f} ns a message more")
    RESULTS.mkdir(exist_ok=True)
    content = {"machine": machine, "rows": rows, "idle_ns": nanoseconds}
    (RESULTS / "tap.json").write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
