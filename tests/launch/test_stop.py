"""``-stop``: a bus is drained and ended from another terminal."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from camagick_broker.address import bus_folder, runtime_dir
from camagick_broker.running import Card, write
from caspy.stop import CannotStop, stop
from tests.buses import Run, card_of, caspy, clear, wait_for

if TYPE_CHECKING:
    from pathlib import Path

ENDLESS = ["--from-scratch", "counter", "n=1", "rate=200", "--npfun", "sum", "--to-summary"]


def test_it_drains_and_waits_for_the_end(tmp_path: Path) -> None:
    path = tmp_path / "seen"
    with Run("-bus", "mine", *ENDLESS, f"path={path}") as run:
        card_of("mine")
        wait_for(lambda: path.exists() and path.stat().st_size > 100, "some lines")
        done = caspy("-stop", "mine")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("mine has ended, after ")
        assert not (runtime_dir() / "mine").exists()
        assert run.wait() == 0
        assert run.log == ""
    lines = path.read_text().splitlines()
    assert lines == [f"n: {n}.0" for n in range(len(lines))]


@pytest.mark.parametrize("words", [["-stop", "nobody"], ["-stop"], ["-stop", "a", "b"]])
def test_mistakes(words: list[str]) -> None:
    done = caspy(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert "^" in done.stderr


def test_from_a_script(tmp_path: Path) -> None:
    """The launcher is not always called caspy."""
    (tmp_path / "script.py").write_text(
        "import asyncio, caspy\n"
        "from camagick.flow.chain import Processor as Chain\n"
        "from camagick.source.scratch import Processor as Scratch\n"
        "from camagick.sink.summary import Processor as Summary\n"
        "try:\n"
        "    asyncio.run(caspy.run(Chain(Scratch('counter', 'n'), Summary()), bus='script'))\n"
        "except KeyboardInterrupt:\n"
        "    print('drained')\n"
    )
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "script.py")], stdout=subprocess.PIPE, text=True
    )
    card_of("script")
    assert caspy("-stop", "script").returncode == 0
    out, _ = process.communicate(timeout=30)
    assert out.splitlines()[-1] == "drained"
    assert process.returncode == 0


def card(pid: int) -> Card:
    return Card("b", b"12345678", pid, "here", 0.0, ("caspy",), "0.1.0", ())


def test_no_other_process_is_signalled() -> None:
    """A card may name a process that is not the launcher any more: nothing happens to that."""
    stranger = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with bus_folder("b") as folder:
        write(folder, card(stranger.pid))
        with pytest.raises(CannotStop, match=f"process {stranger.pid} is not the launcher"):
            stop("b")
        assert stranger.poll() is None
        stranger.communicate(b"\n", timeout=30)
        assert stranger.returncode == 0, "it was not even asked"
        for nobody in (0, -1, 2**22 + 1, 2**70):
            write(folder, card(nobody))
            with pytest.raises(CannotStop):
                stop("b")


HOLDER = """
import json, signal, sys, time
from camagick_broker.address import bus_folder
from camagick_broker.running import read
from camagick_broker.running import Card, write
import os
signal.signal(signal.SIGINT, lambda *_: os.write(1, b"asked\\n"))  # print may be at work
with bus_folder("b") as folder:
    write(folder, Card("b", b"12345678", os.getpid(), "here", 0.0, ("caspy",), "0.1.0", ()))
    print("there", flush=True)
    sys.stdin.readline()
"""


def test_it_does_not_wait_for_ever() -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "there\n"
    said, code = stop("b", patience_s=0.2)
    assert (said, code) == ("b was asked to end, and still drains (caspy -ls b)", 1)
    assert holder.stdout.readline() == "asked\n"
    holder.communicate("\n", timeout=30)


def test_a_launcher_that_is_killed_meanwhile_is_no_success() -> None:
    with Run("-bus", "b", *ENDLESS) as run:
        card_of("b")
        run.process.send_signal(signal.SIGSTOP)
        waits = subprocess.Popen(
            [sys.executable, "-m", "caspy", "-stop", "b"], stdout=subprocess.PIPE, text=True
        )
        status = f"/proc/{run.process.pid}/status"

        def asked() -> bool:
            with open(status) as file:
                pending = next(line for line in file if line.startswith("ShdPnd"))
            return bool(int(pending.split()[1], 16) & 1 << (signal.SIGINT - 1))

        wait_for(asked, "the signal")
        run.process.kill()
        out, _ = waits.communicate(timeout=60)
        assert waits.returncode == 1
        assert out.startswith("b was killed meanwhile")
    clear("b")


def test_the_card_of_a_run() -> None:
    with Run("-bus", "mine", *ENDLESS, "-count", "100000") as run:
        found = card_of("mine")
        assert (found.pid, found.host) == (run.process.pid, os.uname().nodename)
        assert found.command == ("caspy", "-bus", "mine", *ENDLESS, "-count", "100000")
        assert [(one.name, one.inputs) for one in found.actors] == [
            ("scratch.1", ()), ("npfun.2", (1,)), ("summary.3", (2,))
        ]  # fmt: skip
        content = json.loads((found.folder / "bus.json").read_text())
        assert content["version"]
        assert (found.folder / "bus.json").stat().st_mode & 0o777 == 0o600
        caspy("-stop", "mine")
