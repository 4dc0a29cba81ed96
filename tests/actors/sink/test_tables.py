"""The sinks for tables of text and for TIFF files."""

import asyncio
import csv
import importlib
import json
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from camagick.data import Data
from camagick.errors import BadOption, CamagickError
from camagick.testing import check_processor

tifffile: Any = pytest.importorskip("tifffile")
SCRIPT = Path(__file__).with_name("dying.py")
IMAGE = np.arange(12, dtype=np.int16).reshape(3, 4)


def make(kind: str, path: Any, **options: Any) -> Any:
    return importlib.import_module(f"camagick.sink.{kind}").Processor(str(path), **options)


@contextmanager
def sink(kind: str, path: Any, **options: Any) -> Any:
    node = make(kind, path, **options)
    asyncio.run(node.startup())
    try:
        yield node
    finally:
        asyncio.run(node.shutdown())


def write(node: Any, context: Any = None, **values: Any) -> list[str]:
    made = node.process(Data(values), Data(context or {}))
    return list(made.values())


def failure(node: Any, context: Any = None, **values: Any) -> str:
    with pytest.raises(CamagickError) as caught:
        write(node, context, **values)
    text = str(caught.value)
    assert "\n" not in text
    return text


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_contract(here):
    numbers = {"x": 1.5, "n": np.array([3]), "s": "text"}
    check_processor(lambda: make("csv", here / "a.csv"), numbers)
    check_processor(lambda: make("tiff", here / "a.tif"), {"x": IMAGE}, {"x": IMAGE})
    check_processor(lambda: make("tiff", here / "{tag}.{seq}.tif", mode="o"), {"x": IMAGE})


def test_a_table(here):
    with sink("csv", "run/{scan:03d}.csv") as node:
        data = Data({"x": np.float32(0.1), "n": np.array([7]), "s": 'a "b", c'})
        data.describe("x", {"units": "mm"})
        data.describe("n", {"timestamp": 5.0})
        assert node.process(data, Data({"scan": 2.0})) == {
            "x": "run/002.csv#x[0]", "n": "run/002.csv#n[0]", "s": "run/002.csv#s[0]",
        }  # fmt: skip
        # Each line is there at once, for other programs, too.
        rows = list(csv.reader((here / "run/002.csv").read_text().splitlines()))
        assert rows == [["x [mm]", "n", "s"], ["0.1", "7", 'a "b", c']]
        assert write(node, {"scan": 2}, s="é", x=True) == ["run/002.csv#s[1]", "run/002.csv#x[1]"]
        assert "it has no column y, but x, n, s" in failure(node, {"scan": 2}, y=1)
        assert "x is an array of shape (3, 4)" in failure(node, {"scan": 3}, x=IMAGE)
        assert "x is a NoneType" in failure(node, {"scan": 3}, x=None)
        assert "no 'scan' in the context" in failure(node, x=1)
    assert (here / "run/002.csv").read_text().splitlines()[2] == "True,,é"
    with sink("csv", "run/002.csv") as node:  # the next run goes on
        assert write(node, n=1) == ["run/002.csv#n[2]"]


def test_a_table_with_times(here):
    data = Data({"x": 1, "y": 2})
    data.describe("y", {"timestamp": 1.25})
    with sink("csv", "a.csv", stamp=1, sep="tab") as node:
        for _ in range(2):
            node.process(data, Data())
    lines = (here / "a.csv").read_text().splitlines()
    assert lines == ["iteration\ttimestamp\tx\ty", "0\t1.250000\t1\t2", "1\t1.250000\t1\t2"]
    with sink("csv", "a.csv", sep="tab") as node:
        write(node, x=3)
    (here / "bare.csv").write_text("x\n1\n2")  # its last line has no end
    with sink("csv", "bare.csv", stamp=1) as node:
        assert "it is there already, without stamp=1" in failure(node, x=1)


def test_a_table_that_cannot_be_written(here):
    (here / "folder").mkdir()
    with sink("csv", "folder") as node:
        assert failure(node, x=1) == "csv: folder: Is a directory"
    with sink("csv", "a.csv") as node, sink("csv", "a.csv", timeout=0) as other:
        write(node, x=1)
        assert failure(other, x=1) == "csv: a.csv: another program writes it"
        (here / "a.csv").unlink()
        assert "it was deleted while it was being written" in failure(node, x=1)


