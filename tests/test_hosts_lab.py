"""The test bed of many hosts is what it says: hosts, ssh between them, cuts, loss and delay."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from camagick import __version__
from caspy.hostsfile import read
from tests.buses import wait_for
from tests.servers import hosts

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.long
#: A socket that echoes, and one that says when its line is gone; both for one connection.
ECHO = "import socket; c, _ = socket.create_server(('', 7)).accept(); c.sendall(c.recv(9))"


@pytest.fixture(scope="module")
def lab() -> Iterator[hosts.Network]:
    with hosts.network("desk", "daq", "gpu") as made:
        yield made


def ping(lab: hosts.Network, *words: str) -> tuple[int, float]:
    """Return how many of the pings from the desk were answered, and the mean time in seconds."""
    out = lab.run("desk", sys.executable, Path(__file__).with_name("pings.py"), *words).stdout
    answered, mean = out.split()
    return int(answered), float(mean)


@pytest.mark.parametrize("name", ["daq", "daq6", "10.77.0.2", "fd77::2"])
def test_ssh_reaches_every_host_without_a_question(lab: hosts.Network, name: str) -> None:
    done = lab.run("desk", "ssh", name, "hostname; echo $XDG_RUNTIME_DIR; caspy -version")
    runtime = lab.hosts["daq"].folder / "run"
    assert done.stdout.split("\n")[:3] == ["daq", str(runtime), f"caspy {__version__}"], done.stderr


def test_the_hosts_file_names_them_all(lab: hosts.Network) -> None:
    assert list(read(lab.hosts_file)) == ["desk", "daq", "gpu"]


def test_hosts_do_not_see_each_others_sockets(lab: hosts.Network) -> None:
    listener = lab.popen("gpu", sys.executable, "-c", ECHO)
    try:
        connect = (
            "import socket; s = socket.create_connection(('{}', 7)); s.sendall(b'x'); s.recv(9)"
        )

        def reached(host: str, name: str) -> bool:
            done = lab.run(host, sys.executable, "-c", connect.format(name))
            return done.returncode == 0

        assert not reached("daq", "localhost")
        wait_for(lambda: reached("gpu", "localhost"), "the listener")
    finally:
        listener.kill()
        listener.wait()


def test_a_cut_host_is_silent_until_it_is_mended(lab: hosts.Network) -> None:
    """With its processes as they were, and with its link up: nobody is told."""
    before = lab.processes("daq")
    lab.cut("daq")
    try:
        assert ping(lab, "10.77.0.2", "3")[0] == 0
        assert ping(lab, "10.77.0.3", "3")[0] == 3
        assert "LOWER_UP" in lab.run("daq", "ip", "link", "show", "eth0").stdout
    finally:
        lab.mend("daq")
    assert ping(lab, "10.77.0.2", "3")[0] == 3
    assert lab.processes("daq") == before


def test_a_wire_delays_loses_and_can_be_cut(lab: hosts.Network) -> None:
    assert ping(lab, "10.77.0.3", "5")[1] < 0.02
    lab.delay("gpu", 0.02)
    answered, mean = ping(lab, "10.77.0.3", "5")
    assert answered == 5
    assert mean >= 0.04
    lab.delay("gpu", 0)
    assert ping(lab, "10.77.0.3", "400")[0] == 400
    lab.loss("gpu", 0.2)
    answered, _ = ping(lab, "10.77.0.3", "400")
    assert 180 < answered < 320  # 256 come through both ways; that is 16 standard deviations
    lab.loss("gpu", 0)
    lab.cut("gpu")
    assert ping(lab, "10.77.0.3", "3")[0] == 0
    lab.mend("gpu")
    assert lab.hosts["gpu"].wire is None
    assert ping(lab, "10.77.0.3", "50")[0] == 50


def test_a_wire_carries_megabytes(lab: hosts.Network) -> None:
    """Every frame of them, in time for TCP."""
    lab.loss("gpu", 0)
    try:
        done = lab.run("desk", "ssh", "gpu", "head -c 20000000 /dev/zero")
        assert done.stdout == "\0" * 20_000_000
    finally:
        lab.mend("gpu")


def lives(pid: int) -> bool:
    """Tell whether a process runs; whoever inherits it may not have looked at its end yet."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_nothing_of_a_lab_is_left(tmp_path: Path) -> None:
    """Whatever runs on its hosts, and though it ignores what it is told."""
    before = set(Path("/run/netns").iterdir()) if Path("/run/netns").exists() else set()
    stubborn = [sys.executable, "-c", "import signal; signal.signal(15, 1); signal.pause()"]
    with hosts.network("a", "b") as lab:
        assert len(set(Path("/run/netns").iterdir()) - before) == 3
        folder = lab.ssh_config.parent
        lab.delay("b", 0.001)
        lab.run("a", "ssh", "-n", "b", f"setsid {' '.join(stubborn[:1])} -c "
                f"'{stubborn[2]}' > {tmp_path}/log 2>&1 < /dev/null & echo started")  # fmt: skip
        left = {*lab.processes("a"), *lab.processes("b")}
        assert len(left) == 3
        with pytest.raises(KeyError):
            lab.cut("c")
    assert not folder.exists()
    assert set(Path("/run/netns").iterdir()) <= before
    assert not any(lives(pid) for pid in left)


def test_what_a_killed_test_run_leaves_is_removed_by_the_next() -> None:
    program = (
        "import signal\n"
        "from tests.servers import hosts\n"
        "with hosts.network('a') as lab:\n"
        "    print(lab.hosts['a'].folder, *lab.processes('a'), flush=True)\n"
        "    lab.popen('a', 'sleep', '1000')\n"
        "    signal.pause()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=hosts.ROOT,
        env={**os.environ, "PYTHONPATH": f"{hosts.SOURCES}:{hosts.ROOT}"},
    )  # fmt: skip
    assert process.stdout is not None
    with process.stdout:
        name, sshd = process.stdout.readline().split()
    process.send_signal(signal.SIGKILL)
    process.wait()
    wait_for(lambda: not lives(int(sshd)), "the end of sshd")
    folder = Path(name).parent
    left = [folder, *Path("/run/netns").glob(f"{folder.name}-*")]
    assert len(left) == 3
    hosts.sweep()
    assert not any(path.exists() for path in left)
