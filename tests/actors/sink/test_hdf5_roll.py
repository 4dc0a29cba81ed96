"""Files that are rolled: parts that are whole by themselves, and one that joins them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pytest

from camagick.errors import BadOption, CamagickError
from camagick.sink.hdf5 import Processor
from camagick.tools.rolling import Roll, parse_roll
from tests.actors.sink.storing import sink, write

if TYPE_CHECKING:
    from pathlib import Path


def content(folder: Path, name: str = "x") -> dict[str, Any]:
    """Return what the files of a folder have in a data set."""
    found = {}
    for path in sorted(os.listdir(folder)):
        with h5py.File(folder / path) as file:
            frames = file[name].asstr()[...] if name == "text" else file[name][...]
            found[path] = [
                row.tolist()
                if name == "row"
                else row
                if name == "text"
                else float(np.ravel(row)[0])
                for row in frames
            ]
    return found


def test_a_number_of_frames(tmp_path: Path) -> None:
    """Two runs one after the other; the file that joins them has all kinds of data sets."""
    with_texts = []
    for run in ("one", "two"):
        with sink("hdf5", tmp_path / "run.h5", run, roll=3, stamp=1, ragged=1) as node:
            for node.seq in range(4):
                n = float(node.seq)
                with_texts += write(
                    node, {"timestamp": n, "units": "V"},
                    x=np.full((2, 2), n), text=f"number {n}", row=np.arange(n),
                )  # fmt: skip
    assert content(tmp_path) == {
        "run-00001.h5": [0, 1, 2], "run-00002.h5": [3, 0, 1], "run-00003.h5": [2, 3],
        "run.h5": [0, 1, 2, 3, 0, 1, 2, 3],
    }  # fmt: skip
    assert with_texts[12] == f"{tmp_path}/run-00002.h5#x[1]"
    assert content(tmp_path, "x_timestamp")["run.h5"] == [0, 1, 2, 3] * 2
    assert content(tmp_path, "text")["run.h5"] == [f"number {float(n)}" for n in range(4)] * 2
    assert content(tmp_path, "row")["run.h5"] == [list(map(float, range(n))) for n in range(4)] * 2
    with h5py.File(tmp_path / "run.h5") as file:
        assert file["x"].attrs["units"] == "V"
        assert file["x"].shape == (8, 2, 2)
    (tmp_path / "elsewhere").mkdir()
    for name in os.listdir(tmp_path):
        if name.endswith(".h5"):
            (tmp_path / name).rename(tmp_path / "elsewhere" / name)
    assert len(content(tmp_path / "elsewhere")["run.h5"]) == 8


#: Prints how many frames of each data set there are, and the first number of the last frame.
LOOK = """
import h5py, json, sys, numpy
with h5py.File(sys.argv[1]) as file:
    print(json.dumps({name: [len(file[name]), float(numpy.ravel(file[name][-1])[0])]
                      for name in file if file[name].dtype.kind in "iuf"}))
