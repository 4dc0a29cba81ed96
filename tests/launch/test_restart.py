"""What happens to a run when its processes are killed, hang, or fail."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

from camagick_broker import running
from tests.asking import ask
from tests.chaos import compare, read_hdf5, titles
from tests.launch.test_supervisor import ENDLESS, first_line, rest, run, start, wait_for

if TYPE_CHECKING:
    from pathlib import Path

    import psutil

#: A processor that does what its option says with one number, and hands on the others.
FRAGILE = """
import os, signal, time
from pathlib import Path
from camagick.processor import ProcessorBase


class Fragile(ProcessorBase):
    def __init__(self, how, once=False):
        self.how, self.once = how, once

    def process(self, data, context):
        if data["n"][0] == 40 and not (self.once and Path("was").exists()):
            Path("was").touch()
            if self.how == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.how == "hang":
                time.sleep(10**6)
            if self.how == "freeze":
                os.kill(os.getpid(), signal.SIGSTOP)
            raise RuntimeError("the fortieth")
        return data
"""
COUNT = ["-count", "60", "--from-scratch", "counter", "n=1", "rate=1e9"]
ALL = [f"n: [{n}.]" for n in range(60)]
OTHERS = [line for line in ALL if line != "n: [40.]"]


def run_fragile(tmp_path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "fragile.py").write_text(FRAGILE)
    # The bare `print` of a hung process must not hold up what stands before it.
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    return run(*words, "--to-summary", env=env, cwd=tmp_path)


@pytest.mark.parametrize("victim", ["scratch.1", "npfun.2", "summary.3"])
def test_whoever_is_killed_the_run_goes_on_where_it_was(victim: str) -> None:
    process = start("-count", "300", *ENDLESS)
    lines = [first_line(process).strip()]
    titles(process)[victim].kill()
    out, err = rest(process)
    lines += out.splitlines()
    assert process.returncode == 0, err
    assert f'msg="killed by SIGKILL, is started again" actor={victim}' in err
    expected = [f"n: {n}.0" for n in range(300)]
    if victim == "summary.3":  # a line may have been printed and not yet been noted
        lines = list(dict.fromkeys(lines))
    assert lines == expected


def test_without_restarts_a_killed_actor_ends_the_run_and_is_named() -> None:
    process = start("-restart", "0", *ENDLESS)
    first_line(process)
    titles(process)["npfun.2"].kill()
    _, err = rest(process)
    assert process.returncode == 1
    assert 'msg="killed by SIGKILL" actor=npfun.2' in err


def test_whoever_dies_too_often_ends_the_run() -> None:
    process = start("-restart", "2", *ENDLESS)
    first_line(process)
    killed: set[int] = set()

    def another() -> psutil.Process | None:
        found = titles(process).get("npfun.2")
        return found if found is not None and found.pid not in killed else None

    for _ in range(3):
        victim = wait_for(another, "the actor")
        killed.add(victim.pid)
        victim.kill()
    _, err = rest(process)
    assert process.returncode == 1
    assert "killed by SIGKILL, 3 times in 60 s: given up (-restart N)" in err


def test_a_killed_broker_is_replaced_and_data_flow_on() -> None:
    process = start("-bus", "brokerless", *ENDLESS)
    first_line(process)
    first = titles(process)["broker"]
    first.kill()
    assert process.stdout is not None
    for _ in range(200):
        assert process.stdout.readline()
    wait_for(lambda: titles(process).get("broker", first).pid != first.pid, "a new broker")
    wait_for(lambda: len(_registered()) == 3, "everybody to register again")
    # Whoever is restarted now hears from the new broker where the others are.
    titles(process)["npfun.2"].kill()
    for _ in range(200):
        assert process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, err = rest(process)
    assert process.returncode == 0
    assert 'msg="killed by SIGKILL, is started again" helper=broker' in err


def _registered() -> dict[int, dict[str, object]]:
    card = running.find("brokerless")
    try:
        found = ask(card.run, str(card.folder))["actors"]
    except TimeoutError:
        return {}
    assert isinstance(found, dict)
    return found


def test_an_iteration_that_kills_its_actor_is_set_aside(tmp_path: Path) -> None:
    done = run_fragile(tmp_path, "-bus", "mine", *COUNT, "--fragile:Fragile", "die")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == OTHERS
    assert done.stderr.count("killed by SIGKILL, is started again") == 3
    path = tmp_path / "mine-dead-letters" / "fragile.2-40.npz"
    assert f'iteration=40 kept="{path.relative_to(tmp_path)}"' in done.stderr
    with np.load(path) as kept:
        assert kept["n"] == [40.0]
        about = json.loads(str(kept["about"]))
    assert (about["actor"], about["iteration"]) == ("fragile.2", 40)


@pytest.mark.parametrize("more", [[], ["@workers=2"]])
def test_errors_can_be_skipped(more: list[str], tmp_path: Path) -> None:
    done = run_fragile(tmp_path, "-on-error", "skip", *COUNT, "--fragile:Fragile", "raise", *more)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == OTHERS
    (line,) = done.stderr.splitlines()
    assert "the fortieth (going on without this output)" in line
    assert "actor=fragile.2 iteration=40" in line


def test_a_processor_that_fails_once_can_be_restarted(tmp_path: Path) -> None:
    words = ["--fragile:Fragile", "raise", "once=1"]
    done = run_fragile(tmp_path, "-on-error", "restart", *COUNT, *words)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ALL
    assert 'msg="failed, is started again" actor=fragile.2' in done.stderr


def test_what_always_fails_is_set_aside_after_three_restarts(tmp_path: Path) -> None:
    done = run_fragile(tmp_path, "-on-error", "restart", *COUNT, "--fragile:Fragile", "raise")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == OTHERS
    assert done.stderr.count("set aside") == 1


@pytest.mark.parametrize("how", ["hang", "freeze"])
def test_a_processor_that_hangs_is_killed_and_goes_on(tmp_path: Path, how: str) -> None:
    words = ["--fragile:Fragile", how, "once=1"]
    done = run_fragile(tmp_path, "-hang", "1.5", *COUNT, *words)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ALL
    assert 'msg="busy with iteration 40 for 1.5 s: killed (-hang)" actor=fragile.2' in done.stderr


def test_an_actor_that_does_not_run_is_found_also_where_it_waits(tmp_path: Path) -> None:
    process = start("-hang", "1", "-count", "300", *ENDLESS)
    first_line(process)
    titles(process)["scratch.1"].send_signal(signal.SIGSTOP)
    _, err = rest(process)
    assert process.returncode == 0
    assert "not running for" in err
    assert "actor=scratch.1" in err


def test_whoever_is_killed_in_a_drain_still_drains(tmp_path: Path) -> None:
    words = ["-restart", "9", "--from-scratch", "counter", "n=1", "rate=1e9", "--npfun", "sum"]
    process = start(*words, "--to-hdf5", "run.h5#n", cwd=tmp_path)
    wait_for(lambda: (tmp_path / "run.h5").exists(), "the file")
    process.send_signal(signal.SIGINT)
    for victim in ("npfun.2", "scratch.1", "hdf5.3"):
        if victim in (found := titles(process)):
            found[victim].kill()
    _, err = rest(process)
    assert process.returncode == 0, err
    found = read_hdf5(tmp_path / "run.h5")["n"]
    assert len(found)
    assert compare(found, 1, len(found)) == ""


@pytest.mark.parametrize("victim", ["scratch.1", "scratch.2", "summary.3"])
def test_heads_that_are_joined_stay_together(victim: str) -> None:
    heads = ["--from-scratch", "counter", "a=1", "rate=300", "--from-scratch", "counter", "b=1"]
    words = ["{", *heads, "rate=0", "}", "--to-summary", "mode=table"]
    process = start("-restart", "9", "-count", "300", *words)
    lines = [first_line(process) for _ in range(40)]
    titles(process)[victim].kill()
    out, err = rest(process)
    assert process.returncode == 0, err
    # A line may have been printed and not yet been noted; a new process prints its heading again.
    rows = dict.fromkeys(line.strip() for line in [*lines, *out.splitlines(True)])
    numbers = [row.replace("[", "").replace("]", "").split() for row in rows if row[0] != "#"]
    assert numbers == [[f"{n}.", f"{n}."] for n in range(300)]


SCRIPT = """
import asyncio, os, signal, threading, psutil, caspy
from camagick.flow.chain import Processor as Chain
from camagick.pipe.npfun import Processor as NpFun
from camagick.sink.summary import Processor as Summary
from camagick.source.scratch import Processor as Scratch

async def main():
    flow = Chain(Scratch("counter", n=1, rate=300), NpFun("sum"), Summary())
    run = asyncio.create_task(caspy.run(flow, count=300))
    while not (found := [p for p in psutil.Process().children() if "npfun" in p.cmdline()[0]]):
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.2)
    found[0].kill()
    await run

asyncio.run(main())
"""


def test_a_script_replaces_its_actors_too(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=30,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"n: {n}.0" for n in range(300)]
    assert "is started again" in done.stderr
