"""The Tango commands of the document: typed in a shell, against a real database and devices.

Clients of the PVs are the real caput and camonitor.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from tests.buses import Run
from tests.chaos import titles
from tests.docs_runner import ROOT, blocks
from tests.servers import tango
from tests.servers.ioc import ca_env, caget, camonitor, caput, full, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.servers.ioc import Camonitor
    from tests.servers.tango import Lab, Server

lab, keithley = tango.lab, tango.keithley
DEADLINE_S = 60.0
KILLED = "devices/keithley/2"

READING = """caspy --from-tango devices/keithley/1 cur=current vol=voltage \\
      --to-ioc prefix="KE:keith:" suffix=".RBV" """
WRITING = """caspy --from-ioc prefix="KE:keith:" vol="vol(0.0)" output="output(0)" \\
      --to-tango dev="devices/keithley/1"  vol="voltage" output="output" """


@pytest.fixture
def env(lab: Lab, tmp_path: Path) -> Iterator[dict[str, str]]:
    """Variables for a shell that finds caspy, the database, and Channel Access of its own."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/caspy").write_text(f'#!/bin/sh\nexec {sys.executable} -m caspy "$@"\n')
    (tmp_path / "bin/caspy").chmod(0o755)
    with ca_env() as ca:
        keep = {"XDG_RUNTIME_DIR": os.environ["XDG_RUNTIME_DIR"], "TANGO_HOST": lab.host}
        yield {**full(ca), **keep, "PATH": f"{tmp_path}/bin:/usr/bin:/bin"}


@contextlib.contextmanager
def running(line: str, env: dict[str, str], folder: Path, name: str = "run") -> Iterator[Path]:
    """Run a command of the document in the background, and end it by Ctrl-C; give its log."""
    log = folder / f"{name}.log"
    with log.open("w") as err:
        process = subprocess.Popen(["bash", "-c", f"exec {line}"], env=env, cwd=folder, stderr=err)
    try:
        yield log
    finally:
        process.send_signal(2)
        code = process.wait(DEADLINE_S)
    assert code == 0, log.read_text()


