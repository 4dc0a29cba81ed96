"""The plot sink: what it draws, when, and where."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import matplotlib.image as mpl_image
import numpy as np
import psutil
import pytest

from camagick.data import Data
from camagick.errors import BadOption, CamagickError
from camagick.processor import EndOfData, Placement
from camagick.sink.plot import Processor
from camagick.testing.contract import check_processor
from camagick.tools import drawing
from tests.actors.sink.grabbing import TARGET
from tests.buses import Run, wait_for

DEADLINE = 60.0
ROOT = str(Path(__file__).parents[3])


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


def test_it_draws_to_a_file_and_the_last_one_always(tmp_path):
    path = tmp_path / "plots" / "plot.png"

    async def main() -> None:
        async with plot(file=str(path)) as node:
            await node({"x": np.zeros(3)}, {})
            await until(path.exists)
            first = path.stat().st_mtime_ns
            await node({"x": np.ones(3)}, {})
            await until(lambda: path.stat().st_mtime_ns > first)
        async with plot(file=f"{tmp_path}/p{{seq:03d}}.png", Hz=0.001) as node:
            await node({"x": np.zeros(3)}, {})
            await until(lambda: (tmp_path / "p000.png").exists())
            for _ in range(20):
                await node({"x": np.zeros(3)}, {})

    asyncio.run(main())
    assert pictures(path.parent) == ["plot.png"]
    assert pictures(tmp_path) == ["p000.png", "p001.png", "plots"]


def test_what_cannot_be_saved_and_who_is_killed(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    fine = tmp_path / "p.png"

    async def main() -> None:
        async with plot(file=str(fine)) as node:
            await node({"x": 1.0}, {})
            await until(fine.exists)
            assert node._drawing is not None
            process = node._drawing._process
            assert process is not None
            process.kill()
            await until(lambda: node._drawing._process not in (None, process))  # type: ignore[union-attr]
            fine.unlink()
            await node({"x": 2.0}, {})
        with pytest.raises(CamagickError, match=r"^plot: .*/file: File exists"):
            async with plot(file=f"{tmp_path}/file/plot.png") as node:
                await node({"x": 1.0}, {})

    asyncio.run(main())
    assert fine.exists()
    assert "was killed by SIGKILL, is started again" in caplog.text


@pytest.fixture
def grabbed(monkeypatch, tmp_path):
    """Let the drawing process, on Qt's platform without a screen, tell what is on the screen."""
    pytest.importorskip("PySide6.QtWidgets", exc_type=ImportError)
    start = drawing._START.replace("camagick.tools.painter", "tests.actors.sink.grabbing")
    monkeypatch.setattr(drawing, "_START", start.replace("{path!r}", f"{{path!r}} + [{ROOT!r}]"))
    monkeypatch.delenv("MPLBACKEND")
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    monkeypatch.setenv(TARGET, str(tmp_path))
    return tmp_path


def pixels(folder: Path, box: list[float]) -> np.ndarray:
    """Return the colours inside a panel, shape (rows, columns, 3)."""
    picture = mpl_image.imread(folder / "window.png")[..., :3]
    x0, y0, x1, y1 = (round(value) for value in box)
    return np.asarray(picture[y0 + 2 : y1 - 2, x0 + 2 : x1 - 2])


def near(colours: np.ndarray, wanted: tuple[float, float, float]) -> np.ndarray:
    return np.asarray(np.abs(colours - np.array(wanted)).max(axis=-1) < 0.12)


BLUE, PURPLE, YELLOW = (0.12, 0.47, 0.71), (0.27, 0.0, 0.33), (0.99, 0.91, 0.14)


