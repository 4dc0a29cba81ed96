"""One line over four hosts: each in a network of its own, with sshd, and a wire that can be cut.

Needs root, `ip netns` and sshd, and takes minutes: `make long` runs it.
"""

from __future__ import annotations

import contextlib
import re
import shlex
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import h5py
import numpy as np
import psutil
import pytest

from tests.buses import wait_for
from tests.servers import hosts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.long
DEADLINE_S = 120.0


@pytest.fixture(scope="module")
def lab() -> Iterator[hosts.Network]:
    with hosts.network("desk", "daq", "gpu", "spare", "disk") as made:
        yield made


class Recording:
    """A run from the desk: source, two pipes and a file, each elsewhere."""

    def __init__(
        self, lab: hosts.Network, path: Path, *options: str, gpu: str = "gpu",
        source: str = "n=1 rate=200 @daq",
    ) -> None:  # fmt: skip
        self.path, self.lab = path, lab
        line = [
            "--from-scratch", "counter", *source.split(),
            "{", "[", f"@{gpu}", "--npfun", "sum", "--rename", "s", "]",
            "[", f"@{gpu}", "--npfun", "max", "--rename", "m", "]", "[", "]", "}",
            "--to-hdf5", f"{path}#{{tag}}", "flush=0.1", "@disk",
        ]  # fmt: skip
        self.process = lab.popen(
            "desk", "caspy", "-hosts", str(lab.hosts_file), *options, *line,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def written(self) -> int:
        """Return how many iterations a reader finds in the file now; 0 where he cannot read it."""
        try:
            with h5py.File(self.path, locking=False) as file:
                return min(len(file[name]) for name in ("n", "s", "m"))
        except (OSError, KeyError, RuntimeError):
            return 0

    def grows(self, by: int = 20) -> None:
        """Wait until so many iterations more are written."""
        before = self.written()
        wait_for(lambda: self.written() > before + by, "more data")

    def end(self) -> tuple[int, str]:
        """Press Ctrl-C; return exit code and log."""
        self.process.send_signal(signal.SIGINT)
        return self.wait()

    def wait(self) -> tuple[int, str]:
        """Wait for the end; return exit code and log."""
        try:
            _, log = self.process.communicate(timeout=DEADLINE_S)
        finally:
            self.process.kill()
        return self.process.returncode, log

    def check(self) -> int:
        """See that each iteration is there once, in order, with all that belongs to it."""
        with h5py.File(self.path) as file:
            columns = [np.ravel(file[name][:]) for name in ("n", "s", "m")]
        for column in columns:
            assert np.array_equal(column, np.arange(len(columns[0])))
        return len(columns[0])


@pytest.fixture
def mended(lab: hosts.Network) -> Iterator[None]:
    """Leave all wires whole."""
    yield
    for name in ("daq", "gpu", "spare", "disk", "desk"):
        with contextlib.suppress(Exception):
            lab.mend(name)


def test_files_are_as_on_one_host(lab: hosts.Network, tmp_path: Path) -> None:
    line = ["-count", "30", "--from-scratch", "sinus", "a=64", "b=64"]
    pipes = shlex.split("{ [ @gpu --npfun sum ] [ @gpu --npfun std ] [ ] }")
    here, there = tmp_path / "here.h5", tmp_path / "there.h5"
    several = [*line, "@daq", *pipes, "--to-hdf5", f"{there}#{{tag}}", "@disk"]
    local = [word for word in several if not word.startswith("@")]
    local[-1] = f"{here}#{{tag}}"
    for words in (local, ["-hosts", str(lab.hosts_file), *several]):
        done = lab.run("desk", "caspy", *words)
        assert done.returncode == 0, done.stderr
    with h5py.File(here) as one, h5py.File(there) as other:
        assert set(one) == set(other)
        for name in one:
            assert one[name].dtype == other[name].dtype
            assert np.array_equal(one[name][:], other[name][:])


@pytest.mark.usefixtures("mended")
@pytest.mark.parametrize(
    ("host", "seconds"),
    [(host, seconds) for seconds in (3, 30) for host in ("desk", "daq", "gpu", "disk")],
)
def test_a_cut_link_loses_nothing(
    lab: hosts.Network, tmp_path: Path, host: str, seconds: int
) -> None:
    run = Recording(lab, tmp_path / "cut.h5")
    run.grows()
    lab.cut(host)
    time.sleep(seconds)  # this is what is tested: so long nothing goes through
    lab.mend(host)
    run.grows(500)
    code, log = run.end()
    assert code == 0, log
    assert run.check() > 500


@pytest.mark.usefixtures("mended")
def test_loss_and_delay_lose_nothing(lab: hosts.Network, tmp_path: Path) -> None:
    for name in ("daq", "gpu", "disk"):
        lab.delay(name, 0.02)
        lab.loss(name, 0.1)
    run = Recording(lab, tmp_path / "slow.h5")
    run.grows(50)
    for name in ("daq", "gpu", "disk"):
        lab.mend(name)
    code, log = run.end()
    assert code == 0, log
    assert run.check() > 50


@pytest.mark.usefixtures("mended")
def test_a_tap_over_a_slow_wire_changes_nothing(lab: hosts.Network, tmp_path: Path) -> None:
    """It gets what finds room, and counts the rest; nobody is taken for lost; files are whole."""
    lab.delay("daq", 0.04)
    lab.loss("daq", 0.02)
    run = Recording(
        lab, tmp_path / "tapped.h5", "-bus", "tapped", "-patience", "10",
        source="n=50000 rate=200 @daq --npfun max @daq",  # 80 MB/s would cross for the tap alone
    )  # fmt: skip
    run.grows()
    tap = lab.popen(
        "desk", "caspy", "--from-tap", "tapped/1", "rate=all", "--npfun", "max",
        "--to-summary", "mode=table", env={"CASPY_LOG_LEVEL": "INFO"},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    run.grows(500)
    begin = time.monotonic()
    code, log = run.end()
    assert code == 0, log
    assert "lost" not in log
    assert time.monotonic() < begin + 5  # control does not wait behind what the tap is told
    made = run.check()
    out, said = tap.communicate(timeout=DEADLINE_S)
    assert tap.returncode == 0, said
    seen = [int(float(line)) for line in out.splitlines() if not line.startswith("#")]
    assert len(seen) > 10
    assert seen == sorted(set(seen))
    (line,) = [line for line in said.splitlines() if "left the tap" in line]
    match = re.search(r"received=(\d+) missed=(\d+) skipped=0 repeated=0", line)
    assert match is not None, line
    assert int(match[1]) == len(seen)
    assert int(match[1]) + int(match[2]) == made - seen[0]


def agents(lab: hosts.Network, host: str) -> list[psutil.Process]:
    """Return the agent of a host."""
    found = []
    for pid in lab.processes(host):
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(pid)
            if process.cmdline()[-1:] == ["-agent"] and "python" in process.name():
                found.append(process)
    return found


def test_pipes_of_a_killed_agent_go_on(lab: hosts.Network, tmp_path: Path) -> None:
    run = Recording(lab, tmp_path / "again.h5")
    for _ in range(2):
        run.grows()
        agents(lab, "gpu")[0].kill()
        time.sleep(1.0)  # a file that still grows by what was under way proves nothing
        run.grows(500)
    code, log = run.end()
    assert code == 0, log
    assert log.count('are started again" host=gpu') == 2
    assert run.check() > 1000


def test_a_source_takes_with_it_what_is_counted(lab: hosts.Network, tmp_path: Path) -> None:
    run = Recording(lab, tmp_path / "took.h5")
    run.grows(100)
    agents(lab, "daq")[0].kill()
    code, log = run.wait()
    assert code == 1
    match = re.search(r"made: (\d+) or more; safe in all sinks: (\d+); lost: (\d+) or more", log)
    assert match is not None, log
    made, safe, lost = map(int, match.groups())
    assert safe == run.check()
    assert lost == made - safe >= 0


def test_pipes_go_on_elsewhere_when_their_host_is_gone_for_good(
    lab: hosts.Network, tmp_path: Path
) -> None:
    run = Recording(lab, tmp_path / "gone.h5", "-patience", "4", gpu="gpu|spare")
    run.grows(100)
    lab.die("gpu")
    time.sleep(5.0)
    run.grows(500)
    code, log = run.end()
    assert code == 0, log
    assert "nothing was heard of it for 4 s" in log
    assert "host=spare" in log
    assert run.check() > 500


def test_a_host_that_is_not_there(lab: hosts.Network) -> None:
    done = lab.run("desk", "caspy", "--from-scratch", "zeros", "a=1", "@nowhere", "--to-summary")
    assert done.returncode == 2
    assert "@nowhere: its agent has ended (exit code 255)" in done.stderr
    assert "Traceback" not in done.stderr
