"""HDF5 files that SWMR readers follow: they are opened once, in another process."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import Any

import h5py
import numpy as np
import pytest

from camagick.errors import CamagickError
from camagick.tools.pieces import in_order
from camagick.tools.superblock import is_new_format
from tests.actors.sink.storing import sink, write

#: Follows a data set, and prints how old its frames were when they were seen, and how long it was
#: itself kept from looking.
READER = """
import json, sys, time, h5py
path, count, until = sys.argv[1], int(sys.argv[2]), time.monotonic() + 20
ages, seen, stall, looked = [], 0, 0.0, time.monotonic()
with h5py.File(path, "r", swmr=True) as file:
    frames, times = file["g/x"], file["g/x_timestamp"]
    print("open", flush=True)
    while seen < count:
        assert time.monotonic() < until, f"{seen} frames"
        times.refresh()
        frames.refresh()
        now, there = time.time(), min(len(frames), len(times))
        assert frames[seen:there, -1].tolist() == list(range(seen, there))
        ages += [now - one for one in times[seen:there]]
        seen = there
        time.sleep(0.002)
        stall, looked = max(stall, time.monotonic() - looked), time.monotonic()
print(json.dumps([ages, stall]))
"""


def test_a_reader_in_another_process_sees_each_frame_in_time(tmp_path: Any) -> None:
    """Also the last one: nothing but the time of `flush` brings it to the reader."""
    path, count, flush = tmp_path / "x.h5", 120, 0.2
    with sink("hdf5", f"{path}#g/{{tag}}", swmr=1, stamp=1, flush=flush) as node:
        write(node, {"timestamp": time.time()}, x=np.zeros(2048))
        node.commit()
        with subprocess.Popen(
            [sys.executable, "-c", READER, str(path), str(count)], stdout=subprocess.PIPE, text=True
        ) as reader:
            assert reader.stdout is not None
            assert reader.stdout.readline() == "open\n"
            begin, late = time.monotonic(), 0.0
            for n in range(1, count):
                write(node, {"timestamp": time.time()}, x=np.full(2048, float(n)), t=f"number {n}")
                late = max(late, time.monotonic() - begin - n / 100)
                time.sleep(max(0.0, begin + n / 100 - time.monotonic()))
            ages, stall = json.loads(reader.communicate(timeout=30)[0])
        assert reader.returncode == 0
    assert len(ages) == count
    print(f"oldest {max(ages[1:]):.3f} s; writer late by {late:.3f} s, reader by {stall:.3f} s")
    # A busy machine holds up both, and the thread that commits as much as they are held up.
    assert max(ages[1:]) < flush + 0.05 + 2 * (max(0.0, late) + stall)


def test_the_file_is_never_marked(tmp_path: Any) -> None:
    """HDF5 itself would let nobody in while it is open, nor after a kill."""
    path = tmp_path / "x.h5"
    with sink("hdf5", path, swmr=1, flush=0) as node:
        for n in range(3):
            write(node, x=float(n))
            head = path.read_bytes()[:12]
            assert head[8] >= 3  # the version of the superblock: it could be marked
            assert head[11] == 0
            with h5py.File(path, "r", locking=False) as file:
                assert len(file["x"]) == n + 1


def test_files_of_either_format_are_continued(tmp_path: Any) -> None:
    for name, libver in (("old", "earliest"), ("new", "latest")):
        with h5py.File(tmp_path / name, "w", libver=libver) as file:
            file["theirs"] = 1.0
        with sink("hdf5", tmp_path / name) as node:
            write(node, x=1.0)
        with h5py.File(tmp_path / name) as file:
            assert file["theirs"][()] == 1.0
            assert len(file["x"]) == 1
        with (tmp_path / name).open("rb") as stream:
            assert is_new_format(stream.fileno()) == (name == "new")
    with (
        sink("hdf5", tmp_path / "old", swmr=1) as node,
        pytest.raises(CamagickError, match=r"old: it was made without swmr=1, and a SWMR reader"),
    ):
        write(node, x=1.0)


def test_a_file_that_a_killed_program_has_left_marked(tmp_path: Any) -> None:
    with h5py.File(tmp_path / "theirs", "w", libver="latest") as file:
        file["x"] = 1.0
        file.flush()
        (tmp_path / "left.h5").write_bytes((tmp_path / "theirs").read_bytes())
    assert (tmp_path / "left.h5").read_bytes()[11] == 1
    with sink("hdf5", tmp_path / "left.h5") as node, pytest.raises(CamagickError) as caught:
        write(node, y=1.0)
    assert "h5clear" in str(caught.value)


def test_what_says_how_much_there_is_comes_last() -> None:
    """A reader may come at any moment of a commit: nothing it is told of is missing."""
    header = b"OHDR\x02\x00\x05" + b"12345" + b"sumX"
    content = {10: b"ab" + header + b"EADBxyz", 90: b"TREE\0\0", 0: b"super", 60: b"EAHD",
               70: b"numbers"}  # fmt: skip
    pieces = [(where, bytearray(data)) for where, data in content.items()]
    ordered = in_order(pieces)
    assert [where for where, _ in ordered] == [0, 90, 28, 60, 10, 70, 12]
    assert ordered[-1] == (12, header)
    assert sum(len(data) for _, data in ordered) == sum(len(data) for _, data in pieces)
