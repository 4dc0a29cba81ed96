"""Runs that are disturbed at random: processes killed, frozen, replaced; and what has to come out.

Every run is a real `caspy` with real files. `tests/test_chaos.py` does a few of them; ``make soak``
does many, and says how it went (``python -m tests.chaos --help``).
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil

if TYPE_CHECKING:
    from collections.abc import Sequence

DEADLINE_S = 100.0
SOURCE = ["--from-scratch", "counter", "x=4", "big=8192", "rate=400"]
SUM, MAX = ["--npfun", "sum", "--rename", "{}_a"], ["--npfun", "max", "--rename", "{}_b"]
LAST = ["--npfun", "min", "--rename", "{}_c"]

#: What runs behind the source, and the tags that arrive in every file, with the factor of a number.
TOPOLOGIES: dict[str, tuple[list[str], dict[str, int]]] = {
    "chain": (
        [*SUM, "--to-hdf5", "chain.h5#{tag}", "stamp=1", "swmr=1"],
        {"x_a": 4, "big_a": 8192},
    ),
    "fanout": (
        ["{", "[", *SUM, "]", "[", *MAX, "]", "[", "]", "}",
         "--to-hdf5", "fanout.h5#{tag}", "ragged=1"],
        {"x_a": 4, "big_a": 8192, "x_b": 1, "big_b": 1, "x": 1, "big": 1},
    ),
    "nested": (
        ["{", "[", *SUM, "{", "[", *LAST, "]", "[", "]", "}", "]", "[", *MAX, "]", "}",
         "{", "--to-hdf5", "nested.h5#{tag}", "--to-zarr", "nested.zarr#{tag}",
         "format=2", "stamp=1", "}"],
        {"x_a_c": 4, "big_a_c": 8192, "x_a": 4, "big_a": 8192, "x_b": 1, "big_b": 1},
    ),
    "workers": (
        ["{", "[", "--npfun", "sum", "@workers=3", "--rename", "{}_a", "@workers=2", "]", "[", "]",
         "}", "--nonempty", "@workers=2", "--to-hdf5", "workers.h5#{tag}", "roll=100"],
        {"x_a": 4, "big_a": 8192, "x": 1, "big": 1},
    ),
    "hosts": (
        ["@daq", "{", "[", "@gpu", *SUM, "]", "[", "@gpu", *MAX, "]", "[", "]", "}",
         "--to-hdf5", "hosts.h5#{tag}", "@disk"],
        {"x_a": 4, "big_a": 8192, "x_b": 1, "big_b": 1, "x": 1, "big": 1},
    ),
}  # fmt: skip
_SINKS = ("hdf5", "zarr")
#: What may be logged, and where hosts are lost.
_RESTART = 'msg="killed by SIGKILL, is started again"'
_LOSS = (
    "its actors are started again in 6 s",
    'msg="the actors of a lost host are started again"',
    'msg="waiting until they have done what is left"',
    'msg="its agent has ended before its last words',
    'msg="not started yet, still waiting"',
    "no key was shown: noise, a plain peer, a port scan, or a cut connection",
)
#: Hosts whose loss loses nothing, by an actor that runs there.
_SPARE = {"gpu": "npfun", "disk": "hdf5"}


@dataclass
class Outcome:
    """How a run went.

    Attributes
    ----------
    code
        Its exit code; None where it had to be killed since it did not end.
    done
        What was done to it, by kind.
    wrong
        What is wrong with its files.
    """

    code: int | None
    done: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    log: str = ""
    seconds: float = 0.0

    @property
    def good(self) -> bool:
        """Whether nothing is wrong."""
        return self.code == 0 and not self.wrong


class Run:
    """One disturbed run.

    Parameters
    ----------
    folder
        Where its files are made.
    topology
        A key of `TOPOLOGIES`.
    seed
        Of what is done to it, and when.
    count
        How many iterations it has.
    command
        What is run.
    deadline_s
        How long it may go on after the last disturbance.
    """

    def __init__(
        self,
        folder: Path,
        topology: str,
        seed: int,
        count: int = 1200,
        command: Sequence[str] = ("-m", "caspy"),
        deadline_s: float = DEADLINE_S,
    ) -> None:
        self.folder, self.topology, self.count = folder, topology, count
        self.command, self.deadline_s = command, deadline_s
        self.random = random.Random(seed)  # noqa: S311
        self.outcome = Outcome(None)
        self._last: list[str] = []

    def __call__(
        self, kinds: Sequence[str], times: int = 15, *, source: bool = True, **options: Any
    ) -> Outcome:
        """Start it, disturb it, and look at what it has left.

        Parameters
        ----------
        kinds
            What to do: 'kill' or 'freeze' an actor, 'broker' kills the broker; 'agent' and 'link'
            kill the two ends of the connection to a host.
        times
            How often.
        source
            Whether the source is disturbed, too.
        **options
            Of `subprocess.Popen`.
        """
        words, tags = TOPOLOGIES[self.topology]
        since = time.monotonic()
        with (self.folder / "log").open("w+") as log:
            before = ["-restart", "1000", "-count", str(self.count), *self._hosts(words)]
            words = [*before, *SOURCE, *words]
            with subprocess.Popen(
                [sys.executable, *self.command, *words], stderr=log, cwd=self.folder, **options
            ) as process:
                try:
                    self._disturb(process, kinds, times, source=source)
                    self.outcome.code = process.wait(self.deadline_s)
                except subprocess.TimeoutExpired:
                    process.kill()
                    wait_until_gone(process.pid)
            log.seek(0)
            self.outcome.log = log.read()
        # Of what it logs, only this is to be expected.
        expected = (_RESTART, *_LOSS) if self.topology == "hosts" else (_RESTART,)
        self.outcome.wrong += [
            line
            for line in self.outcome.log.splitlines()
            if not any(one in line for one in expected)
        ]
        self.outcome.seconds = time.monotonic() - since
        self.outcome.wrong += check_files(self.folder, words, tags, self.count)
        return self.outcome

    def _hosts(self, words: Sequence[str]) -> list[str]:
        """Return the option that says where the hosts are that a line speaks of."""
        named = sorted({word[1:] for word in words if word[0] == "@" and "=" not in word})
        if not named:
            return []
        text = "".join(f'[hosts.{name}]\nengine = "local"\n' for name in named)
        (self.folder / "hosts.toml").write_text(text)
        return ["-hosts", "hosts.toml"]

    def _disturb(
        self, process: subprocess.Popen[bytes], kinds: Sequence[str], times: int, *, source: bool
    ) -> None:
        deadline = time.monotonic() + DEADLINE_S
        for _ in range(times):
            self._pause(process, self.random.uniform(0.02, 0.35))
            kind = self.random.choice(list(kinds))
            # The same one again and again at the same iteration would look like a poisonous one.
            victim: psutil.Process | None = None
            while victim is None and process.poll() is None and time.monotonic() < deadline:
                victim = self._victim(process, kind, source=source)
            if victim is not None and self._do(process, kind, victim):
                self.outcome.done[kind] += 1

    def _victim(self, process: Any, kind: str, *, source: bool) -> psutil.Process | None:
        found = titles(process)
        if kind == "broker":
            return found.get("broker")
        if kind in ("agent", "link"):
            host = self.random.choice(sorted(_SPARE))
            return found.get(f"@{host}") if kind == "link" else agent(found, _SPARE[host])
        names = [name for name in found if "." in name and (source or "scratch" not in name)]
        names = [name for name in names if name not in self._last[-2:]]
        if not names:
            return None
        name = self.random.choice(sorted(names))
        self._last.append(name)
        return found[name]

    def _do(self, process: Any, kind: str, victim: psutil.Process) -> bool:
        try:
            if kind != "freeze":
                victim.kill()
                return True
            victim.suspend()
            self._pause(process, self.random.uniform(0.05, 0.6))
            victim.resume()
        except psutil.NoSuchProcess:
            return False
        return True

    @staticmethod
    def _pause(process: subprocess.Popen[bytes], seconds: float) -> None:
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            return


def wait_until_gone(launcher: int) -> None:
    """Wait until the broker of a killed run has removed its folder."""
    folder = Path(os.environ["XDG_RUNTIME_DIR"]) / "caspy" / f"run{launcher}"
    deadline = time.monotonic() + 30
    while folder.exists() and time.monotonic() < deadline:
        time.sleep(0.05)


def titles(process: Any) -> dict[str, psutil.Process]:
    """Return the living processes of a run, by name."""
    found = {}
    with contextlib.suppress(psutil.NoSuchProcess):
        for child in psutil.Process(process.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                title = "".join(child.cmdline())
                if title.startswith("caspy: "):
                    found[title.partition("/")[2]] = child
    return found


def agent(found: dict[str, psutil.Process], actor: str) -> psutil.Process | None:
    """Return the agent that has started an actor whose name begins so."""
    with contextlib.suppress(psutil.NoSuchProcess):
        for name, process in found.items():
            parent = process.parent() if name.startswith(actor) else None
            if parent is not None and parent.cmdline()[-1:] == ["-agent"]:
                return parent
    return None


def check_files(folder: Path, words: list[str], tags: dict[str, int], count: int) -> list[str]:
    """Return what is wrong with the files of a run that had `count` iterations."""
    wrong = []
    for flag, target in itertools.pairwise(words):
        if flag.removeprefix("--to-") in _SINKS and flag.startswith("--to-"):
            name = target.partition("#")[0]
            read = read_hdf5 if flag.endswith("hdf5") else read_zarr
            try:
                found = read(folder / name)
            except (OSError, KeyError, ValueError, RuntimeError) as error:
                wrong.append(f"{name}: {error}")
                continue
            wrong += [
                f"{name}: {tag}: {text}"
                for tag, factor in tags.items()
                if (text := compare(found.get(tag), factor, count))
            ]
    return wrong


def read_hdf5(path: Path) -> dict[str, Any]:
    """Return all data sets of a file."""
    import h5py

    with h5py.File(path, "r") as file:
        found = {name: file[name][()] for name in file if isinstance(file[name], h5py.Dataset)}
    # Rows that could differ in length, but do not.
    return {name: np.stack(a) if a.dtype == object else a for name, a in found.items()}


def read_zarr(path: Path) -> dict[str, Any]:
    """Return all arrays of a store."""
    import zarr

    group = zarr.open_group(path, mode="r")
    return {name: np.asarray(array[:]) for name, array in group.arrays()}


def compare(found: Any, factor: int, count: int) -> str:
    """Say what is wrong with one data set; '' for nothing."""
    if found is None:
        return "it is not there"
    numbers = np.asarray(found).reshape(len(found), -1)[:, 0] / factor
    expected = np.arange(count)
    if np.array_equal(numbers, expected):
        return ""
    seen = Counter(numbers.astype(int).tolist())
    lost = [n for n in range(count) if not seen[n]]
    double = [n for n in seen if seen[n] > 1]
    return f"{len(found)} frames, lost {lost[:10]}, twice {double[:10]}, in order: {not lost}"


def disturb_one(seed: int, kinds: Sequence[str]) -> Outcome:
    """Do run number `seed` of a soak, and return how it went."""
    topology = sorted(TOPOLOGIES)[seed % len(TOPOLOGIES)]
    if topology == "hosts":
        kinds = [*kinds, "agent", "link"]
    with tempfile.TemporaryDirectory(prefix="caspy-soak") as folder:
        outcome = Run(Path(folder), topology, seed)(kinds, source=bool(seed // 3 % 2))
    print(f"{seed:4d} {topology:7s} exit code {outcome.code} {outcome.seconds:5.1f} s", end=" ")
    print(dict(outcome.done), *outcome.wrong, flush=True)
    if not outcome.good:
        print(outcome.log, flush=True)
    return outcome


def main() -> int:
    """Run many, and say how it went."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=main.__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=1, help="how many at a time")
    parser.add_argument("--minutes", type=float, default=60.0, help="begin no run after so long")
    parser.add_argument("--seed", type=int, default=0, help="of the first run")
    parser.add_argument("--kinds", default="kill,freeze,broker")
    options = parser.parse_args()
    deadline = time.monotonic() + 60 * options.minutes
    total: Counter[str] = Counter()

    def one(seed: int) -> Outcome | None:
        return disturb_one(seed, options.kinds.split(",")) if time.monotonic() < deadline else None

    with ThreadPoolExecutor(options.jobs) as pool:
        for outcome in pool.map(one, range(options.seed, options.seed + options.runs)):
            if outcome is not None:
                total.update(outcome.done)
                total["restarts"] += outcome.log.count("is started again")
                total["good runs" if outcome.good else "bad runs"] += 1
    print(", ".join(f"{count} x {what}" for what, count in sorted(total.items())))
    return 1 if total["bad runs"] else 0


if __name__ == "__main__":
    os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.gettempdir())
    sys.exit(main())
