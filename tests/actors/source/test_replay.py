"""Sources of files: what is read, how fast, from growing files, and behind a kill."""

import asyncio
import importlib
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import zarr

from camagick.data import Data
from camagick.errors import BadOption, CamagickError
from camagick.processor import EndOfData, Placement
from camagick.testing import check_processor
from camagick.tools.innerpath import BadInner, parse_inner
from camagick.tools.replaytime import ReplayTime
from tests.buses import Run, wait_for

IMAGES = np.arange(10 * 6 * 5, dtype=np.uint16).reshape(10, 6, 5)
TIMES = 1.7e9 + np.arange(10) * 0.25


def source(kind: str, path: Any, **options: Any) -> Any:
    return importlib.import_module(f"camagick.source.{kind}").Processor(str(path), **options)


def frames(node: Any, most: int = 10**6) -> list[Data]:
    """Run a source to its end, or until it has handed on so many frames."""

    async def run() -> list[Data]:
        found: list[Data] = []
        await node.startup()
        try:
            while len(found) < most:
                found.append(await node(Data(), Data()))
        except EndOfData:
            pass
        finally:
            await node.shutdown()
        return found

    return asyncio.run(asyncio.wait_for(run(), 30))


def values(node: Any, tag: str) -> list[Any]:
    return [np.asarray(data[tag]).tolist() for data in frames(node)]


def failure(node: Any) -> str:
    with pytest.raises(CamagickError) as caught:
        frames(node)
    text = str(caught.value)
    assert "\n" not in text
    return text


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path: Path = tmp_path_factory.mktemp("stored")
    with h5py.File(path / "a.h5", "w") as file:
        entry = file.create_group("entry")
        entry["img"] = IMAGES
        entry["img"].attrs.update({"units": "counts", "gain": 2.5, "caspy_record": "[]"})
        entry["img_timestamp"] = TIMES
        entry["temp"] = np.linspace(20, 21, 10)
        entry["name"] = [f"n{n}" for n in range(10)]
        entry["energy"] = 12.4
        entry["big"] = np.arange(12, dtype=">f4").reshape(3, 4)
        entry["state"] = np.array([0, 1, 1], h5py.enum_dtype({"OUT": 0, "IN": 1}))
        entry["nano"] = (np.arange(10) * 1_000_000).astype(np.int64)
        entry["nano"].attrs["units"] = "ns"
    group = zarr.open_group(path / "a.zarr", mode="w").create_group("entry")
    group.create_array("img", data=IMAGES, chunks=(4, 6, 5)).attrs["units"] = "counts"
    group.create_array("img_timestamp", data=TIMES)
    group.create_array("name", data=np.array(["a", "b"], dtype="T"))
    old = zarr.create_array(path / "old.zarr", shape=IMAGES.shape, dtype="u2", zarr_format=2)
    old[...] = IMAGES
    (path / "a.csv").write_text("x [mm],n,name,on\n1.5,1,a,True\n2.5,,b c,False\n")
    (path / "bare.dat").write_text("# time value\n1 2.0\n3 4.5\n")
    return path


@pytest.mark.parametrize(
    ("text", "shape", "expected"),
    [
        ("/d[0:10]", (20,), [range(10)]),
        ("/d[-3:, 2]", (20, 5), [range(17, 20), 2]),
        ("d[::3,...,1]", (7, 4, 5), [range(0, 7, 3), range(4), 1]),
        ("d[-1]", (7, 4), [6, range(4)]),
        ("d", (), []),
    ],
)
def test_parts_of_arrays(text, shape, expected):
    assert parse_inner(text).axes(shape) == expected


@pytest.mark.parametrize(
    "text", ["d[1", "d[a:b]", "d[::-1]", "d[1.5]", "d[1][2]", "d[0,0,0]", "d[9]"]
)
def test_parts_that_there_are_not(text):
    with pytest.raises(BadInner):
        parse_inner(text).axes((5, 5))


