"""The plot sink: what it draws, when, and where."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from camagick.data import Data
from camagick.errors import BadOption, CamagickError
from camagick.processor import EndOfData, Placement
from camagick.sink.plot import Processor
from camagick.testing.contract import check_processor

DEADLINE = 60.0


@pytest.fixture(autouse=True)
def no_screen(monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MPLBACKEND", "Agg")


@contextlib.asynccontextmanager
async def plot(**options: Any) -> AsyncIterator[Processor]:
    node = Processor(**options)
    await node.startup()
    try:
        yield node
    finally:
        await node.shutdown()


async def until(true: Callable[[], Any]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not true():  # noqa: ASYNC110 - a file or a picture has no event
            await asyncio.sleep(0.005)


def pictures(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_contract():
    samples = {"line": np.arange(5.0), "image": np.zeros((4, 3)), "n": 1.0, "s": "text"}
    check_processor(Processor, samples, samples)


def test_it_draws_to_a_file(tmp_path):
    path = tmp_path / "plots" / "plot.png"

    async def main() -> None:
        async with plot(file=str(path)) as node:
            await node({"x": np.zeros(3)}, {})
            await until(path.exists)
            first = path.stat().st_mtime_ns
            await node({"x": np.ones(3)}, {})
            await until(lambda: path.stat().st_mtime_ns > first)

    asyncio.run(main())
    assert pictures(path.parent) == ["plot.png"]


def test_pictures_are_numbered_and_the_last_one_is_drawn(tmp_path):
    async def main() -> None:
        async with plot(file=f"{tmp_path}/p{{seq:03d}}.png", Hz=0.001) as node:
            await node({"x": np.zeros(3)}, {})
            await until(lambda: pictures(tmp_path))
            for _ in range(20):
                await node({"x": np.zeros(3)}, {})

    asyncio.run(main())
    assert pictures(tmp_path) == ["p000.png", "p001.png"]


def test_it_returns_at_once_and_draws_the_newest():
    async def main() -> None:
        async with plot() as node:
            mine = np.zeros(3)
            for n in range(100):
                mine[:] = n
                await node({"x": mine, "n": n}, {})
            mine[:] = -1  # what was handed over is what counts
            assert node._board is not None
            assert node._board.kinds == {}  # none of the calls has drawn
            await until(lambda: not node._values)
            panels = node._board._panels
            assert panels["x"].axes.lines[0].get_ydata().tolist() == [99] * 3
            assert panels["n"].axes.lines[0].get_ydata().tolist() == list(range(100))

    asyncio.run(main())


def test_units_stand_in_the_title():
    async def main() -> None:
        async with plot() as node:
            data = Data({"x": np.zeros(3)})
            data.describe("x", {"units": "mV"})
            await node(data, Data())
            await until(lambda: not node._values)
            assert node._board is not None
            assert node._board._panels["x"].axes.get_title() == "x [mV]"

    asyncio.run(main())


def test_closing_the_window_ends_the_run():
    class Closed:
        closed = True

        def close(self):
            pass

    async def main() -> None:
        async with plot() as node:
            await node({"x": 1.0}, {})
            node._canvas = Closed()  # type: ignore[assignment] # what is asked for, no more
            with pytest.raises(EndOfData):
                await node({"x": 1.0}, {})
            node.placement = Placement(only_sink=False)
            await node({"other": 1.0}, {})  # the run goes on, for others
            assert "other" not in node._values

    asyncio.run(main())


def test_lines_over_another_tag():
    async def main() -> None:
        async with plot(x="energy", layout="1x3") as node:
            data = Data({"energy": np.arange(3.0) + 7, "y": np.ones(3), "other": np.ones(4)})
            data.describe("energy", {"units": "keV"})
            await node(data, Data())
            await until(lambda: not node._values)
            assert node._board is not None
            panels = node._board._panels
            assert list(panels) == ["y", "other"]
            assert panels["y"].axes.lines[0].get_xdata().tolist() == [7, 8, 9]
            assert panels["y"].axes.get_xlabel() == "energy [keV]"
            assert panels["other"].axes.lines[0].get_xdata().tolist() == [0, 1, 2, 3]
            assert panels["y"].axes.get_subplotspec().get_geometry()[:2] == (1, 3)

    asyncio.run(main())


def test_a_tag_may_be_called_x():
    assert Processor(x="line")._kinds == {"x": "line"}


def test_a_picture_that_cannot_be_saved(tmp_path):
    (tmp_path / "file").write_text("")

    async def main() -> None:
        async with plot(file=f"{tmp_path}/file/plot.png") as node:
            await node({"x": 1.0}, {})
            assert node._drawing is not None
            await until(node._drawing.done)
            with pytest.raises(CamagickError, match=r"^plot: .*/file/plot.png: "):
                await node({"x": 1.0}, {})

    asyncio.run(main())


def test_without_a_screen(monkeypatch, caplog):
    monkeypatch.delenv("MPLBACKEND")

    async def main() -> None:
        async with plot() as node:
            await node({"x": 1.0}, {})
            await until(lambda: not node._values)

    asyncio.run(main())
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        'msg="no display: nothing to show; file=plot.png draws to a file"'
    ]


@pytest.mark.parametrize(
    "options",
    [
        {"Hz": 0},
        {"Hz": -1},
        {"Hz": "fast"},
        {"file": "plot"},
        {"file": "plot.mp4"},
        {"file": "{tag}.png"},
        {"file": "{.png"},
        {"y": "pie"},
        {"layout": "2"},
        {"layout": "0x2"},
    ],
    ids=repr,
)
def test_bad_options(options):
    with pytest.raises(BadOption, match=r"^plot: [^\n]+$"):
        Processor(**options)


#: Runs a script as `python script.py` does, with what it logs on standard error.
LOGGED = """
import logging, runpy, sys
logging.basicConfig(format="%(levelname)s:%(name)s:%(message)s")
logging.getLogger("camagick").setLevel("DEBUG")
runpy.run_path(sys.argv[1], run_name="__main__")
"""

#: The scripts of the seed document, as they stand there.
EXAMPLES = Path(__file__).parents[3] / "examples"
EXECUTOR = (EXAMPLES / "api_plot.py").read_text()
FUNCTION = (EXAMPLES / "api_function_source.py").read_text()


def run_until(script: str, folder: Path, line: str, count: int, **environ: str) -> tuple[int, str]:
    """Run a script until it has said something so many times, then press Ctrl-C."""
    path = folder / "script.py"
    path.write_text(script)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **environ}
    with subprocess.Popen(
        [sys.executable, "-c", LOGGED, str(path)],
        stderr=subprocess.PIPE,
        text=True,
        env={name: value for name, value in environment.items() if value},
    ) as process:
        assert process.stderr is not None
        said, seen, stop_at = "", 0, time.monotonic() + DEADLINE
        for text in process.stderr:
            said += text
            seen += line in text
            if seen == count or time.monotonic() > stop_at:
                break
        process.send_signal(signal.SIGINT)
        said += process.stderr.read()
        process.wait(DEADLINE)
    assert seen == count, said
    return process.returncode, said


@pytest.mark.parametrize(
    ("script", "tags"),
    [(EXECUTOR, "foo_original,foo_image,foo_roi"), (FUNCTION, "custom")],
    ids=["executor", "function"],
)
def test_the_scripts_of_the_document(tmp_path, script, tags):
    code, said = run_until(script, tmp_path, 'msg="drawn"', 3)
    assert code == 0, said
    assert f"tags={tags}\n" in said
    assert "Traceback" not in said


def test_a_window(tmp_path):
    """Qt's own platform without a screen: everything but the glass."""
    pytest.importorskip("PySide6.QtWidgets", exc_type=ImportError)
    code, said = run_until(
        FUNCTION, tmp_path, 'msg="drawn"', 3, MPLBACKEND="", QT_QPA_PLATFORM="offscreen"
    )
    assert code == 0, said
    assert "no window" not in said
    assert "Traceback" not in said


CLOSED = (
    FUNCTION.replace(
        "async def my_source",
        """
async def close_it():
    from PySide6.QtWidgets import QApplication
    await asyncio.sleep(0)
    for window in QApplication.topLevelWidgets():
        window.close()

async def my_source""",
    )
    .replace(
        "    return {",
        """    my_source.calls += 1
    if my_source.calls > 1000:
        await close_it()
    return {""",
    )
    .replace("async def main", "my_source.calls = 0\n\nasync def main")
)


#: As on the bus, where every actor is forked from the launcher.
FORKED = """
import os, sys
child = os.fork()
if child:
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.parametrize("prelude", ["", FORKED], ids=["alone", "forked"])
def test_a_user_closes_the_window(tmp_path, prelude):
    pytest.importorskip("PySide6.QtWidgets", exc_type=ImportError)
    path = tmp_path / "script.py"
    path.write_text(CLOSED)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    del environment["MPLBACKEND"]
    done = subprocess.run(
        [sys.executable, "-c", prelude + LOGGED, str(path)],
        env={**environment, "QT_QPA_PLATFORM": "offscreen"},
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert 'msg="drawn"' in done.stderr
    assert "Warning" not in done.stderr
    assert "Traceback" not in done.stderr
