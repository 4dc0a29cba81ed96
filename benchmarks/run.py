"""Speed, as ratios against peers in the same run: paired, interleaved, medians.

    python benchmarks/run.py [--runs 5] [--peer PYTHON-OR-NONE]

The peer is the single-process program of the same name from the package index, in an environment
of its own under `.bench/`; `--peer none` leaves it out, and the table says so.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).with_name("results")
PEER = "camagick==0.5.8"
DEADLINE_S = 60.0

FIVE_ACTORS = (
    "--from-scratch random jedda=2048 rate=1e9 --reshape 64 32 --slice 16:48 8:24"
    " --npfun sum --to-summary"
)
FANOUT = (
    "--from-scratch random jedda=2048 rate=1e9 { [ --npfun sum --rename {}_s ]"
    " [ --npfun min --rename {}_m ] [ --npfun max --rename {}_M ] } --to-summary mode=table"
)
SCALAR = "--from-scratch random a=1 rate=1e9 --npfun sum --to-summary"


@dataclass(frozen=True)
class Work:
    """One line of the table.

    Attributes
    ----------
    name
        What is measured.
    pipe
        The pipe.
    lines
        Seconds until the first line (1), or between the first and the last of so many lines.
    """

    name: str
    pipe: str
    lines: int


def works(lines: int) -> list[Work]:
    """Return the table's lines."""
    return [
        Work("start of a five-actor pipe to its first line [s]", FIVE_ACTORS, 1),
        Work(f"{lines} rows of the five-actor pipe [s]", FIVE_ACTORS, lines),
        Work(f"{lines} rows of the three-way fanout [s]", FANOUT, lines),
        Work(f"{lines} rows of a scalar pipe [s]", SCALAR, lines),
    ]


def measure(caspy: list[str], work: Work) -> float:
    """Run a pipe once and return the seconds it took, from the command to the first line, or on."""
    begin = time.perf_counter()
    process = subprocess.Popen(
        [*caspy, *work.pipe.split()], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONUNBUFFERED": "1"}, start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None  # noqa: S101 - for the type checker
    try:
        for number, _ in enumerate(process.stdout):
            if number == 0 and work.lines > 1:
                begin = time.perf_counter()
            if number == work.lines - 1:
                break
        else:
            raise RuntimeError(f"{caspy[0]} ended early: {work.pipe}")
        return time.perf_counter() - begin
    finally:
        process.stdout.close()  # a closed output is a normal end
        try:
            process.wait(DEADLINE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def peer_command(choice: str) -> list[str] | None:
    """Return the peer's command; install it where it is not there yet."""
    if choice == "none":
        return None
    if choice:
        return [choice]
    folder = ROOT / ".bench/reference"
    command = folder / "bin/caspy"
    if not command.exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([folder / "bin/pip", "install", "--quiet", PEER], check=True)
    return [str(command)]


def compare(work: Work, peer: list[str] | None, runs: int) -> dict[str, object]:
    """Measure both in turn, `runs` times, after one run each that does not count."""
    ours, theirs = [str(Path(sys.executable).with_name("caspy"))], peer
    rows: dict[str, list[float]] = {"ours": [], "peer": []}
    for number in range(runs + 1):
        for name, command in (("ours", ours), ("peer", theirs)):
            if command is not None:
                seconds = measure(command, work)
                if number:
                    rows[name].append(seconds)
    middle = {name: statistics.median(values) for name, values in rows.items() if values}
    ratio = middle["peer"] / middle["ours"] if "peer" in middle else None
    return {"work": work.name, "pipe": work.pipe, "runs": rows, "median": middle, "ratio": ratio}


def show(rows: list[dict[str, object]]) -> None:
    """Print the table."""
    print(f"{'work':<52} {'ours':>9} {'peer':>9} {'peer/ours':>9}  spread of ours")
    for row in rows:
        middle, runs = row["median"], row["runs"]
        assert isinstance(middle, dict)  # noqa: S101 - for the type checker
        assert isinstance(runs, dict)  # noqa: S101 - for the type checker
        theirs = f"{middle['peer']:9.3f}" if "peer" in middle else "  not run"
        ratio = f"{row['ratio']:9.2f}" if row["ratio"] else " " * 9
        spread = f"{min(runs['ours']):.3f} .. {max(runs['ours']):.3f}"
        print(f"{row['work']!s:<52} {middle['ours']:9.3f} {theirs} {ratio}  {spread}")


def main() -> None:
    """Measure, print the table, and write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=5, help="paired runs of each work (5)")
    parser.add_argument("--lines", type=int, default=3000, help="rows per run (3000)")
    parser.add_argument("--peer", default="", help="the peer's caspy; 'none' leaves it out")
    options = parser.parse_args()
    peer = peer_command(options.peer)
    machine = f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    print(
        f"{machine}\npeer: {PEER if peer else 'left out'}; medians of {options.runs} runs in turn\n"
    )
    rows = [compare(work, peer, options.runs) for work in works(options.lines)]
    show(rows)
    RESULTS.mkdir(exist_ok=True)
    content = {"machine": machine, "peer": PEER if peer else None, "rows": rows}
    (RESULTS / "latest.json").write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