@pytest.mark.parametrize("kind", ["hdf5", "zarr"])
def test_whole_and_parts(folder, kind):
    file = folder / f"a.{'h5' if kind == 'hdf5' else 'zarr'}"
    [all_of] = frames(source(kind, f"{file}#entry/img"))
    assert np.array_equal(all_of["img"], IMAGES)
    assert all_of["img"].dtype == IMAGES.dtype
    known = all_of.attributes("img")
    assert known["units"] == "counts"
    assert known["source"] == f"{file}#entry/img"
    assert not {"caspy_record", "timestamp"} & set(known)
    [parts] = frames(
        source(
            kind, f"{file}#entry", a="img[2:5,1]", one="img[-1,0,0]", shape="img.shape",
            keys=".keys", units="img.attrs[units]", other="/entry/name[1]",
        )
    )  # fmt: skip
    assert np.array_equal(parts["a"], IMAGES[2:5, 1])
    assert parts["one"] == IMAGES[-1, 0, 0]
    assert parts["shape"].tolist() == [10, 6, 5]
    assert {"img", "name"} <= set(parts["keys"].tolist())
    assert parts["units"] == "counts"
    assert parts["other"] in ("b", "n1")


def test_types_of_hdf5(folder):
    [data] = frames(source("hdf5", folder / "a.h5#entry", b="big", s="state", n="name", e="energy"))
    assert data["b"].dtype == np.dtype("=f4")
    assert data["s"].tolist() == [0, 1, 1]
    assert data.attributes("s")["enum_strings"] == ("OUT", "IN")
    assert data["n"].tolist()[:2] == ["n0", "n1"]
    assert data["e"] == 12.4


def test_zarr_of_the_old_format(folder):
    assert np.array_equal(values(source("zarr", folder / "old.zarr", each=1), "old"), IMAGES)


def test_frame_by_frame(folder):
    found = frames(source("hdf5", folder / "a.h5#entry", each=1, i="img", t="temp", e="energy"))
    assert len(found) == 10
    for n, data in enumerate(found):
        assert np.array_equal(data["i"], IMAGES[n])
        assert data["t"] == np.linspace(20, 21, 10)[n]
        assert data["e"] == 12.4
        assert data.attributes("i")["timestamp"] == TIMES[n]
    assert values(source("hdf5", folder / "a.h5#entry/name[2:8:3]", each=1), "name") == ["n2", "n5"]
    rows = values(source("zarr", folder / "a.zarr#entry/img[3,1:3]", each=1), "img")
    assert np.array_equal(rows, IMAGES[3, 1:3])


def test_a_group_is_all_that_is_in_it(folder):
    [data] = frames(source("zarr", folder / "a.zarr#entry"))
    assert sorted(data) == ["img", "name"]  # its times are no tag


def test_tables(folder):
    [data] = frames(source("csv", folder / "a.csv"))
    assert data["x"].tolist() == [1.5, 2.5]
    assert data.attributes("x")["units"] == "mm"
    assert data["name"].tolist() == ["a", "b c"]
    assert data["on"].dtype == bool
    assert np.isnan(data["n"][1])
    assert values(source("csv", folder / "bare.dat", each=1), "value") == [2.0, 4.5]


