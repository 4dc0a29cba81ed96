"""A recipe over the three nodes of a real Slurm: from outside an allocation, and inside of one."""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.buses import wait_for
from tests.servers import hosts, slurm

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.long

COUNT = 200
#: A fanout whose branches run on nodes of their own, and a file on the third one.
RECIPE = [
    "--from-scratch", "counter", "i=1", "rate=1e9", "@n1",
    "{", "[", "@n2", "--npfun", "negative", "--rename", "{}_n", "]",
    "[", "@n3", "--rename", "{}_s", "]", "}",
]  # fmt: skip


@pytest.fixture(scope="module")
def lab() -> Iterator[hosts.Network]:
    with hosts.network("head", *slurm.NODES) as made:
        slurm.start(made, "head")
        yield made


@pytest.fixture(autouse=True)
def _nothing_is_left(lab: hosts.Network) -> Iterator[None]:
    """Neither a job, nor a process on any node."""
    before = {name: lab.processes(name) for name in slurm.NODES}
    yield
    wait_for(lambda: not lab.run("head", "squeue", "-h").stdout, "the end of all jobs")
    wait_for(
        lambda: {name: lab.processes(name) for name in slurm.NODES} == before, "peace on all nodes"
    )


@contextlib.contextmanager
def started(lab: hosts.Network, *words: str) -> Iterator[subprocess.Popen[str]]:
    """Run caspy on the head node meanwhile."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with lab.popen("head", "caspy", *words, **pipes) as process:
        try:
            yield process
        finally:
            process.kill()


def local(lab: hosts.Network) -> list[str]:
    """Return what the same recipe prints on one host."""
    words = [word for word in RECIPE if not word.startswith("@")]
    done = lab.run("head", "caspy", "-count", str(COUNT), *words, "--to-summary", timeout=60)
    return done.stdout.splitlines()


@pytest.mark.parametrize("around", [(), ("salloc", "-Q", "-N3")], ids=["outside", "inside"])
def test_the_same_as_on_one_host(lab: hosts.Network, around: tuple[str, ...]) -> None:
    """The launcher is on the head node; each node has an agent, started by srun."""
    command = [*around, "caspy", "-engine", "slurm", "-count", str(COUNT)]
    done = lab.run("head", *command, *RECIPE, "--to-summary", "@local", timeout=100)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == local(lab)
    assert len(done.stdout.splitlines()) == 2 * COUNT


def test_ctrl_c_ends_all_of_it(lab: hosts.Network, tmp_path: Path) -> None:
    """What was begun is ended, and every file is whole."""
    target = tmp_path / "out.txt"
    words = ["-engine", "slurm", *RECIPE, "--to-summary", f"path={target}", "@n3"]
    with started(lab, *words) as process:
        wait_for(lambda: target.exists() and target.stat().st_size > 1000, "rows")
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    rows = [int(line.split("[")[1].split(".")[0]) for line in target.read_text().splitlines()]
    assert rows[1::2] == list(range(len(rows) // 2))


def test_a_cancelled_node_is_started_again(lab: hosts.Network, tmp_path: Path) -> None:
    """The administrator takes one node away: a new agent takes its place, and no row is missing."""
    target = tmp_path / "out.txt"
    words = ["-engine", "slurm", *RECIPE, "--to-summary", f"path={target}", "@local"]
    with started(lab, *words) as process:
        wait_for(lambda: target.exists() and target.stat().st_size > 1000, "rows")
        assert lab.run("head", "scancel", "-w", "n2").returncode == 0
        assert process.stderr is not None
        said: list[str] = []
        while "are started again" not in (line := process.stderr.readline()):
            assert line, said
            said.append(line)
        size = target.stat().st_size
        wait_for(lambda: target.stat().st_size > size + 1000, "more rows")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 0
    assert "host=n2" in line
    rows = [line.split("[")[1].split(".")[0] for line in target.read_text().splitlines()]
    assert list(map(int, rows[1::2])) == list(range(len(rows) // 2))
    assert [abs(int(row)) for row in rows[::2]] == list(range(len(rows) // 2))


def test_a_node_that_is_taken_is_waited_for(lab: hosts.Network) -> None:
    """Until whoever has it has done with it, or until Ctrl-C: then nothing stays in the queue."""

    def queue(state: str) -> str:
        return lab.run("head", "squeue", "-h", "-t", state).stdout

    line = ["-engine", "slurm", "-count", "3", *RECIPE, "--to-summary", "@local"]
    with lab.popen("head", "srun", "-Q", "--exclusive", "-w", "n2", "sleep", "600") as other:
        try:
            wait_for(lambda: queue("R"), "somebody else's job")
            with started(lab, *line) as process:
                wait_for(lambda: queue("PD"), "a job in the queue")
                process.send_signal(signal.SIGINT)
                _, said = process.communicate(timeout=60)
            assert process.returncode == 130
            assert re.search(r'msg="[^"]*@n2[^"]*: given up, without an answer yet"', said), said
            wait_for(lambda: not queue("PD"), "an empty queue")
            with started(lab, *line) as process:
                wait_for(lambda: queue("PD"), "a job in the queue")
                other.terminate()
                out, said = process.communicate(timeout=60)
            assert process.returncode == 0, said
            assert len(out.splitlines()) == 6
        finally:
            other.kill()


def test_a_node_that_there_is_not(lab: hosts.Network) -> None:
    words = [
        "-engine",
        "slurm",
        "--from-scratch",
        "counter",
        "i=1",
        "@n9",
        "--to-summary",
        "@local",
    ]
    done = lab.run("head", "caspy", *words, timeout=60)
    assert done.returncode == 2
    assert "@n9" in done.stderr
    assert "Traceback" not in done.stderr