def test_a_window_shows_lines_images_and_units(grabbed):
    image = np.zeros((512, 256))
    image[:256] = 100.0  # the upper half
    values = {"line": np.linspace(1.0, 1000.0, 50), "image": image, "n": 5.0, "s": "some text",
              "energy": np.arange(50.0) + 7}  # fmt: skip

    def given() -> Data:
        data = Data(values)
        data.describe("line", {"units": "mV"})
        data.describe("image", {"units": "counts"})
        data.describe("energy", {"units": "keV"})
        return data

    def seen() -> Any:
        return json.loads((grabbed / "seen.json").read_text())

    async def again(node: Processor, true: Callable[[Any], bool]) -> Any:
        async with asyncio.timeout(DEADLINE):
            while True:
                await node(given(), Data())
                await asyncio.sleep(0.01)
                if (grabbed / "seen.json").exists() and true(found := seen()):
                    return found

    async def main() -> None:
        async with plot(x="energy", layout="1x4", line="log") as node:
            found = await again(node, lambda found: found["seq"] >= 3)
            check(found)
            (grabbed / "click").write_text("log")
            found = await again(node, lambda one: one["panels"]["image"]["norm"] == ["LogNorm"])
            assert found["panels"]["n"]["scale"] == "log"

    def check(found: Any) -> None:
        panels = found["panels"]
        assert {tag: panel["kind"] for tag, panel in panels.items()} == {
            "line": "line", "image": "image", "n": "history", "s": "text",
        }  # fmt: skip
        assert panels["line"]["title"] == "line [mV]"
        assert panels["line"]["below"] == "energy [keV]"
        assert (panels["line"]["legend"], panels["line"]["scale"]) == (True, "log")
        assert panels["image"]["title"] == "image [counts]"
        assert (panels["image"]["limits"], panels["image"]["bars"]) == ([[0.0, 100.0]], [True])
        assert {"pause", "log", "hold", "aspect", "Pan", "Zoom", "Save"} <= set(found["buttons"])
        picture = pixels(grabbed, panels["image"]["box"])
        half = len(picture) // 2
        assert near(picture[: half - 3], YELLOW).mean() > 0.98
        assert near(picture[half + 3 :], PURPLE).mean() > 0.98
        drawn = np.argwhere(near(pixels(grabbed, panels["line"]["box"]), BLUE))
        assert len(drawn) > 50
        left, right = drawn[:, 1].argmin(), drawn[:, 1].argmax()
        assert drawn[left, 0] > drawn[right, 0]  # it rises
        x0, y0, x1, _ = panels["image"]["box"]
        title = pixels(grabbed, [x0, y0 - 20, x1, y0])
        assert (title.max(axis=-1) < 0.3).sum() > 20  # black on white: something stands there

    asyncio.run(main())


def test_closing_the_window_ends_the_run_or_only_the_drawing(grabbed):
    async def main() -> None:
        async with plot() as node:
            await node({"x": 1.0}, {})
            assert node._drawing is not None
            assert node._drawing._process is not None
            await until((grabbed / "seen.json").exists)
            node._drawing._process.terminate()
            await until(lambda: node._drawing.closed)  # type: ignore[union-attr]
            with pytest.raises(EndOfData):
                await node({"x": 1.0}, {})
            node.placement = Placement(only_sink=False)
            await node({"other": 1.0}, {})  # the run goes on, for others

    asyncio.run(main())


def test_a_film(tmp_path):
    imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg")

    def playable() -> bool:
        """Tell whether there are pictures in the film, which is not finished."""
        try:
            return bool(imageio_ffmpeg.count_frames_and_secs(str(tmp_path / "f0.mp4"))[0])
        except RuntimeError:
            return False

    async def main() -> None:
        async with plot(file=f"{tmp_path}/f{{seq}}.mp4", Hz=25) as node:
            async with asyncio.timeout(DEADLINE):
                while not ((tmp_path / "f0.mp4").exists() and playable()):
                    await node({"image": np.random.random((32, 32))}, {})
                    await asyncio.sleep(0.01)
            for _ in range(3):
                await node({"image": np.zeros((32, 32))}, {})
                await asyncio.sleep(0.01)

    asyncio.run(main())
    assert pictures(tmp_path) == ["f0.mp4"]
    frames, seconds = imageio_ffmpeg.count_frames_and_secs(str(tmp_path / "f0.mp4"))
    assert frames >= 2
    assert seconds == pytest.approx(frames / 25, rel=0.2)


