"""Who may connect: the kernel says who has come, and his word is taken."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import zmq

from camagick_broker.admission import Doorman, Visits, describe, has_gone, is_kin, pid_of
from camagick_broker.port import Port
from camagick_broker.refusals import Refusals
from tests import assault, hostile
from tests.broker.conftest import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.mark.parametrize(
    ("peer", "pid"),
    [("localhost:0:0:123", 123), ("localhost:1000:1000:7", 7), ("127.0.0.1", 0), ("", 0),
     ("a:b:c:d", 0), ("::1", 0), (":0:0:-5", 0), ("x:1:2:\N{SUPERSCRIPT TWO}", 0)],
)  # fmt: skip
def test_the_process_at_the_other_end(peer: str, pid: int) -> None:
    assert pid_of(peer) == pid


@pytest.fixture
def niece() -> Iterator[int]:
    """Give a child's child: a process like those that an outsider starts."""
    script = (
        "import subprocess, sys; print(subprocess.Popen(sys.argv[1:]).pid, flush=True); input()"
    )
    words = [sys.executable, "-c", script, "sleep", "60"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(words, text=True, **pipes) as child:  # type: ignore[call-overload]
        pid = int(child.stdout.readline())
        yield pid
        os.kill(pid, 9)
        child.communicate("\n", timeout=10)


def test_kin_is_whom_the_same_launcher_has_started(niece: int) -> None:
    assert is_kin(f":0:0:{os.getpid()}")
    assert is_kin(f":0:0:{os.getppid()}")
    assert not is_kin(f":0:0:{niece}")
    assert not is_kin(":0:0:1")
    assert not is_kin("127.0.0.1")
    assert not is_kin("")
    assert describe(f":0:0:{niece}") == f"process {niece} (sleep)"
    assert describe("127.0.0.1") == "127.0.0.1"


def test_who_has_gone_is_neither_kin_nor_stranger() -> None:
    with subprocess.Popen(["true"]) as child:
        child.wait(10)
    peer = f":0:0:{child.pid}"
    assert has_gone(peer)
    assert not is_kin(peer)
    assert describe(peer) == f"process {child.pid}, which has gone"
    refusals = Refusals("me")
    assert not Doorman(refusals).admits("data", peer)
    assert not refusals.counts
    assert not has_gone("")


class _Nobody(Doorman):
    """Admits nobody."""

    def admits(self, place: str, peer: str) -> bool:
        assert pid_of(peer) == os.getpid()
        self.heard_noise(place)  # counts him
        return False


@pytest.mark.usefixtures("nothing_left")
def test_whom_the_doorman_does_not_admit_gets_nothing_and_costs_nothing(bus_dir, caplog):
    refusals = Refusals("me")
    port = Port(_Nobody(refusals))
    data = port.bind_data(f"ipc://{bus_dir}/d", 1)
    back = port.bind_pull(f"ipc://{bus_dir}/a")
    with (
        caplog.at_level(logging.WARNING),
        assault.peer(zmq.PULL, bus_dir + "/d") as thief,
        assault.peer(zmq.PUSH, bus_dir + "/a") as talker,
    ):
        talker.send(b"hello")

        def both_refused() -> bool:
            assert back not in port.wait(20)
            data.send([b"secret"])
            return len(refusals.counts) == 2

        until(both_refused, "the refusals")
        assert data.waiting, "somebody took it"
        assert not thief.poll(100)
    port.close()
    assert set(refusals.counts) == {"connections to data", "connections to back"}
    assert sum("refused" in one.getMessage() for one in caplog.records) == 2


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("name", ["garbage", "tls hello", "greeting and garbage"])
def test_noise_is_heard_and_silence_is_not(bus_dir: str, tmp_path: Path, name: str) -> None:
    refusals = Refusals("me")
    port = Port(Doorman(refusals))
    port.bind_pull(f"ipc://{bus_dir}/a")
    path = tmp_path / "a"
    path.symlink_to(f"{bus_dir}/a")
    assault.knock(path, 20)
    with assault.talking(path, dict(hostile.noise())[name]) as one:
        until(lambda: port.wait(20) or refusals.counts, "the count")
        assert assault.hangs_up(one)
    port.close()
    assert refusals.counts == {"connections to back": 1}


def test_whoever_may_have_succeeded_is_not_accused() -> None:
    visits = Visits()
    visits.came(5)
    visits.came(6)
    assert visits.went(6)
    visits.succeeded()
    assert not visits.went(5)
    visits.came(5)
    visits.excused()
    assert not visits.went(5)
    visits.came(5)
    assert visits.went(5)