"""


def looked_at(path: Path) -> Any:
    """Return what another program sees in a file, in the one call that it opens it for."""
    done = subprocess.run(
        [sys.executable, "-c", LOOK, str(path)], capture_output=True, text=True, check=True,
        timeout=30,
    )  # fmt: skip
    return json.loads(done.stdout)


@pytest.mark.parametrize("swmr", [0, 1])
def test_the_part_that_is_being_written_is_joined(tmp_path: Path, swmr: int) -> None:
    whole = tmp_path / "run.h5"
    seen = []
    with sink("hdf5", whole, roll=3, swmr=swmr, flush=100, stamp=1) as node:
        for n in range(8):
            more = {"y": 10.0 * n} if n > 4 else {}
            write(node, {"timestamp": float(n)}, x=np.full((2, 2), float(n)), **more)
            node.commit()
            if n in (1, 4, 5, 7):
                seen.append(looked_at(whole))
                assert len(h5ls(whole)) == len(seen[-1])
    for n, found in zip((1, 4, 5, 7), seen, strict=True):
        assert found["x"] == [n + 1, n]
        assert found["x_timestamp"] == [n + 1, n]
        assert found.get("y", [0, 0]) == ([n - 4, 10.0 * n] if n > 4 else [0, 0])
    assert looked_at(whole) == {**seen[-1]}
    with h5py.File(whole) as file:
        assert file["x"].maxshape == (8, 2, 2)


def h5ls(path: Path) -> list[str]:
    """Return the data sets that an independent reader sees, as far as it is installed."""
    if shutil.which("h5ls") is None:
        return list(looked_at(path))
    done = subprocess.run(["h5ls", str(path)], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_a_size(tmp_path: Path) -> None:
    with sink("hdf5", tmp_path / "run.h5", roll="300kB", flush=0) as node:
        for n in range(10):
            write(node, x=np.full((100, 100), float(n)))  # 80 kB
    found = content(tmp_path)
    assert found.pop("run.h5") == list(range(10))
    sizes = [os.path.getsize(tmp_path / name) for name in found]
    assert len(sizes) > 1
    assert all(size >= 300_000 for size in sizes[:-1])


def test_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time goes on while nothing runs."""
    now = time.time()
    for later in (0, 50, 70, 130, 200):
        monkeypatch.setattr(time, "time", lambda: now + later)  # noqa: B023 - at once
        with sink("hdf5", tmp_path / "run.h5", roll="1min,1GB") as node:
            for _ in range(2):
                write(node, x=float(later))
    assert content(tmp_path)["run.h5"] == [0, 0, 50, 50, 70, 70, 130, 130, 200, 200]
    assert content(tmp_path)["run-00001.h5"] == [0, 0, 50, 50]


def test_other_frames_in_another_part(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for value in (np.zeros(3), np.zeros(4)):
        with sink("hdf5", tmp_path / "run.h5", roll=1) as node:
            write(node, x=value, y=1.0)
    assert 'is not joined" file=' in caplog.text
    assert content(tmp_path, "y")["run.h5"] == [1, 1]
    assert len(content(tmp_path)["run.h5"]) == 1


def test_files_that_are_no_parts(tmp_path: Path) -> None:
    with sink("hdf5", tmp_path / "run.h5", roll=1) as node:
        write(node, x=1.0)
    with sink("hdf5", tmp_path / "other.h5") as node:
        write(node, x=1.0)
    for name, roll, why in [
        ("run.h5", "", r"run\.h5: it joins the files of roll=, and takes no frames"),
        ("other.h5", "1", r"other\.h5: it is there, and was not made by roll="),
    ]:
        before = (tmp_path / name).read_bytes()
        with (
            sink("hdf5", tmp_path / name, roll=roll) as node,
            pytest.raises(CamagickError, match=why),
        ):
            write(node, x=1.0)
        assert (tmp_path / name).read_bytes() == before


def test_two_do_not_write_the_same_parts(tmp_path: Path) -> None:
    with sink("hdf5", tmp_path / "run.h5", roll=2) as node:
        write(node, x=1.0)
        with (
            sink("hdf5", tmp_path / "run.h5", roll=2, timeout=0) as other,
            pytest.raises(CamagickError, match=r"run-00001\.h5: another program writes it"),
        ):
            write(other, x=1.0)


@pytest.mark.parametrize(
    ("text", "roll"),
    [
        ("", None), ("1000", Roll(frames=1000)), ("1GB", Roll(size=1e9)),
        ("2MiB", Roll(size=2**21)),
        ("10min", Roll(seconds=600)), ("1.5 h", Roll(seconds=5400)),
        ("1GB|10min,5", Roll(1e9, 600, 5)),
    ],
)  # fmt: skip
def test_what_may_be_asked_for(text: str, roll: Roll | None) -> None:
    assert parse_roll(text) == roll


@pytest.mark.parametrize("text", ["1.5", "-1", "1 week", "GB", "0s", "1GB,", "x"])
def test_what_may_not(text: str) -> None:
    with pytest.raises(BadOption, match=r"^hdf5: roll=[^\n]+$"):
        Processor("x.h5", roll=text)


@pytest.mark.parametrize("options", [{"index": "n"}, {"mode": "O"}])
def test_parts_are_appended_to(options: Any) -> None:
    with pytest.raises(BadOption, match="roll= appends"):
        Processor("x.h5", roll="1", **options)
