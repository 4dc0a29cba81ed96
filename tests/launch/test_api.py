"""The Python way in: the same objects, as actors on the bus."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

DEADLINE_S = 60.0
HEAD = """
import asyncio
import caspy
from camagick.flow.chain import Processor as ChainFlow
from camagick.flow.fanout import Processor as FanoutFlow
from camagick.pipe.npfun import Processor as Npfun
from camagick.processor import EndOfData, ProcessorBase
from camagick.sink.summary import Processor as Summary
from camagick.source.scratch import Processor as Scratch
"""


def script(text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    (folder / "script.py").write_text(HEAD + text)
    return subprocess.run(
        [sys.executable, "-W", "error", "script.py"], cwd=folder, capture_output=True, text=True,
        timeout=DEADLINE_S, check=False,
    )  # fmt: skip


def test_run_ends_after_count(tmp_path: Path) -> None:
    done = script(
        "fanout = FanoutFlow(Npfun('sum'), ChainFlow())\n"
        "flow = ChainFlow(Scratch('counter', n=3), fanout, Summary())\n"
        "asyncio.run(caspy.run(flow, count=2))\n", tmp_path,
    )  # fmt: skip
    assert (done.returncode, done.stderr.count("comes out of several")) == (0, 1)
    array = "n: shape=(3,) <class 'float'>"
    assert done.stdout.splitlines() == ["n_sum: 0.0", array, "n_sum: 3.0", array]


def test_functions_and_own_processors_run_on_the_bus(tmp_path: Path) -> None:
    done = script(
        """
import os

class Twice(ProcessorBase):
    def process(self, data, context):
        return {tag: 2 * value for tag, value in data.items()}

values = iter([1, 2, 3])

async def source(data, context):
    await asyncio.sleep(0)
    try:
        return {"x": next(values), "pid": os.getpid()}
    except StopIteration:
        raise EndOfData from None

def other(data, context):
    return {"x": data["x"], "same": data["pid"] / 2 == os.getpid()}

asyncio.run(caspy.run(ChainFlow(source, Twice(), other, Summary())))
""",
        tmp_path,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        text for x in (2, 4, 6) for text in (f"x: {x}", "same: False")
    ]


def test_a_failure_is_raised(tmp_path: Path) -> None:
    done = script(
        """
def broken(data, context):
    raise ValueError("no good")

try:
    asyncio.run(caspy.run(ChainFlow(Scratch("ones", "a"), broken)))
except Exception as error:
    print(type(error).__name__, error)
""",
        tmp_path,
    )
    assert done.returncode == 0
    assert done.stdout.startswith("RunFailed")
    assert "no good" in done.stderr


@pytest.mark.parametrize("how", ["task.cancel()", "os.kill(os.getpid(), signal.SIGINT)"])
def test_cancelling_drains(how: str, tmp_path: Path) -> None:
    done = script(
        f"""
import os, pathlib, signal

async def main():
    flow = ChainFlow(Scratch("counter", n=1, rate=1e9), Summary(path="out"))
    task = asyncio.get_running_loop().create_task(caspy.run(flow))
    while not pathlib.Path("out").exists():
        await asyncio.sleep(0.01)
    {how}
    await task

try:
    asyncio.run(main())
except (asyncio.CancelledError, KeyboardInterrupt):
    print("cancelled")
""",
        tmp_path,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "cancelled\n", "")
    lines = (tmp_path / "out").read_text().splitlines()
    assert lines == [f"n: [{n}.]" for n in range(len(lines))]
