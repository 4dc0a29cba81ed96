"""What is stored in one format comes out of every other one as it was, bit by bit."""

import asyncio
import importlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from camagick.data import Data
from camagick.errors import CamagickError
from camagick.executor import PipeExecutor
from camagick.flow.chain import Processor as Chain
from camagick.processor import EndOfData, ProcessorBase, Role
from tests.buses import caspy

tifffile: Any = pytest.importorskip("tifffile")

#: For each format: source, sink, and the name of what they read and write.
FORMATS = {
    "hdf5": ("hdf5", "hdf5", "{n}.h5#g/{tag}", "{n}.h5#g/x"),
    "zarr": ("zarr", "zarr", "{n}.zarr#g/{tag}", "{n}.zarr#g/x"),
    "files": ("tiff", "tiff", "{n}/{tag}-{seq:03d}.tif", "{n}/{tag}-{seq}.tif"),
    "pages": ("tiff", "tiff", "{n}.tif", "{n}.tif#image"),
    "csv": ("csv", "csv", "{n}.csv", "{n}.csv#x"),
}
DTYPES = st.one_of(
    npst.integer_dtypes(endianness="="),
    npst.unsigned_integer_dtypes(endianness="="),
    npst.floating_dtypes(endianness="=", sizes=(16, 32, 64)),
    npst.complex_number_dtypes(endianness="=", sizes=(64, 128)),
    npst.boolean_dtypes(),
)


class Frames(ProcessorBase):
    """Hands on frames."""

    role: Role = "source"

    def __init__(self, frames: Any) -> None:
        self._frames = iter(frames)

    def process(self, data: Data, context: Data) -> Data:
        try:
            made = Data({"x": next(self._frames)})
        except StopIteration:
            raise EndOfData from None
        made.describe("x", {"units": "mm", "timestamp": 12.5})
        return made


class Keep(ProcessorBase):
    """Keeps what it is given."""

    role: Role = "sink"
    keeps_frames = True

    def __init__(self) -> None:
        self.seen: list[Data] = []

    def process(self, data: Data, context: Data) -> dict[str, Any]:
        self.seen.append(data.copy())
        return {}


def tour(names: list[str]) -> Iterator[str]:
    """Walk from format to format so that every pair is met, in both directions."""
    left = {(a, b) for a in names for b in names}
    here = names[0]
    yield here
    while left:
        near = [b for b in names if (here, b) in left]
        there = near[-1] if near else next(iter(sorted(left)))[0]
        left.discard((here, there))
        here = there
        yield here


def run(*nodes: Any) -> None:
    asyncio.run(PipeExecutor(Chain(*nodes)).run())


def make(role: str, name: str, path: str, **options: Any) -> Any:
    return importlib.import_module(f"camagick.{role}.{name}").Processor(path, **options)


def convert(frames: Any, names: list[str], folder: str) -> list[Data]:
    """Store frames in one format after the other; return what comes out in the end."""
    source: Any = Frames(frames)
    for n, name in enumerate(tour(names)):
        reader, writer, out, back = (
            part.replace("{n}", f"{folder}/{n}") if "{n}" in part else part
            for part in FORMATS[name]
        )
        run(source, make("sink", writer, out))
        tags = {} if "{tag}" in back or back.endswith("x") else {"x": "image"}
        source = make("source", reader, back.removesuffix("#image"), each=1, **tags)
    keep = Keep()
    run(source, keep)
    return keep.seen


@settings(
    max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data(), count=st.integers(1, 4))
def test_every_format_to_every_other(data, count):
    dtype = data.draw(DTYPES)
    shape = data.draw(npst.array_shapes(min_dims=0, max_dims=4, min_side=1, max_side=5))
    frames = [np.asarray(data.draw(npst.arrays(dtype, shape))) for _ in range(count)]
    with tempfile.TemporaryDirectory() as folder:
        found = convert(frames, ["hdf5", "zarr", "files", "pages"], folder)
    assert len(found) == count
    for seen, frame in zip(found, frames, strict=True):
        assert np.asarray(seen["x"]).dtype == dtype
        assert np.shape(seen["x"]) == shape
        assert np.asarray(seen["x"]).tobytes() == frame.tobytes()
        assert seen.attributes("x")["units"] == "mm"


@pytest.mark.parametrize(
    "frames",
    [
        [1.5, -0.1, 1e300, float("inf")],
        [2**62, -3, 0],
        [True, False],
        [1 + 2.5j, -1j],
        ["a", "grün", 'x "y", z', "b\nc"],
    ],
    ids=str,
)
def test_single_values_through_tables(frames, tmp_path):
    names = ["hdf5", "zarr", "csv"] + ([] if isinstance(frames[0], str) else ["files", "pages"])
    found = convert(frames, names, str(tmp_path))
    assert [np.asarray(seen["x"]).item() for seen in found] == frames
    assert found[0].attributes("x")["units"] == "mm"


def test_what_a_format_has_no_place_for(tmp_path):
    """An empty image is none for TIFF; an array is none for a table. That is said."""
    for name, path in (("tiff", "a.tif"), ("csv", "a.csv")):
        with pytest.raises(CamagickError, match=name):
            run(Frames([np.zeros((0, 3))]), make("sink", name, str(tmp_path / path)))


def test_by_command(tmp_path: Path) -> None:
    """From a file of images to two others, on the bus, with units and a table beside it."""
    first = tmp_path / "a.h5"
    images = np.arange(20 * 30 * 40, dtype=np.int16).reshape(20, 30, 40)
    with h5py.File(first, "w") as file:
        file["g/x"], file["g/n"] = images, np.arange(20)
        file["g/x"].attrs["units"] = "counts"
    done = caspy(
        "--from-hdf5", f"{first}#g", "each=1",
        "{", "[", "--only", "x", "--to-zarr", f"{tmp_path}/b.zarr#{{tag}}", "]",
        "[", "--only", "x", "--to-tiff", f"{tmp_path}/b.tif", "]",
        "[", "--only", "n", "--to-csv", f"{tmp_path}/n.csv", "stamp=1", "]", "}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = zarr.open_array(tmp_path / "b.zarr", path="x", mode="r")
    assert np.array_equal(found[...], images)
    assert found.attrs["units"] == "counts"
    assert np.array_equal(tifffile.imread(tmp_path / "b.tif"), images)
    lines = (tmp_path / "n.csv").read_text().splitlines()
    assert [line.split(",")[::2] for line in lines[1:]] == [[str(n)] * 2 for n in range(20)]
