"""PVs over four hosts are as on one, and what several want elsewhere crosses the network once.

Needs root, `ip netns` and sshd: `make long` runs it.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.buses import wait_for
from tests.servers import hosts, ioc

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.long
DEADLINE_S = 60.0
PUTS = range(1, 21)
#: A detector on one host, pipes on another, and the PVs on a third one.
LINE = [
    "--from-epics", "DET:x", "@daq",
    "{", "[", "@gpu", "--eval", "2*{}", "--rename", "y", "]", "[", "--rename", "x", "]", "}",
    "--to-ioc", "prefix=R:", "@disk",
]  # fmt: skip


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[hosts.Network]:
    with hosts.network("desk", "daq", "gpu", "disk") as made:
        base = tmp_path_factory.mktemp("ioc") / "c.db"
        base.write_text('record(ao, "DET:x") { field(EGU, "mm") field(PREC, "3") }\n')
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        made.serve("daq", ioc.tools() / "softIoc", "-S", "-d", base, **quiet)
        wait_for(lambda: Console(made).get("-t", "DET:x"), "the IOC")
        yield made


class Console:
    """The desk, with the clients of EPICS base."""

    def __init__(self, lab: hosts.Network) -> None:
        self._lab = lab

    def _client(self, *words: str) -> subprocess.CompletedProcess[str]:
        name, *rest = words
        return self._lab.run("desk", ioc.tools() / name, *rest, timeout=DEADLINE_S)

    def get(self, *words: str) -> str:
        """Return what caget prints; '' where there is no such PV."""
        done = self._client("caget", "-w", "1", *words)
        return done.stdout.strip() if done.returncode == 0 else ""

    def put(self, value: int) -> None:
        """Set the detector."""
        assert self._client("caput", "-t", "DET:x", str(value)).returncode == 0

    @contextlib.contextmanager
    def running(self, *words: str) -> Iterator[subprocess.Popen[Any]]:
        """Run a command on the desk, and press Ctrl-C at the end."""
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        with self._lab.popen("desk", *words, **pipes) as process:
            try:
                yield process
                process.send_signal(signal.SIGINT)
                assert process.wait(DEADLINE_S) in (0, -signal.SIGINT)
            finally:
                process.kill()


def seen(lab: hosts.Network, log: Path, *words: str) -> tuple[list[str], str]:
    """Run a command line; return what a client sees of its PVs, and how it describes one."""
    desk = Console(lab)
    desk.put(0)
    with desk.running("caspy", "-hosts", str(lab.hosts_file), *words):
        wait_for(lambda: desk.get("-t", "R:y") == "0", "the PVs")
        with log.open("wb") as file, contextlib.ExitStack() as stack:
            monitor = lab.popen(
                "desk", ioc.tools() / "camonitor", "-tn", "R:x", "R:y",
                stdout=file, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            stack.callback(monitor.wait, DEADLINE_S)
            stack.callback(monitor.kill)

            def lines() -> list[str]:
                return [" ".join(line.split()) for line in log.read_text().splitlines()]

            wait_for(lambda: len(lines()) == 2, "the first values")
            for value in PUTS:
                desk.put(value)
                wait_for(lambda v=value: f"R:y {2 * v}" in lines(), f"value {value}")  # type: ignore[misc]
            described = desk.get("-d", "CTRL_DOUBLE", "R:x")
            wait_for(lambda: len(lines()) == 2 * len(PUTS) + 2, "all values")
            return sorted(lines()[:2]) + lines()[2:], described


def test_pvs_are_as_on_one_host(lab: hosts.Network, tmp_path: Path) -> None:
    local = [word for word in LINE if not word.startswith("@")]
    here = seen(lab, tmp_path / "here", *local)
    there = seen(lab, tmp_path / "there", *LINE)
    assert here == there
    lines, described = there
    assert [line for line in lines if line.startswith("R:x")] == [f"R:x {n}" for n in (0, *PUTS)]
    assert "mm" in described


def test_what_several_want_elsewhere_crosses_the_network_once(lab: hosts.Network) -> None:
    """Three consumers on one host, and one on another."""
    count, size = 40, 8 * 125_000
    before = received(lab, "gpu"), received(lab, "disk")
    done = lab.run(
        "desk", "caspy", "-hosts", str(lab.hosts_file), "-count", str(count),
        "--from-scratch", "random", "a=125000", "rate=1e9", "@daq",
        "{", "[", "@gpu", "--npfun", "sum", "--rename", "s", "]",
        "[", "@gpu", "--npfun", "max", "--rename", "m", "]",
        "[", "@gpu", "--npfun", "min", "--rename", "l", "]",
        "[", "@disk", "--npfun", "std", "--rename", "d", "]", "}", "--to-summary",
        timeout=DEADLINE_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 4 * count
    for host, earlier in zip(("gpu", "disk"), before, strict=True):
        came = received(lab, host) - earlier
        assert count * size < came < 1.3 * count * size, host


def received(lab: hosts.Network, host: str) -> int:
    """Return how many bytes a host has received over its network."""
    done = lab.run(host, "cat", "/sys/class/net/eth0/statistics/rx_bytes")
    return int(done.stdout)
