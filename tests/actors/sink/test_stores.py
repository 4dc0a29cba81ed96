"""What the sinks to HDF5 files and to Zarr stores have in common."""

import asyncio
import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import pytest
import zarr

from camagick.data import Data
from camagick.errors import CamagickError
from camagick.storesink import StoreSink
from camagick.testing.contract import check_processor
from camagick.tools.h5file import H5File
from camagick.tools.storedfile import StoredFile
from camagick.tools.zfile import ZFile


def read_hdf5(path: Path, name: str) -> Any:
    with h5py.File(path, "r") as file:
        found = file[name]
        return found.asstr()[...] if h5py.check_string_dtype(found.dtype) else found[...]


def read_zarr(path: Path, name: str) -> Any:
    return zarr.open_array(path, path=name, mode="r")[...]


class Kind(NamedTuple):
    """A format: its sink, what it calls an array, how its files are read."""

    name: str
    noun: str
    read: Callable[[Path, str], Any]
    file: type[StoredFile[Any, Any]]

    @contextmanager
    def sink(self, path: object, **options: Any) -> Iterator[StoreSink]:
        node = importlib.import_module(f"camagick.sink.{self.name}").Processor(str(path), **options)
        asyncio.run(node.startup())
        try:
            yield node
        finally:
            asyncio.run(node.shutdown())


KINDS = [Kind("hdf5", "data set", read_hdf5, H5File), Kind("zarr", "array", read_zarr, ZFile)]


@pytest.fixture(params=KINDS, ids=lambda kind: kind.name)
def kind(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path / "data"


def write(node: StoreSink, context: Any = None, **values: Any) -> list[str]:
    made: Any = node.process(Data(values), Data(context or {}))
    return list(made.values())


def test_contract(kind, path):
    sink = importlib.import_module(f"camagick.sink.{kind.name}").Processor
    check_processor(lambda: sink(str(path)), {"x": np.arange(5.0), "n": 1, "s": "text"})


def test_a_second_run_goes_on(kind, path):
    for n in range(3):
        with kind.sink("data") as node:
            assert write(node, x=1.0 * n) == [f"./data#x[{n}]"]
    assert kind.read(path, "x").tolist() == [0.0, 1.0, 2.0]


def test_both_halves_are_filled_in(kind, tmp_path):
    with kind.sink(f"{tmp_path}/{{sample}}/run{{n}}#scan-{{scan:03d}}/") as node:
        for scan in (1, 2, 1):
            values = {"sample": "iron", "n": np.int32(7), "scan": np.array(scan)}
            texts = write(node, values, x=np.full((4, 5), scan))
    assert texts == [f"{tmp_path}/iron/run7#scan-001/x[1]"]
    for scan in (1, 2):
        found = kind.read(tmp_path / "iron/run7", f"scan-00{scan}/x")
        assert np.array_equal(found, np.full((3 - scan, 4, 5), scan))


VALUES = [
    *(np.arange(6, dtype=code).reshape(2, 3) for code in "bBhHiIqQefdFD"),
    np.array([True, False]),
    np.arange(3, dtype=">f8"),
    np.array(1.5),
    np.array([1.5]),
    np.zeros((2, 0)),
    np.zeros((4, 1, 3, 2)),
    np.zeros((600, 600)),
    np.int16(3),
    True,
    7,
    2.5,
    [1, 2, 3],
    *("grün", "", np.str_("a"), np.array(["a", "bcd"]), [["x"], ["y"]], np.array(b"raw")),
]


#: As little as possible, and the other format of each (of HDF5 1.10, and Zarr's 2), compressed.
OPTIONS: dict[str, dict[str, dict[str, Any]]] = {
    "plain": {"hdf5": {"compression": "none"}, "zarr": {"compression": "none"}},
    "other": {
        "hdf5": {"swmr": 1, "compression": "gzip"},
        "zarr": {"format": 2, "compression": "gzip"},
    },
}


@pytest.mark.parametrize("how", OPTIONS)
@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_values_come_back_as_they_are(kind, path, value, how):
    with kind.sink(path, **OPTIONS[how][kind.name]) as node:
        for _ in range(3):
            write(node, x=value)
    found, expected = kind.read(path, "x"), np.asarray(value)
    if expected.dtype.kind not in "SU":
        assert found.dtype == expected.dtype.newbyteorder("=")
    texts = expected.astype(str) if expected.dtype.kind == "S" else expected
    assert found.tolist() == np.stack([texts] * 3).tolist()


@pytest.mark.parametrize(
    "value",
    [None, object(), [[1], [1, 2]], np.datetime64("2026-01-01"), {"a": 1}],
    ids=lambda value: type(value).__name__,
)
def test_values_that_there_is_nothing_for(kind, path, value):
    with (
        kind.sink("data#g/{tag}") as node,
        pytest.raises(CamagickError, match=rf"^{kind.name}: data: {kind.noun} /g/x: [^\n]+$"),
    ):
        write(node, x=value)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (np.zeros(3), np.zeros(4)),
        (np.zeros(3), np.zeros((3, 1))),
        (np.zeros(3, int), np.zeros(3)),
        (1.0, "text"),
        ("text", 1.0),
    ],
)
def test_another_shape_or_type(kind, path, first, second):
    with kind.sink("data") as node:
        write(node, x=first)
        with pytest.raises(CamagickError, match=rf"{kind.noun} /x: it has frames of") as caught:
            write(node, x=second)
    for part in ("data", str(np.shape(first)), str(np.shape(second))):
        assert part in str(caught.value)


def test_two_tags_in_one_array(kind, path):
    with (
        kind.sink("data#all") as node,
        pytest.raises(CamagickError, match=r"/all would take both one and two"),
    ):
        write(node, one=1.0, two=2.0)


def test_only_one_writes(kind, path):
    with kind.sink("data") as node, kind.sink("data", timeout=0) as second:
        write(node, x=1.0)
        with pytest.raises(CamagickError, match="another program writes it"):
            write(second, x=2.0)


def test_what_is_deleted_meanwhile(kind, path):
    with kind.sink("data", flush=1000) as node:
        write(node, x=1.0)
        write(node, x=1.0)
        path.rename(path.with_name("gone")) if path.is_dir() else path.unlink()
        for _ in range(2):  # not only the first time
            with pytest.raises(CamagickError, match="it was deleted while it was being written"):
                node.commit()


def test_many_arrays(kind, path, monkeypatch):
    monkeypatch.setattr(kind.file, "OPEN", 3)
    with kind.sink("data#{tag}") as node:
        for n in range(3):
            write(node, **{f"x{k}": float(n) for k in range(8)})
    for k in range(8):
        assert kind.read(path, f"x{k}").tolist() == [0.0, 1.0, 2.0]
