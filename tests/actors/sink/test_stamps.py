"""Times, severities and attributes beside the data, in HDF5 and Zarr."""

from __future__ import annotations

import time
from typing import Any

import h5py
import numpy as np
import pytest
import zarr

from camagick.errors import CamagickError
from camagick_broker.running import Card
from camagick_broker.running import write as write_card
from tests.actors.sink.storing import sink, write

KINDS = [("hdf5", {}), ("zarr", {}), ("zarr", {"format": 2})]

#: What a control system knows about a value, and what is to be found of it.
KNOWN = {
    "timestamp": 7.5, "severity": 2, "status": 3, "units": "mV", "precision": 4,
    "enum_strings": ("off", "on"), "upper_disp_limit": 8.5, "lower_warning_limit": np.float32(-1),
    "source": "EXAMPLE:jedda", "nothing": None, "odd": object(),
}  # fmt: skip
STORED = {
    "units": "mV", "precision": 4, "enum_strings": ["off", "on"], "upper_disp_limit": 8.5,
    "lower_warning_limit": -1.0, "source": "EXAMPLE:jedda",
}  # fmt: skip


def read(kind: str, path: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the arrays of a file, and all attributes: of '' for the file, of arrays and groups."""
    arrays: dict[str, Any] = {}
    attributes: dict[str, Any] = {}

    def note(name: str, item: Any) -> None:
        if hasattr(item, "shape"):
            arrays[name] = np.asarray(item[...])
        attributes[name] = {
            key: np.asarray(value).tolist() for key, value in dict(item.attrs).items()
        }

    if kind == "hdf5":
        with h5py.File(path) as file:
            note("", file)
            file.visititems(note)
    else:
        group = zarr.open_group(path, mode="r", use_consolidated=False)
        note("", group)
        for name, item in group.members(max_depth=None):
            note(name, item)
    return arrays, attributes


@pytest.fixture(params=KINDS, ids=["hdf5", "zarr", "zarr2"])
def kind(request: pytest.FixtureRequest) -> Any:
    return request.param


def test_what_is_known_is_stored(kind: Any, tmp_path: Any) -> None:
    name, options = kind
    command = ("caspy", "--from-scratch", "static", "opts=value=a b")
    folder = tmp_path / "bus"
    folder.mkdir()
    write_card(folder, Card("bus", bytes(8), 1, "host", 0.0, command, "1", ()))
    with sink(name, tmp_path / "f#g/{tag}", "r17", run_dir=str(folder), **options) as node:
        write(node, KNOWN, x=np.zeros(3))
        write(node, {**KNOWN, "units": "another"}, x=np.zeros(3))
    about = read(name, tmp_path / "f")[1]
    assert STORED.items() <= about["g/x"].items()
    extra = {"_ARRAY_DIMENSIONS", "caspy_length"} if options else set()
    who = {"start_time", "program", "run_id"}
    assert about["g/x"].keys() == STORED.keys() | who | {"caspy_record"} | extra
    for name in ("", "g"):
        assert about[name].keys() == who | {"recipe"}
        assert time.strptime(about[name]["start_time"], "%Y-%m-%dT%H:%M:%S%z")
        assert about[name]["run_id"] == "r17"
        assert about[name]["recipe"] == "caspy --from-scratch static 'opts=value=a b'"


def test_stamps_are_as_long_as_the_data(kind: Any, tmp_path: Any) -> None:
    """The source's time, or now; a severity from the first one on that a source tells."""
    name, options = kind
    before = time.time()
    for known in ({}, {"timestamp": 5.0}, {"timestamp": 6.0, "severity": 3}, {"timestamp": "soon"}):
        with sink(name, tmp_path / "f", stamp=1, **options) as node:
            write(node, known, x=np.zeros(2), t="text")
    arrays, about = read(name, tmp_path / "f")
    for tag in "xt":
        times = arrays[f"{tag}_timestamp"]
        assert times.dtype == np.float64
        assert times[1:3].tolist() == [5.0, 6.0]
        assert before <= times[0] <= times[3] <= time.time()
        assert arrays[f"{tag}_severity"].tolist() == [0, 0, 3, 0]
        assert about[f"{tag}_timestamp"]["units"] == "s"
    assert len(arrays) == 6


def test_stamps_go_where_the_frame_goes(kind: Any, tmp_path: Any) -> None:
    name, options = kind
    path = tmp_path / "f"

    def frames(mode: str, *numbers: int, length: int = 2) -> tuple[Any, Any]:
        with sink(name, path, mode=mode, index="n", stamp=1, **options) as node:
            for n in numbers:
                write(node, {"timestamp": n + 0.5}, {"n": n}, x=np.full(length, n + 1.0))
        arrays = read(name, path)[0]
        return arrays["x"][:, 0].tolist(), arrays["x_timestamp"].tolist()

    nan = pytest.approx(np.nan, nan_ok=True)
    assert frames("a+", 0, 3) == ([1, 0, 0, 4], [0.5, nan, nan, 3.5])
    assert frames("o", 1) == ([1, 2, 0, 4], [0.5, 1.5, nan, 3.5])
    assert frames("x", 0, 1) == ([1, 2], [0.5, 1.5])
    assert frames("O", 0, length=5) == ([1], [0.5])


def test_a_frame_that_is_handed_over_again_keeps_its_time(kind: Any, tmp_path: Any) -> None:
    name, options = kind
    times = []
    for incarnation in (1, 2):
        with sink(name, tmp_path / "f", "run", incarnation, stamp=1, **options) as node:
            for node.seq in range(2):
                write(node, {}, x=1.0)
        times.append(read(name, tmp_path / "f")[0]["x_timestamp"].tolist())
    assert times[0] == times[1]


def test_stamps_of_data_that_had_none(kind: Any, tmp_path: Any) -> None:
    name, options = kind
    for stamp in (0, 1):
        with sink(name, tmp_path / "f", stamp=stamp, **options) as node:
            write(node, {"timestamp": 1.0}, x=1.0)
    arrays = read(name, tmp_path / "f")[0]
    assert arrays["x_timestamp"].tolist() == [pytest.approx(np.nan, nan_ok=True), 1.0]


def test_a_tag_that_is_called_like_a_stamp(kind: Any, tmp_path: Any) -> None:
    name, options = kind
    with (
        sink(name, tmp_path / "f", stamp=1, **options) as node,
        pytest.raises(CamagickError, match="/x_timestamp would take both x_timestamp and, with st"),
    ):
        write(node, x=1.0, x_timestamp=2.0)


@pytest.mark.parametrize("half", ["x", "x_timestamp"])
@pytest.mark.parametrize("version", [2, 3])
def test_a_frame_again_of_which_only_a_half_was_committed(
    version: int, half: str, tmp_path: Any
) -> None:
    """Arrays of a Zarr store are committed one by one: each knows what it has."""

    def frames(node: Any, numbers: range) -> None:
        for node.seq in numbers:
            write(node, {"timestamp": float(node.seq)}, x=float(node.seq))

    options: Any = {"stamp": 1, "format": version, "flush": 1000}
    with sink("zarr", tmp_path / "f", "run", **options) as node:
        frames(node, range(1))
        node.commit()
        frames(node, range(1, 3))
        [file] = node._store._files.values()
        file._arrays[f"/{half}"].commit()  # type: ignore[attr-defined] # and now it is killed
        file._lock.release()  # type: ignore[attr-defined]
        node._store._files.clear()
    with sink("zarr", tmp_path / "f", "run", incarnation=2, **options) as node:
        frames(node, range(1, 3))
        node.commit()
        assert len(read("zarr", tmp_path / "f")[0]["x_timestamp"]) == 3
        frames(node, range(3, 4))
    arrays = read("zarr", tmp_path / "f")[0]
    assert arrays["x"].tolist() == arrays["x_timestamp"].tolist() == [0, 1, 2, 3]