def test_an_image_a_file(here):
    with sink("tiff", "{n}/{tag}-{seq:03d}.tif", start=5, compression="zlib") as node:
        data = Data({"a:b": IMAGE, "c": IMAGE + 0.5})
        data.describe("c", {"units": "mm", "timestamp": 2.5})
        for _ in range(2):
            made = node.process(data, Data({"n": 1}))
    assert list(made.values()) == ["1/a:b-006.tif", "1/c-006.tif"]
    with tifffile.TiffFile("1/c-006.tif") as tiff:
        assert np.array_equal(tiff.asarray(), IMAGE + 0.5)
        assert tiff.shaped_metadata[0]["units"] == "mm"
    assert sorted(os.listdir("1")) == [f"{t}-{n}.tif" for t in ("a:b", "c") for n in ("005", "006")]
    with sink("tiff", "1/c-{seq:03d}.tif", start=5) as node:
        assert "it is there already: start=N" in failure(node, c=IMAGE)
    with sink("tiff", "1/c-{seq:03d}.tif", start=5, mode="o") as node:
        write(node, c=IMAGE)
    assert tifffile.imread("1/c-005.tif").dtype == np.int16


@pytest.mark.parametrize("name", ["s.tif", "s.ome.tif"])
def test_many_images_in_a_file(here, name):
    for n in (0, 3):
        with sink("tiff", name) as node:
            texts = [write(node, x=IMAGE + n + k) for k in range(3)]
            node.commit()
            with tifffile.TiffFile(name) as tiff:  # while it is open
                assert len(tiff.pages) == n + 3
    assert texts == [[f"{name}[{k}]"] for k in (3, 4, 5)]
    with tifffile.TiffFile(name) as tiff:
        assert tiff.is_ome == name.endswith("ome.tif")
        assert len(tiff.series) == 1
        assert np.array_equal(tiff.series[0].asarray(), [IMAGE + k for k in range(6)])
        if tiff.is_ome:
            assert 'SizeT="0000000006"' in tiff.ome_metadata


def test_images_that_do_not_fit(here):
    tifffile.imwrite("foreign.tif", IMAGE)
    (here / "text.tif").write_text("no image at all")
    with sink("tiff", "{tag}.tif") as node:
        write(node, x=IMAGE)
        for value in (IMAGE[:2], IMAGE.astype(float)):
            assert "it has images of shape (3, 4), int16" in failure(node, x=value)
        assert "made of numbers, not of str" in failure(node, y="text")
        assert "no empty image" in failure(node, y=np.zeros((0, 3)))
        assert "was written by somebody else" in failure(node, foreign=IMAGE)
        assert "tiff: text.tif: text: not a TIFF file" in failure(node, text=IMAGE)
        with sink("tiff", "x.tif", timeout=0) as other:
            assert failure(other, x=IMAGE) == "tiff: x.tif: another program writes it"
    with sink("tiff", "one.tif") as node:
        assert "would take both a and b" in failure(node, a=IMAGE, b=IMAGE)
    with sink("tiff", "n.ome.tif") as node:
        assert "OME-TIFF has no type for int64" in failure(node, x=np.zeros((2, 2), int))


@pytest.mark.parametrize(
    ("kind", "path", "options"),
    [
        ("csv", "", {}),
        ("csv", "{tag}.csv", {}),
        ("csv", "a.csv#x", {}),
        ("csv", "a{.csv", {}),
        ("csv", "a.csv", {"sep": "ab"}),
        ("csv", "a.csv", {"timeout": "long"}),
        ("tiff", "", {}),
        ("tiff", "a.tif#x", {}),
        ("tiff", "{0}.tif", {}),
        ("tiff", "a.tif", {"mode": "x"}),
        ("tiff", "a.tif", {"compression": "zip"}),
        ("tiff", "a.tif", {"start": -1}),
        ("tiff", "a-{seq}.tif", {"ome": 1}),
    ],
)
def test_options_that_make_no_sense(kind, path, options):
    with pytest.raises(BadOption):
        make(kind, path, **options)


@pytest.mark.parametrize("kind", ["csv", "ome", "files"])
def test_killed_in_every_change_of_the_disk(kind):
    """What was acknowledged is there after the death, and everything once in the end."""
    done = subprocess.run(
        [sys.executable, str(SCRIPT), kind], capture_output=True, text=True, check=False,
        timeout=60, env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(told) > 4
    for story in told:
        assert story["seen"] == list(range(len(story["seen"])))
        assert len(story["seen"]) >= story["acknowledged"]
        assert story["end"] == list(range(4))
        assert story["over"]