def test_a_line_that_is_being_written_is_left_for_later(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("x\n1\n2")
    assert values(source("csv", path, each=1, follow=1, idle=0), "x") == [1]
    assert values(source("csv", path, each=1), "x") == [1, 2]


def test_on_and_on(folder):
    node = source("hdf5", folder / "a.h5", each=1, repeat=1, t="/entry/temp[0:2]")

    async def run() -> list[float]:
        await node.startup()
        found = [(await node(Data(), Data()))["t"] for _ in range(5)]
        await node.shutdown()
        return found

    assert np.diff(asyncio.run(run())).round(2).tolist() == [0.11, -0.11, 0.11, -0.11]


def test_beside_others_it_is_read_again_and_again(folder, tmp_path):
    path = tmp_path / "dark.h5"
    node = source("hdf5", f"{tmp_path}/{{name}}.h5", d="/d")
    node.placement = Placement(alone=False)

    async def run() -> list[Any]:
        await node.startup()
        found = []
        for number in range(3):
            with h5py.File(path, "w") as file:
                file["d"] = float(number)
            found.append((await node(Data(), Data({"name": "dark"})))["d"])
        await node.shutdown()
        return found

    assert asyncio.run(run()) == [0.0, 1.0, 2.0]


@pytest.mark.parametrize(
    ("kind", "path", "options", "text"),
    [
        ("hdf5", "no.h5", {"x": "/x"}, "no.h5: there is no such file"),
        ("hdf5", "a.csv", {"x": "/x"}, "a.csv: it is no HDF5 file"),
        ("hdf5", "a.h5", {"x": "/entry/x"}, "no data set /entry/x: /entry has big, energy"),
        ("hdf5", "a.h5", {"x": "/entry"}, "no data set /entry: it is a group of"),
        ("hdf5", "a.h5", {}, "no data set in /, which has entry: say what to read"),
        ("hdf5", "a.h5", {"x": "/entry/img[10]"}, "index 10 of an axis of length 10"),
        ("hdf5", "a.h5", {"x": "/entry/img.attrs[z]"}, "no attribute 'z': caspy_record, gain"),
        ("hdf5", "a.h5", {"x": "/entry/energy", "each": 1}, "it has no frames"),
        ("hdf5", "a.h5#entry", {"x": "img", "y": "big", "each": 1},
         "img has 10, /entry/big has 3; choose the same range of each, such as [0:3]"),
        ("hdf5", "a.h5#entry", {"x": "temp", "each": 1, "realtime": 1}, "neither /entry/temp_time"),
        ("zarr", "a.h5", {}, "a.h5: it is no Zarr store"),
        ("zarr", "no.zarr", {}, "no.zarr: there is no such store"),
        ("zarr", "a.zarr", {"x": "entry/no"}, "no array /entry/no: /entry has img"),
        ("csv", "a.csv", {"x": "y"}, "a.csv: no column /y: / has x, n, name, on"),
        ("csv", "no.csv", {}, "no.csv: there is no such file"),
        ("tiff", "a.csv", {}, "a.csv: not a TIFF file"),
        ("tiff", "no-{seq}.tif", {}, "there are no such files"),
    ],
)  # fmt: skip
def test_what_cannot_be_read(folder, monkeypatch, kind, path, options, text):
    monkeypatch.chdir(folder)
    said = failure(source(kind, path, **options))
    assert said.startswith(f"{kind}: ")
    assert text in said


@pytest.mark.parametrize(
    ("path", "options"),
    [
        ("", {}),
        ("a.h5", {"x": "d[1"}),
        ("a.h5", {"Hz": 5}),
        ("a.h5", {"follow": 1}),
        ("a.h5", {"each": 1, "Hz": 1, "realtime": 1}),
        ("a.h5", {"each": 1, "Hz": -1}),
        ("a.h5", {"each": 1, "idle": "long"}),
        ("a{scan}.h5", {"each": 1}),
        ("a.h5#x[0:2]", {"y": "y"}),
        ("a{.h5", {}),
    ],
)
def test_options_that_make_no_sense(path, options):
    with pytest.raises(BadOption):
        source("hdf5", path, **options)


@pytest.mark.parametrize("kind", ["hdf5", "zarr", "csv", "tiff"])
def test_contract(kind, folder, tmp_path):
    if kind == "tiff":
        tifffile = pytest.importorskip("tifffile")

        tifffile.imwrite(tmp_path / "a.tif", IMAGES[:4], photometric="minisblack")
    place = {"hdf5": "a.h5#entry/img", "zarr": "a.zarr#entry/img", "csv": "a.csv"}
    path = folder / place[kind] if kind in place else tmp_path / "a.tif"
    check_processor(lambda: source(kind, path, each=1, repeat=1), {"z": np.arange(3.0)})


def test_when_frames_are_due(monkeypatch):
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    pace = ReplayTime(0, 2)
    assert pace.wait(lambda: 5.0) == 0
    assert pace.wait(lambda: 6.0) == 0.5
    now = 100.4
    assert pace.wait(lambda: 6.0) == pytest.approx(0.1)
    now = 109.0
    assert pace.wait(lambda: 7.0) == 0
    steady = ReplayTime(10, 0)
    steady.passed()
    assert steady.wait(lambda: 0.0) == pytest.approx(0.1)


def test_times_have_units(folder):
    node = source("hdf5", folder / "a.h5#entry/img", each=1, realtime=1e6, timestamps="/entry/nano")
    found = frames(node)
    assert [data.attributes("img")["timestamp"] for data in found[:3]] == [0, 0.001, 0.002]


def test_a_terminal_shows_how_far_it_is(folder):
    ours, theirs = os.openpty()
    try:
        words = ["--from-hdf5", f"{folder}/a.h5#entry/img", "each=1", "--to-summary"]
        done = subprocess.run(
            [sys.executable, "-m", "caspy", *words], stderr=theirs, stdout=subprocess.DEVNULL,
            check=False, timeout=40, env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
        )  # fmt: skip
        os.set_blocking(ours, False)
        shown = os.read(ours, 2**16).decode()
    finally:
        os.close(ours)
        os.close(theirs)
    assert done.returncode == 0
    assert "10/10" in shown
    assert "/s" in shown
    assert "\x1b[?25l" not in shown  # the cursor stays: a killed process could not bring it back


SWMR = """
import h5py, sys, time
with h5py.File(sys.argv[1], "w", libver="latest") as file:
    found = file.create_dataset("x", (0,), "i8", maxshape=(None,), chunks=(7,))
    file.swmr_mode = True
    for n in range(40):
        found.resize((n + 1,))
        found[n] = n
        found.flush()
        time.sleep(0.01)
"""


def writer(name: str, path: Path) -> list[str]:
    """Return the command that writes a file, frame by frame."""
    if name == "swmr":
        return [sys.executable, "-c", SWMR, str(path)]
    options = [] if name == "csv" else ["flush=0.02"]
    flow = ["--from-scratch", "counter", "x", "rate=150", f"--to-{name}", str(path), *options]
    return [sys.executable, "-m", "caspy", *flow, "-count", "40"]


def test_files_that_grow(tmp_path):
    """Read while other processes write, from before the file is there to the last frame."""
    names = {"swmr": "hdf5", "hdf5": "hdf5", "zarr": "zarr", "csv": "csv"}
    nodes = {
        name: source(kind, tmp_path / name, each=1, follow=1, wait=30, idle=20, x="x")
        for name, kind in names.items()
    }
    started = [subprocess.Popen(writer(name, tmp_path / name)) for name in names]
    try:
        with ThreadPoolExecutor(len(nodes)) as pool:
            found = dict(
                zip(nodes, pool.map(partial(frames, most=40), nodes.values()), strict=True)
            )
    finally:
        assert [process.wait(40) for process in started] == [0] * len(started)
    for name, seen in found.items():
        assert [int(np.ravel(data["x"])[0]) for data in seen] == list(range(40)), name


def test_killed_it_goes_on_where_it_was(tmp_path):
    """Both ends are killed with -9, again and again; every frame comes once, in order."""
    count = 300
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["n"] = np.arange(count)
    out = tmp_path / "out.csv"
    words = ["--from-hdf5", f"{tmp_path}/a.h5#n", "each=1", "Hz=250", "--to-csv", str(out)]

    def lines(share: float) -> bool:
        return out.exists() and len(out.read_text()) > share * count * 4

    with Run(*words, "-restart", "20") as run:
        for share, name in ((0.1, "hdf5.1"), (0.3, "csv.2"), (0.5, "hdf5.1"), (0.7, "csv.2")):
            actor = run.actor(name)
            wait_for(partial(lines, share), "lines")
            actor.kill()
            actor.wait(10)
        assert run.wait() == 0, run.log
    assert out.read_text().split() == ["n", *map(str, range(count))]
