"""The HDF5 sink when it is started again: it skips what its files have, and says the same of it."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import h5py
import numpy as np
import pytest

from camagick.data import Data
from camagick.errors import CamagickError
from camagick.processor import Placement
from camagick.sink.hdf5 import Processor
from camagick.tools import filestore, redo
from camagick.tools.h5file import H5File

#: Prints a data set; what h5py says where it cannot.
READER = """
import json, sys, h5py
with h5py.File(sys.argv[1], "r") as file:
    print(json.dumps(file[sys.argv[2]][...].tolist()))
"""


def read(path: Any, name: str = "a") -> Any:
    done = subprocess.run(
        [sys.executable, "-c", READER, str(path), name],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@contextmanager
def sink(path: str, run: str = "run", number: int = 4, **options: Any) -> Iterator[Processor]:
    node = Processor(path, **{"flush": 1000, **options})
    node.placement = Placement(run=run, number=number, incarnation=1)
    asyncio.run(node.startup())
    try:
        yield node
    finally:
        asyncio.run(node.shutdown())


def write(node: Processor, seqs: Any, context: Any = None, tag: str = "a") -> list[str]:
    """Hand over some iterations; the value of each is its number."""
    texts: list[str] = []
    for seq in seqs:
        node.seq = seq
        texts += node.process(Data({tag: float(seq)}), Data(context or {"n": seq})).values()
    return texts


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path / "my.h5"


@pytest.mark.parametrize(
    "options", [{}, *({"index": "n", "mode": mode} for mode in ("a", "o", "O", "x", "x+"))], ids=str
)
def test_nothing_is_stored_twice(path, options):
    with sink("my.h5", **options) as node:
        first = write(node, range(5))
    with sink("my.h5", **options) as node:
        assert write(node, range(2, 9))[:3] == first[2:]
    with sink("my.h5", **options) as node:
        start = "" if options else "./"
        assert write(node, range(9)) == [f"{start}my.h5#a[{n}]" for n in range(9)]
    assert read(path) == [float(n) for n in range(9)]


def test_another_run_or_actor_stores_again(path):
    for run, number in [("one", 4), ("two", 4), ("two", 5), ("one", 4)]:
        with sink("my.h5", run, number) as node:
            write(node, range(2))
    assert read(path) == [0.0, 1.0] * 3


def test_in_one_process_nothing_is_skipped_or_remembered(path):
    for _ in range(2):
        with sink("my.h5", run="") as node:
            write(node, [0, 0])
    with h5py.File(path) as file:
        assert len(file["a"]) == 4
        assert "caspy_record" not in file["a"].attrs


def test_the_record_stands_beside_the_data(path):
    with sink("my.h5") as node:
        write(node, range(3))
        write(node, [7])
    with h5py.File(path) as file:
        text = file["a"].attrs["caspy_record"]
    assert json.loads(text) == [
        {"run": "run", "actor": 4, "seq": 7, "frames": [[0, 0, 3], [7, 3, 1]]}
    ]


def test_a_record_that_outgrows_its_room(path):
    for run in range(6):
        with sink("my.h5", f"a run with a rather long name, number {run}") as node:
            write(node, range(0, 40, 3))
            node.commit()
            assert write(node, [39]) == [f"./my.h5#a[{14 * run + 13}]"]
    assert len(read(path)) == 6 * 14


@pytest.mark.errors_expected
def test_a_frame_that_was_refused_is_not_stored_later(path):
    with sink("my.h5", index="n", strict=0) as node:
        assert write(node, [0], {"n": 0}) == ["my.h5#a[0]"]
        assert write(node, [1], {"n": 0}) == []
        assert write(node, [2], {"n": 1}) == ["my.h5#a[1]"]
    with sink("my.h5", index="n", strict=0) as node:
        assert write(node, [1], {"n": 2}) == []  # it would fit now
        assert write(node, [2], {"n": 1}) == ["my.h5#a[1]"]
    assert read(path) == [0.0, 2.0]


def test_what_is_too_long_ago_has_no_number(path):
    with sink("my.h5") as node:
        write(node, range(0, 40, 2))
    with sink("my.h5") as node:
        assert write(node, [0, 38]) == ["./my.h5#a", "./my.h5#a[19]"]


def test_many_files_and_data_sets(path, monkeypatch):
    monkeypatch.setattr(H5File, "OPEN", 2)
    monkeypatch.setattr(filestore, "OPEN_FILES", 2)
    for _ in range(2):
        with sink("scan{scan}.h5#{tag}") as node:
            for seq in range(12):
                node.seq = seq
                values = Data({f"x{k}": float(seq) for k in range(5)})
                texts = node.process(values, Data({"scan": seq % 3}))
                assert texts["x4"] == f"./scan{seq % 3}.h5#x4[{seq // 3}]"
    for scan in range(3):
        with h5py.File(path.with_name(f"scan{scan}.h5")) as file:
            for k in range(5):
                assert file[f"x{k}"][...].tolist() == [scan + 3.0 * n for n in range(4)]


def test_a_reader_sees_what_is_committed_whenever_it_comes(path):
    with sink("my.h5") as node:
        write(node, [0])  # the first one is shown at once
        for seq in range(1, 6):
            write(node, [seq])
            write(node, [seq], tag=f"b{seq}")  # a new data set changes the most
            assert read(path) == [float(n) for n in range(max(1, seq))]
            node.commit()
            assert read(path) == [float(n) for n in range(seq + 1)]


def test_memory_is_bounded_when_much_is_overwritten(path, monkeypatch):
    monkeypatch.setattr(filestore, "HELD", 2**20)
    with sink("my.h5#x", index="n", mode="o") as node:
        for seq in range(30):
            node.seq = seq
            node.process(Data({"x": np.full((300, 300), float(seq))}), Data({"n": seq % 2}))
            held = sum(file.held for file in node._store._files.values())
            assert held <= 2**20
    with h5py.File(path) as file:
        assert file["x"][:, 0, 0].tolist() == [28.0, 29.0]


def test_a_file_in_the_newest_format_is_not_left_marked(path):
    with h5py.File(path, "w", libver="latest") as file:
        file.create_dataset("a", shape=(0,), maxshape=(None,), dtype="f8")
    with sink("my.h5", flush=0) as node:
        write(node, range(3))
        assert read(path) == [0.0, 1.0, 2.0]


def test_a_failed_commit_stays_failed(path):
    with sink("my.h5") as node:
        write(node, range(2))
        path.unlink()
        for _ in range(2):
            with pytest.raises(CamagickError, match="deleted while it was being written"):
                node.commit()


def test_a_redo_record_is_not_replayed_over_the_changes_of_another_program(path, monkeypatch):
    with sink("my.h5") as node:
        write(node, range(2))

        def killed(*_: object) -> None:
            raise OSError

        with monkeypatch.context() as patch:
            patch.setattr(redo, "_do", killed)
            with pytest.raises(CamagickError):
                node.commit()
    with h5py.File(path, "a") as file:
        file["other"] = 1.0
    with sink("my.h5") as node:
        assert write(node, range(2)) == ["./my.h5#a[0]", "./my.h5#a[1]"]
    with h5py.File(path) as file:
        assert file["other"][()] == 1.0
        assert file["a"][...].tolist() == [0.0, 1.0]
