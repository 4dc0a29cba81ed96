"""The Zarr sink: what is in its stores, seen by another process, and after its death."""

import asyncio
import errno
import importlib.util
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import zarr

from camagick.data import Data
from camagick.errors import BadOption, CamagickError
from camagick.processor import Placement
from camagick.sink.zarr import Processor
from tests.actors.sink.killing import check, check_end, stories

#: Prints shape, dtype and the first number of each frame of an array, as JSON.
READER = """
import json, sys, zarr
array = zarr.open_array(sys.argv[1], path=sys.argv[2], mode="r")
frames = array[...].reshape(array.shape[0], -1)[:, 0].tolist() if array.size else []
print(json.dumps([array.shape, str(array.dtype), frames]))
"""


def read(store: Any, name: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-c", READER, str(store), name],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@contextmanager
def sink(path: str, run: str = "", **options: Any) -> Iterator[Processor]:
    node = Processor(path, **options)
    node.placement = Placement(run=run, number=3, incarnation=1)
    asyncio.run(node.startup())
    try:
        yield node
    finally:
        asyncio.run(node.shutdown())


def write(node: Processor, context: Any = None, **values: Any) -> list[str]:
    return list(node.process(Data(values), Data(context or {})).values())


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path / "data.zarr"


def test_appending(store):
    with sink("data.zarr#group/{tag}") as node:
        for n in range(70):
            texts = write(node, jedda=np.full(2048, n), iffy=np.float64(n))
            assert texts == [f"./data.zarr#group/jedda[{n}]", f"./data.zarr#group/iffy[{n}]"]
    assert read(store, "group/jedda") == [[70, 2048], "int64", list(range(70))]
    assert read(store, "group/iffy") == [[70], "float64", list(map(float, range(70)))]


@pytest.mark.parametrize("value", ["grün", "", np.array(["a", "bcd"]), [["x"], ["y"]]], ids=repr)
def test_texts(store, value):
    for _ in range(2):
        with sink("data.zarr") as node:
            write(node, x=value)
    array: Any = zarr.open_array(store, path="x", mode="r")
    assert array[...].tolist() == np.stack([np.asarray(value)] * 2).tolist()


@pytest.mark.parametrize("compression", ["none", "zstd", "blosc", "gzip"])
@pytest.mark.parametrize("chunks", ["auto", "2", "3,16,64"])
def test_chunks_and_compression_as_asked_for(store, chunks, compression):
    frame = np.arange(2000.0).reshape(20, 100)
    for start in range(0, 9, 3):
        with sink("data.zarr#x", chunks=chunks, compression=compression) as node:
            for n in range(start, start + 3):
                write(node, x=frame + n)
                node.commit()
    array: Any = zarr.open_array(store, path="x", mode="r")
    asked = {"auto": (65, 20, 100), "2": (2, 20, 100), "3,16,64": (3, 16, 64)}
    assert array.chunks == asked[chunks]
    codecs = [codec["name"] for codec in array.metadata.to_dict()["codecs"]]
    assert codecs == (["bytes"] if compression == "none" else ["bytes", compression])
    assert np.array_equal(array[...], [frame + n for n in range(9)])


def test_attributes_and_axes(store):
    with sink("data.zarr", run="run-17") as node:
        data = Data({"x": np.zeros((3, 4)), "y": 1.0})
        data.describe("x", {"units": "mV", "precision": np.int8(3), "severity": 2, "odd": object()})
        node.process(data, Data())
    group = zarr.open_group(store, mode="r")
    x, y = dict(group["x"].attrs), dict(group["y"].attrs)
    assert (x["units"], x["precision"], x["run_id"]) == ("mV", 3, "run-17")
    assert str(x["program"]).startswith("caspy ")
    assert time.strptime(str(x["start_time"]), "%Y-%m-%dT%H:%M:%S%z")
    assert set(y) == {"run_id", "start_time", "program", "caspy_record"}
    names = [getattr(group[tag].metadata, "dimension_names", None) for tag in "xy"]
    assert names == [("frame", "x_1", "x_2"), ("frame",)]


@pytest.mark.skipif(importlib.util.find_spec("xarray") is None, reason="xarray is not installed")
def test_xarray_opens_it(store):
    xarray = importlib.import_module("xarray")
    with sink("data.zarr") as node:
        write(node, x=np.zeros((3, 4)), y=1.0)
    with xarray.open_zarr(store, consolidated=False) as found:
        assert dict(found.sizes) == {"frame": 1, "x_1": 3, "x_2": 4}


def test_another_process_reads_what_is_committed(store):
    with sink("data.zarr", flush=1000) as node:
        write(node, x=0.0)
        for n in (1, 2):
            write(node, x=float(n))
            before = read(store, "x")
            node.commit()
            assert before[2] == [float(k) for k in range(max(1, n))]
            assert read(store, "x")[2] == [float(k) for k in range(n + 1)]


def test_frames_that_come_slowly_are_seen(store):
    with sink("data.zarr", flush=0.05) as node:
        write(node, x=0.0)
        write(node, x=1.0)
        until = time.monotonic() + 20
        while read(store, "x")[2] != [0.0, 1.0]:
            assert time.monotonic() < until


@pytest.mark.parametrize(
    ("words", "options"),
    [
        (["a.zarr#b#c"], {}), ([""], {}), (["a.zarr#{}"], {}), (["a.zarr"], {"compression": "zip"}),
        (["a.zarr"], {"chunks": "x"}),
        (["a.zarr"], {"timeout": -1}), (["a.zarr"], {"flush": "soon"}),
    ],
)  # fmt: skip
def test_bad_options(words, options):
    with pytest.raises(BadOption, match=r"^zarr: [^\n]+$"):
        Processor(*words, **options)


def test_what_is_no_store_stays_as_it_is(store, tmp_path):
    (tmp_path / "file.zarr").write_text("no store")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes").write_text("mine")
    for name, why in [
        ("file.zarr", "File exists|Not a directory"),
        ("mine", "it is a folder, but no group of Zarr's format 3"),
        ("/proc/none/x.zarr", "No such file or directory"),
    ]:
        with sink(name) as node, pytest.raises(CamagickError, match=f"^zarr: {name}: ({why})$"):
            write(node, x=1.0)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes"]


def test_arrays_and_groups_are_told_apart(store):
    with sink("data.zarr#{where}") as node:
        assert write(node, {"where": "a/b"}, x=1.0) == ["./data.zarr#a/b[0]"]
        assert write(node, {"where": "a"}, x=1.0) == ["./data.zarr#a/x[0]"]
        with pytest.raises(CamagickError, match="/a/b is an array, and cannot hold others"):
            write(node, {"where": "a/b/c"}, x=1.0)
        with pytest.raises(CamagickError, match="/a/b would take both x and y"):
            write(node, {"where": "a/b"}, x=1.0, y=1.0)


def job(count: int, **options: Any) -> dict[str, Any]:
    tags = ["frame", "image", "number", "text"]
    return {"sink": "zarr", "path": "o.zarr", "options": options, "tags": tags, "count": count}


def test_killed_in_every_change_of_the_disk(tmp_path):
    work = job(6, flush=1000)
    told = stories(tmp_path, "every", work, step=4)
    assert len(told) > 15
    for story in told:
        check(story, work)
        check_end(story, work)


def test_killed_at_any_moment(tmp_path):
    work = job(150, flush=0.05)
    told = stories(tmp_path, "any", work, 5)
    for story in told:
        check(story, work)
    check_end(told[-1], work)
    assert len(told) > 1


def test_a_full_disk(tmp_path):
    """What does not fit is said, and everything committed stays."""
    work = job(6, flush=1000, compression="none")
    told = stories(tmp_path, "full", work, place="limit")
    for story in told:
        check(story, work)
        check_end(story, work)
        assert all(re.fullmatch(r"zarr: .*: File too large", text) for text in story["errors"])
    assert sum(len(story["errors"]) == 1 for story in told) > 5


def test_a_frame_of_which_the_chunk_does_not_fit_at_first_is_there_once(store, monkeypatch):
    """The chunk gets full when the disk is, and there is room again at the end."""
    with sink("data.zarr", "run", flush=1000, chunks=3, compression="none") as node:
        for node.seq in range(2):
            write(node, x=float(node.seq))
        node.commit()
        with monkeypatch.context() as patch:
            patch.setattr(os, "open", refuse)
            node.seq = 2
            with pytest.raises(CamagickError, match="No space left on device"):
                write(node, x=2.0)
    with sink("data.zarr", "run") as node:
        node.seq = 2
        assert write(node, x=2.0) == ["./data.zarr#x[2]"]
    assert read(store, "x")[2] == [0.0, 1.0, 2.0]


def refuse(*_: object) -> int:
    raise OSError(errno.ENOSPC, "No space left on device")
