"""Processes: one a step, drained at Ctrl-C, never left behind, one message for one error."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from tests.chaos import titles

if TYPE_CHECKING:
    from collections.abc import Callable

DEADLINE_S = 30.0
CASPY = [sys.executable, "-m", "caspy"]
ENDLESS = ["--from-scratch", "counter", "n=1", "rate=200", "--npfun", "sum", "--to-summary"]


def start(*words: str, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*CASPY, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )


def run(*words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*CASPY, *words], capture_output=True, text=True, timeout=DEADLINE_S, check=False, **options
    )


def wait_for(test: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + DEADLINE_S
    while not (result := test()):
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.01)
    return result


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def rest(process: subprocess.Popen[str]) -> tuple[str, str]:
    """Read what is left; `communicate` would lose what `readline` has buffered."""
    assert process.stdout is not None
    assert process.stderr is not None
    with process.stdout, process.stderr:
        out, err = process.stdout.read(), process.stderr.read()
    process.wait(DEADLINE_S)
    return out, err


def test_every_step_is_a_process_under_its_own_title() -> None:
    process = start("-bus", "mine", *ENDLESS)
    first_line(process)
    names = titles(process)
    assert set(names) == {"broker", "scratch.1", "npfun.2", "summary.3"}
    assert "".join(names["npfun.2"].cmdline()) == "caspy: mine/npfun.2"
    process.send_signal(signal.SIGINT)
    rest(process)


def test_count_ends_the_run() -> None:
    done = run("-count", "5", *ENDLESS)
    assert done.stdout.splitlines() == [f"n: {n}.0" for n in range(5)]
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_drains(number: signal.Signals, tmp_path: Path) -> None:
    """What the source has made reaches the sink, whole and in order, and the exit code is 0."""
    log = tmp_path / "seen"
    process = start(
        "--from-scratch", "counter", "n=1", "rate=1e9",
        "{", "[", "--to-summary", f"path={log}", "]", "--to-summary", "}",
    )  # fmt: skip
    first_line(process)
    process.send_signal(number)
    out, err = rest(process)
    assert (process.returncode, err) == (0, "")
    lines = ["n: [0.]", *out.splitlines()]
    assert lines == [f"n: [{n}.]" for n in range(len(lines))]
    assert log.read_text().splitlines() == lines


def test_ctrl_c_reaches_the_launcher_alone() -> None:
    """A terminal sends SIGINT to the whole foreground group; the actors are not in it."""
    process = start(*ENDLESS, start_new_session=True)
    first_line(process)
    actors = titles(process).values()
    assert all(os.getpgid(actor.pid) != process.pid for actor in actors)
    os.killpg(process.pid, signal.SIGINT)
    _, err = rest(process)
    assert (process.returncode, err) == (0, "")


def test_a_source_that_waits_for_ever_can_be_stopped(tmp_path: Path) -> None:
    (tmp_path / "sleepy.py").write_text(
        "import asyncio\nfrom camagick.processor import ProcessorBase\n"
        "class Sleepy(ProcessorBase):\n"
        "    async def __call__(self, data=None, context=None):\n"
        "        await asyncio.sleep(10**6)\n"
    )
    process = start(
        "--from-sleepy:Sleepy", "--to-summary", env={**os.environ, "PYTHONPATH": str(tmp_path)}
    )
    wait_for(lambda: len(titles(process)) == 3, "the actors")
    process.send_signal(signal.SIGINT)
    out, err = rest(process)
    assert (process.returncode, out, err) == (0, "", "")


def test_a_mid_chain_source_that_waits_can_be_stopped(tmp_path: Path) -> None:
    (tmp_path / "gate.py").write_text(
        "import asyncio\nfrom camagick.processor import ProcessorBase\n"
        "class Gate(ProcessorBase):\n"
        "    async def ready(self):\n"
        "        await asyncio.sleep(10**6)\n"
        "    async def __call__(self, data=None, context=None):\n"
        "        return {}\n"
    )
    process = start(
        "--from-scratch", "ones", "a", "--from-gate:Gate", "--to-summary",
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    wait_for(lambda: len(titles(process)) == 4, "the actors")
    process.send_signal(signal.SIGINT)
    out, err = rest(process)
    assert (process.returncode, out, err) == (0, "", "")


def test_a_closed_output_is_a_normal_end() -> None:
    process = start(*ENDLESS)
    first_line(process)
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(DEADLINE_S) == 0
    assert process.stderr is not None
    assert process.stderr.read() == ""
    process.stderr.close()


def test_an_error_in_a_processor_is_one_line_and_exit_code_1() -> None:
    done = run("--from-scratch", "ones", "a=5", "--reshape", "2", "3", "--to-summary")
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("ERROR:camagick.pipe.reshape:")
    assert "actor=reshape.2 iteration=0" in line
    assert "(5,)" in line


def test_what_was_made_before_an_error_reaches_the_sinks(tmp_path: Path) -> None:
    (tmp_path / "fragile.py").write_text(
        "from camagick.processor import ProcessorBase\n"
        "class Fragile(ProcessorBase):\n"
        "    def process(self, data, context):\n"
        "        if data['n'][0] == 40:\n"
        "            raise RuntimeError('the fortieth')\n"
        "        return data\n"
    )
    done = run(
        *ENDLESS[:4], "--fragile:Fragile", "--to-summary",
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stdout.splitlines() == [f"n: [{n}.]" for n in range(40)]
    assert 'msg="RuntimeError: the fortieth" actor=fragile.2 iteration=40' in done.stderr


def test_an_error_at_the_start_ends_everything(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text(
        "from camagick.processor import ProcessorBase\n"
        "class Broken(ProcessorBase):\n"
        "    async def startup(self):\n"
        "        raise OSError('no such device: /dev/none')\n"
        "    def process(self, data, context):\n"
        "        return data\n"
    )
    done = run(
        "--from-scratch", "ones", "a", "--broken:Broken", "--to-summary",
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert 'msg="no such device: /dev/none" actor=broken.2' in line


def test_nothing_outlives_a_killed_launcher() -> None:
    process = start(*ENDLESS)
    first_line(process)
    children = list(titles(process).values())
    assert len(children) == 4
    process.kill()
    rest(process)
    _, alive = psutil.wait_procs(children, timeout=DEADLINE_S)
    assert not alive
    folder = Path(os.environ["XDG_RUNTIME_DIR"]) / "caspy"
    wait_for(lambda: not list(folder.iterdir()), "the broker to remove the folder")


def test_a_second_ctrl_c_stops_at_once(tmp_path: Path) -> None:
    (tmp_path / "stuck.py").write_text(
        "import time\nfrom camagick.processor import ProcessorBase\n"
        "class Stuck(ProcessorBase):\n"
        "    def process(self, data, context):\n"
        "        print('stuck', flush=True)\n"
        "        time.sleep(10**6)\n"
    )
    process = start(
        "--from-scratch", "ones", "a", "--to-stuck:Stuck",
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    first_line(process)
    process.send_signal(signal.SIGINT)
    # Two signals in one moment are one to the kernel; so the second comes when the first is known.
    assert process.stderr is not None
    assert "waiting until they have done what is left" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    rest(process)
    assert process.returncode == 130


def test_two_buses_of_one_name_are_refused() -> None:
    first = start("-bus", "same", *ENDLESS)
    first_line(first)
    second = run("-bus", "same", *ENDLESS)
    assert second.returncode == 2
    assert "a bus called same is running" in second.stderr
    assert first_line(first)
    first.send_signal(signal.SIGINT)
    rest(first)
    assert first.returncode == 0


def test_the_first_pipe_that_fails_ends_all(tmp_path: Path) -> None:
    done = run(
        *ENDLESS, ",", "--from-scratch", "ones", "a=5", "--reshape", "2", "--to-summary",
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.count("ERROR") == 1


def test_several_pipes_run_on_one_bus() -> None:
    one = ["--from-scratch", "counter", "a=1", "--to-summary"]
    two = ["--from-scratch", "counter", "b=1", "--to-summary"]
    done = run("-count", "3", *one, ",", *two)
    assert done.returncode == 0
    assert sorted(done.stdout.split("\n")) == sorted(
        ["", *[f"{tag}: [{n}.]" for tag in "ab" for n in range(3)]]
    )