@pytest.mark.usefixtures("keithley")
def test_what_the_source_prints(env: dict[str, str], tmp_path: Path, lab: Lab) -> None:
    line = f"""export TANGO_HOST={lab.host}
    caspy -count 2 --from-tango devices/keithley/1 cur=current vol=voltage --to-summary"""
    done = subprocess.run(
        ["bash", "-c", line], env={**env, "TANGO_HOST": ""}, cwd=tmp_path, capture_output=True,
        text=True, timeout=DEADLINE_S, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    words = [line.partition(": ")[0] for line in done.stdout.splitlines()]
    assert words == ["cur", "vol"] * 2, done.stdout


def test_a_device_by_its_alias_and_by_its_full_name(
    env: dict[str, str], tmp_path: Path, lab: Lab, keithley: Server
) -> None:
    lab.name("kettle", tango.NAME)
    line = f"""caspy -count 1 --from-tango kettle vol=voltage --from-tango {keithley.url} text
        --from-tango tango://{lab.host}/kettle out=output --from-scratch opts=start=3 linspace n=1
        {{ --to-tango {keithley.url} n=setpoint --to-tango kettle n=short --to-summary }}"""
    done = subprocess.run(
        ["bash", "-c", " ".join(line.split())], env=env, cwd=tmp_path, capture_output=True,
        text=True, timeout=DEADLINE_S, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    words = [line.partition(": ")[0] for line in done.stdout.splitlines()]
    assert words == ["vol", "text", "out", "n"], done.stdout
    device = keithley.device()
    assert (device.setpoint, device.short) == (3.0, 3)


def equals(proxy: Any, name: str, value: Any) -> bool:
    """Tell whether an attribute of a device has a value."""
    return bool(proxy.read_attribute(name).value == value)


def shows(monitor: Camonitor, value: str) -> bool:
    """Tell whether a camonitor has printed a value."""
    return any(line.split()[-1] == value for line in monitor.lines())


def speak(env: dict[str, str], other: dict[str, str], device: Server) -> None:
    """Do what the document does with a bridge; `other` finds what is written."""
    proxy = device.device()
    until(lambda: caput(other, "KE:keith:vol", "0.05").returncode == 0, "the bridge")
    with camonitor(env, "KE:keith:vol.RBV", "KE:keith:cur.RBV") as monitor:
        until(lambda: proxy.voltage == 0.05, "the voltage of the device")
        for output in (1, 0):
            shown = caput(other, "KE:keith:output", str(output)).stdout.split()
            assert shown[-1] == str(output), shown
            until(partial(equals, proxy, "output", output), "the output")
        caput(other, "KE:keith:vol", "0.1")
        for value in ("0.1", "1e-07"):  # vol.RBV and cur.RBV
            until(partial(shows, monitor, value), value)
    assert proxy.voltage == 0.1


def test_the_bridge_in_two_commands(env: dict[str, str], tmp_path: Path, keithley: Server) -> None:
    with (
        ca_env() as second,
        running(READING, env, tmp_path, "reading"),
        running(WRITING, {**env, **second}, tmp_path, "writing"),
    ):
        speak(env, {**env, **second}, keithley)


def recipe() -> str:
    """Return the recipe of the bridge, as the documentation shows it."""
    found = blocks(ROOT / "docs/tango.md")
    return next(block.text for block in found if block.file == "bridge.spy")


def bridge_killed(env: dict[str, str], lab: Lab, folder: Path, rounds: int, *words: str) -> None:
    """Kill device server and IOC under both directions; each accepted value has to arrive."""
    writes = folder / "writes"
    device = lab.keithley(f"killed{rounds}", KILLED, CASPY_TEST_WRITES=str(writes))
    with pytest.MonkeyPatch.context() as patch:
        for key, value in env.items():
            patch.setenv(key, value)
        with Run(*words, log="WARNING") as run:
            until(lambda: caget(env, "-t", "KE:keith:vol.RBV"), "the bridge")
            until(lambda: written(writes), "the initial value")
            for number in range(1, rounds + 1):
                device.kill()
                titles(run.process)["ca"].kill()
                until(partial(accepts, env, number), "a put")
                device.start(wait=False)
                until(partial(has, writes, f"{number}.0"), "the device to have it")
                until(partial(reads_back, env, number), "the RBV")
            run.interrupt()
            assert run.wait() == 0, run.log
            log = run.log
    device.kill()
    assert list(dict.fromkeys(written(writes))) == [f"{n}.0" for n in range(rounds + 1)]
    # Source and sink are processes of their own; the sink looks only when there is a value.
    lost = log.count('msg="device lost"')
    assert rounds <= lost <= 2 * rounds, log
    assert log.count('msg="device connected again"') == lost, log
    assert "not written" not in log, log
    assert "not read" not in log, log


def accepts(env: dict[str, str], value: int) -> bool:
    """Put a value; tell whether the bridge has acknowledged it."""
    return caput(env, "KE:keith:vol", str(value)).returncode == 0


def has(writes: Path, text: str) -> bool:
    """Tell whether the device has been told something."""
    return text in written(writes)


def reads_back(env: dict[str, str], value: int) -> bool:
    """Tell whether the bridge publishes a value as the voltage."""
    return float(caget(env, "-t", "KE:keith:vol.RBV")) == value


def written(path: Path) -> list[str]:
    """Return all that the device has been told, over all its lives."""
    return path.read_text().split() if path.exists() else []


def test_the_bridge_as_a_recipe_is_killed(env: dict[str, str], lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "bridge.spy").write_text(recipe().replace(tango.NAME, KILLED))
    bridge_killed(env, lab, tmp_path, 2, "-yaml", str(tmp_path / "bridge.spy"))


@pytest.mark.long
def test_the_bridge_in_one_line_is_killed_often(
    env: dict[str, str], lab: Lab, tmp_path: Path
) -> None:
    line = f"{READING} , {WRITING}".replace("caspy ", "").replace(tango.NAME, KILLED)
    words = shlex.split(line.replace("\\\n", " "))
    bridge_killed(env, lab, tmp_path, 10, "-restart", "100", *words)  # 3 in a minute otherwise


def test_the_server_in_cpp(env: dict[str, str], lab: Lab, tmp_path: Path) -> None:
    server = lab.tango_test()
    line = f"""caspy -count 3 --from-tango sys/tg_test/1 double_scalar ushort_image_ro
        string_scalar st=State echo=DevDouble(1.5) enums=text --to-summary ,
        --from-scratch ones rate=2 v=1 --to-tango dev={server.url} v=long_scalar_w"""
    done = subprocess.run(
        ["bash", "-c", " ".join(line.split()).replace("(1.5)", "'(1.5)'")], env=env, cwd=tmp_path,
        capture_output=True, text=True, timeout=DEADLINE_S, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "st: RUNNING" in done.stdout
    assert "echo: 1.5" in done.stdout
    assert "ushort_image_ro: shape=(251, 251) <class 'int'>" in done.stdout
    assert server.device().long_scalar_w == 1
    server.device().poll_attribute("double_scalar", 50)
    line = f"caspy -count 3 --from-tango {server.url} double_scalar mode=event event=periodic"
    done = subprocess.run(
        ["bash", "-c", f"{line} --to-summary"], env=env, cwd=tmp_path, capture_output=True,
        text=True, timeout=DEADLINE_S, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert [text.partition(": ")[0] for text in done.stdout.splitlines()] == ["double_scalar"] * 3
    server.kill()
