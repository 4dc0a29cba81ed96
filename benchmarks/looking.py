"""What it costs a pipe to be looked at: 100 images of 1024x1024 a second, in window and browser.

    python -m benchmarks.looking [--rounds 5] [--seconds 3]

Paired and interleaved: a run without pictures before and after each run with them; what counts is
its rate divided by their mean. The window has Qt's platform without a screen, the browser is a
headless Chromium on the same machine. Both are stopped (SIGSTOP) in runs of their own.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from benchmarks import machine
from benchmarks.tap import CASPY, DEADLINE_S, QUIET, RESULTS, rate, ready
from tests.servers.ioc import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

PIPE = "--from-scratch counter image={side},{side} rate={rate} --npfun negative"
#: The other sink, whose rate is that of the pipe.
OTHER = "[ --npfun max --to-summary path=/dev/null ]"


@dataclass(frozen=True)
class Guest:
    """Who looks: what is added to the pipe, whether with a browser, and whether it is stopped."""

    name: str
    sink: str
    browser: bool = False
    stopped: bool = False


ALONE = Guest("nobody looks", "[ --only image ]")
GUESTS = (
    Guest("window", "--to-plot"),
    Guest("window, SIGSTOPped", "--to-plot", stopped=True),
    Guest("web=, no browser", "--to-plot web={port}"),
    Guest("browser", "--to-plot web={port}", browser=True),
    Guest("browser, SIGSTOPped", "--to-plot web={port}", browser=True, stopped=True),
)


def chromium() -> str | None:
    """Return where a browser is."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


@contextlib.contextmanager
def browsing(url: str) -> Iterator[psutil.Process]:
    """Have a page open in a browser of its own."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        process = subprocess.Popen(
            [str(chromium()), "--headless=new", "--no-sandbox", "--disable-gpu",
             f"--user-data-dir={folder}/profile", "--remote-debugging-port=0", url],
            env={**os.environ, "XDG_RUNTIME_DIR": folder}, start_new_session=True, **QUIET,
        )  # fmt: skip
        try:
            yield psutil.Process(process.pid)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(DEADLINE_S)


def family(parent: psutil.Process) -> list[psutil.Process]:
    """Return a process and all that it has started."""
    return [parent, *parent.children(recursive=True)]


def drawing(launcher: int) -> list[psutil.Process]:
    """Return the processes that draw for a run."""
    found = psutil.Process(launcher).children(recursive=True)
    return [one for one in found if "(drawing)" in "".join(one.cmdline())]


def _resume(who: list[psutil.Process]) -> None:
    for one in who:
        if one.is_running():
            one.resume()


def looked_at(guest: Guest, pipe: str, seconds: float) -> float:
    """Return the rate of a pipe that somebody looks at, in iterations/s."""
    name = f"looking{os.getpid()}"
    env = {**os.environ, "QT_QPA_PLATFORM": "offscreen"}
    env.pop("MPLBACKEND", None)
    with free_port() as port, contextlib.ExitStack() as stack:
        sink = guest.sink.format(port=port)
        words = f"-bus {name} {pipe} {{ {sink} {OTHER} }}".split()
        process = subprocess.Popen([*CASPY, *words], env=env, start_new_session=True, **QUIET)
        stack.callback(_end, process)
        card = ready(name)
        who: list[psutil.Process] = []
        if guest.browser:
            who = [stack.enter_context(browsing(f"http://127.0.0.1:{port}/"))]
        time.sleep(min(3.0, 2 * seconds))  # it is open, and shows something
        who = [one for parent in who for one in family(parent)] or drawing(process.pid)
        if guest.stopped:
            for one in who:
                one.suspend()
            stack.callback(_resume, who)
        return rate(card, seconds)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGINT)
    try:
        process.wait(DEADLINE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def measure(pipe: str, rounds: int, seconds: float) -> tuple[list[float], dict[str, list[float]]]:
    """Return the rates with nobody looking, and the paired ratios of each guest."""
    guests = [guest for guest in GUESTS if not guest.browser or chromium()]
    ratios: dict[str, list[float]] = {guest.name: [] for guest in guests}
    alone = [looked_at(ALONE, pipe, seconds)]
    for _ in range(rounds):
        for guest in guests:
            its = looked_at(guest, pipe, seconds)
            alone.append(looked_at(ALONE, pipe, seconds))
            ratios[guest.name].append(2 * its / (alone[-2] + alone[-1]))
    return alone, ratios


def main(words: list[str] | None = None) -> None:
    """Measure, print the table, and write it as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, help="paired rounds (5)")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement (3)")
    parser.add_argument("--side", type=int, default=1024, help="of an image (1024)")
    parser.add_argument("--rate", type=float, default=100.0, help="images a second (100)")
    parser.add_argument("--results", type=Path, default=RESULTS, help="a folder")
    options = parser.parse_args(words)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what it has started ends, too
    known = machine.describe()
    print(machine.line(known))
    pipe = PIPE.format(side=options.side, rate=options.rate)
    alone, ratios = measure(pipe, options.rounds, options.seconds)
    print(f"nobody looks: {statistics.median(alone):.1f} ({min(alone):.1f} .. {max(alone):.1f})/s")
    for guest, found in ratios.items():
        spread = f"{min(found):.3f} .. {max(found):.3f}"
        print(f"    {guest:<20} {statistics.median(found):6.3f}   {spread}")
    options.results.mkdir(parents=True, exist_ok=True)
    content = {"machine": known, "pipe": pipe, "alone": alone, "ratios": ratios}
    (options.results / "looking.json").write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
