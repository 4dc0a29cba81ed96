"""What a system allows a process: few files, little memory; and processes that stand still."""

from __future__ import annotations

import os
import resource
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.chaos import titles
from tests.launch.test_supervisor import first_line, rest, run, start
from tests.test_hostile import Run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

COUNT = ["-count", "50", "--from-scratch", "counter", "n=1", "rate=1e9"]
ALL = [f"n: {n}.0" for n in range(50)]


def limited(kind: int, soft: int, hard: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(kind, (soft, hard))


@pytest.mark.parametrize("actors", [2, 10])
def test_with_as_few_open_files_as_it_asks_for_a_pipe_runs(actors: int) -> None:
    pipe = [*COUNT, *["--npfun", "sum"] * (actors - 2), "--to-summary"]
    few = limited(resource.RLIMIT_NOFILE, 30, 30)
    done = run(*pipe, preexec_fn=few)
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("caspy: too few open files are allowed: the limit is 30 a process")
    assert f"{actors} actors need " in line
    assert "prlimit" in line
    needed = int(line.partition(f"{actors} actors need ")[2].partition(":")[0])
    # What is kept for the processors' own files they do not need here.
    done = run(*pipe, preexec_fn=limited(resource.RLIMIT_NOFILE, needed, needed))
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 50


def test_the_soft_limit_of_open_files_is_raised_to_the_hard_one() -> None:
    few = limited(resource.RLIMIT_NOFILE, 40, 1000)
    process = start(*COUNT[2:], "--npfun", "sum", "--to-summary", preexec_fn=few)
    assert first_line(process)
    limits = {one.rlimit(resource.RLIMIT_NOFILE) for one in titles(process).values()}
    process.send_signal(signal.SIGINT)
    _, err = rest(process)
    assert limits == {(1000, 1000)}
    assert (process.returncode, err) == (0, "")


def test_two_gigabytes_of_addresses_are_enough_for_a_process() -> None:
    little = limited(resource.RLIMIT_AS, 2 << 30, 2 << 30)
    done = run(*COUNT, "--npfun", "sum", "--to-summary", preexec_fn=little)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ALL


#: A sink that says which frame it was given, and passes nothing on.
TELLER = """
from camagick.processor import ProcessorBase


class Teller(ProcessorBase):
    role = "sink"
    def process(self, data, context):
        print(f"n: {data['n'].flat[0]}", flush=True)
"""
MB = 1 << 20
WINDOW = 8


def fast(frame: int) -> list[str]:
    """Return a pipe of two edges that carry frames of so many bytes as fast as they can."""
    size = frame // 8
    return [
        "--from-scratch", "counter", f"n={size}", "rate=1e9",
        "--telltale:Telltale", "--teller:Teller",
    ]  # fmt: skip


def live(tmp_path: Path, pipe: list[str], *options: str, **env: str) -> Run:
    (tmp_path / "teller.py").write_text(TELLER)
    return Run(pipe, tmp_path, *options, **env)


def memory(run: Run) -> int:
    """Return the bytes that a run's processes hold for themselves, and in shared memory."""
    infos = [process.memory_info() for process in run.actors.values()]
    own = sum(info.rss - info.shared for info in infos)
    files = Path(f"/proc/{run.process.pid}/fd").iterdir()
    shared = [file for file in files if "memfd:caspy" in os.readlink(file)]
    return own + sum(file.stat().st_blocks * 512 for file in shared)


def frozen(run: Run, name: str, seconds: float) -> Iterator[float]:
    """Stop an actor for so long; yield now and then."""
    victim = run.actors[name]
    victim.suspend()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield end
        time.sleep(0.05)
    victim.resume()


@pytest.mark.parametrize("options", [["-window", str(WINDOW)], ["-window", "auto"]], ids=" ".join)
def test_a_sink_that_stands_still_lets_nothing_pile_up(tmp_path: Path, options: list[str]) -> None:
    small = live(tmp_path, fast(8))
    small.read(20)
    base = memory(small)
    small.end()
    big = live(tmp_path, fast(MB), *options)
    big.read(20)
    window = 64 if "auto" in options else WINDOW
    # A frame lies in one place, whoever is behind the source; a few iterations more than a window
    # have ended at the sink before the source has heard of it.
    bound = base + 2 * (window + 2) * MB + 16 * MB * len(big.actors)
    most = max(memory(big) for _ in frozen(big, "teller.3", 4.0))
    print(f"base {base / MB:.0f} MB, most {most / MB:.0f} MB, bound {bound / MB:.0f} MB")
    assert most < bound, f"{most / MB:.0f} MB, expected below {bound / MB:.0f}"
    big.read(300)
    big.end()


def test_an_actor_that_stands_still_until_it_is_given_up_loses_nothing(tmp_path: Path) -> None:
    """Connections of its are cut, and what was in them is lost; it is asked for again."""
    big = live(tmp_path, fast(MB), CASPY_HEARTBEAT_S="0.5")
    big.read(20)
    files = big.actors["scratch.1"].num_fds()
    fewest = min(big.actors["scratch.1"].num_fds() for _ in frozen(big, "telltale.2", 3.0))
    assert fewest < files, "nobody has given it up"
    big.read(300)
    big.end()