def test_a_film_without_ffmpeg(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)

    async def main() -> None:
        await Processor(file="x.mp4").startup()

    with pytest.raises(BadOption, match=r"needs ffmpeg.*pip install '.\[film\]'"):
        asyncio.run(main())


def test_a_tag_may_be_called_x():
    assert Processor(x="line")._styles["x"].kind == "line"
    assert Processor(x="image,log")._styles["x"].log


def test_without_a_screen(monkeypatch, caplog):
    monkeypatch.delenv("MPLBACKEND")

    async def main() -> None:
        async with plot() as node:
            await node({"x": 1.0}, {})
            assert node._drawing is None

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
        {"file": "{tag}.png"},
        {"file": "{.png"},
        {"y": "pie"},
        {"y": "log,3:1"},
        {"y": "a:1"},
        {"y": "log,-1:1"},
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
    ("script", "panels"),
    [
        (EXECUTOR, "foo_original:line,foo_image:image,foo_roi:line"),
        (FUNCTION, "custom:line"),
    ],
    ids=["executor", "function"],
)
def test_the_scripts_of_the_document(tmp_path, script, panels):
    code, said = run_until(script, tmp_path, 'msg="drawn"', 3)
    assert code == 0, said
    assert f"panels={panels}\n" in said
    assert "Traceback" not in said


def test_a_display_that_is_not_there():
    pytest.importorskip("PySide6.QtWidgets", exc_type=ImportError)
    done = subprocess.run(
        [sys.executable, "-m", "caspy", "-count", "2", "--from-scratch", "random", "a=4",
         "--to-plot"],
        env={**environment(), "QT_QPA_PLATFORM": "nowhere"}, capture_output=True, text=True,
        timeout=DEADLINE, check=False,
    )  # fmt: skip
    assert done.returncode == 0
    assert "no window: nothing to show" in done.stderr
    assert "nowhere" in done.stderr


def environment() -> dict[str, str]:
    path = os.pathsep.join(filter(None, sys.path))
    return {name: text for name, text in os.environ.items() if name != "MPLBACKEND"} | {
        "PYTHONPATH": path
    }


def drawing_of(run: Run) -> psutil.Process:
    """Return the process that draws for a run."""

    def look() -> psutil.Process | None:
        for child in psutil.Process(run.process.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                if "(drawing)" in "".join(child.cmdline()):
                    return child
        return None

    found: psutil.Process = wait_for(look, "the process that draws")
    return found


PIPE = ["--from-scratch", "counter", "n=1", "image=256,256", "rate=100"]


def test_a_window_that_is_stopped_or_closed_holds_up_nobody(tmp_path, monkeypatch):
    pytest.importorskip("PySide6.QtWidgets", exc_type=ImportError)
    file = tmp_path / "all"
    for name, text in {**environment(), "QT_QPA_PLATFORM": "offscreen"}.items():
        monkeypatch.setenv(name, text)
    monkeypatch.delenv("MPLBACKEND")

    def count() -> int:
        return file.read_text().count("n:") if file.exists() else 0

    with Run(*PIPE, "{", "--to-plot", "--to-summary", f"path={file}", "}", log="DEBUG") as run:
        wait_for(lambda: "drawn" in run.log, "a picture")
        window = drawing_of(run)
        window.suspend()
        before = count()
        wait_for(lambda: count() > before + 100, "data while the window is stopped")
        window.resume()
        drawn = run.log.count("drawn")
        wait_for(lambda: run.log.count("drawn") > drawn, "it goes on to draw")
        window.terminate()  # as good as a click on its cross
        window.wait(DEADLINE)
        before = count()
        wait_for(lambda: count() > before + 20, "data without the window")
        run.interrupt()
        assert run.wait() == 0
