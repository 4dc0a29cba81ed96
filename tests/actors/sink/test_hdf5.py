"""The HDF5 sink: what is in its files, seen by another process."""

import asyncio
import io
import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from camagick.data import Data
from camagick.errors import BadOption, CamagickError
from camagick.processor import Placement
from camagick.sink.hdf5 import Processor
from camagick.tools import filestore

DEADLINE = 20.0

#: What `h5ls -r` shows of data sets, as a JSON object.
LISTING = """
import json, sys, h5py
found = {}
def note(name, thing):
    if isinstance(thing, h5py.Dataset):
        ends = [f"{n}/Inf" if m is None else str(n) for n, m in zip(thing.shape, thing.maxshape)]
        found["/" + name] = "{" + ", ".join(ends) + "}"
with h5py.File(sys.argv[1], "r") as file:
    file.visititems(note)
print(json.dumps(found))
"""

#: Waits until a data set has so many frames, and prints the first number of each.
READER = """
import json, sys, time, h5py
path, name, count, deadline = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
until = time.monotonic() + deadline
while time.monotonic() < until:
    try:
        with h5py.File(path, "r") as file:
            frames = file[name][...]
    except (OSError, KeyError):  # not there yet, or in the moment of a flush
        continue
    if len(frames) >= count:
        print(json.dumps(frames.reshape(len(frames), -1)[:, 0].tolist()))
        sys.exit(0)
    time.sleep(0.01)
sys.exit(f"no {count} frames")
"""

#: Opens a file for writing the way other programs do, says so, and waits for a line.
WRITER = """
import sys, h5py
with h5py.File(sys.argv[1], "a") as file:
    print("open", flush=True)
    sys.stdin.readline()
"""


def python(code: str, *words: Any) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, words)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def listing(path: Path) -> Any:
    return json.loads(python(LISTING, path))


@contextmanager
def sink(path: str, **options: Any) -> Iterator[Processor]:
    node = Processor(path, **options)
    asyncio.run(node.startup())
    try:
        yield node
    finally:
        asyncio.run(node.shutdown())


def write(node: Processor, context: Any = None, **values: Any) -> list[str]:
    made = node.process(Data(values), Data(context or {}))
    return list(made.values())


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path / "my-data.h5"


def test_appending_as_in_the_document(path):
    with sink("my-data.h5#group/{tag}") as node:
        for n in range(83):
            texts = write(node, EXAMPLE_jedda=np.full(2048, n), EXAMPLE_iffy=np.float64(n))
            assert texts == [
                f"./my-data.h5#group/EXAMPLE_jedda[{n}]",
                f"./my-data.h5#group/EXAMPLE_iffy[{n}]",
            ]
    assert listing(path) == {
        "/group/EXAMPLE_iffy": "{83/Inf}",
        "/group/EXAMPLE_jedda": "{83/Inf, 2048}",
    }
    with h5py.File(path) as file:
        assert np.array_equal(file["group/EXAMPLE_iffy"], np.arange(83.0))
        assert file["group/EXAMPLE_jedda"].dtype == np.full(1, 1).dtype


def test_scans_without_index(path):
    with sink("my-data.h5#scan-{scan:03d}/data") as node:
        for scan, frames in [(0, 21), (1, 10), (0, 1)]:
            for _ in range(frames):
                write(node, {"scan": np.array(scan)}, jedda=np.zeros(2048))
    assert listing(path) == {"/scan-000/data": "{22/Inf, 2048}", "/scan-001/data": "{10/Inf, 2048}"}


@pytest.mark.errors_expected
def test_numbered_frames_as_in_the_document(path, caplog):
    with sink("my-data.h5#scan-{scan:03d}/{tag}", index="frame", mode="a+", strict=0) as node:

        def frame(scan: int, number: int) -> list[str]:
            context = {"scan": np.array(scan), "frame": np.array(number)}
            return write(node, context, EXAMPLE_jedda=np.full((64, 32), number))

        for number in range(4):
            assert frame(1, number) == [f"my-data.h5#scan-001/EXAMPLE_jedda[{number}]"]
        assert frame(2, 3) == ["my-data.h5#scan-002/EXAMPLE_jedda[3]"]
        assert not caplog.records
        assert frame(2, 0) == []
    said = [f"{r.levelname}:{r.name}:{r.getMessage()}" for r in caplog.records]
    where = 'file=my-data.h5 frames=4 dataset="/scan-002/EXAMPLE_jedda"'
    assert said == [
        f'ERROR:camagick.sink.hdf5:msg="Overwrite not permitted" index=0 {where}',
        'ERROR:camagick.sink.hdf5:msg="Ignoring frame index error as instructed" tag=EXAMPLE_jedda',
    ]
    with h5py.File(path) as file:
        assert file["scan-001/EXAMPLE_jedda"][:, 0, 0].tolist() == [0, 1, 2, 3]
        assert file["scan-002/EXAMPLE_jedda"][:, 0, 0].tolist() == [0, 0, 0, 3]


@pytest.mark.parametrize("strict", [True, 1, "1", "True"], ids=repr)
def test_strict_ends_the_run(path, strict):
    with sink("my-data.h5#{tag}", index="@frame", strict=strict) as node:
        write(node, {"frame": 0}, a=1.0)
        with pytest.raises(CamagickError, match=r"Overwrite not permitted.*index=0.*h5.*/a tag=a"):
            write(node, {"frame": 0}, a=2.0)


@pytest.mark.errors_expected
@pytest.mark.parametrize("strict", [False, 0, "0", "False", "no"], ids=repr)
@pytest.mark.parametrize("number", [None, -1, 1.5, "three", np.zeros(3)], ids=repr)
def test_numbers_that_are_none(path, strict, number, caplog):
    with sink("my-data.h5#{tag}", index="frame", strict=strict) as node:
        assert write(node, {} if number is None else {"frame": number}, a=1.0) == []
        assert write(node, {"frame": 0}, a=1.0) == ["my-data.h5#a[0]"]
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 2


@pytest.mark.parametrize(
    "number", [1, np.int16(1), np.array(1), np.array([1]), np.float64(1.0), 1.0], ids=repr
)
def test_numbers_that_are_some(path, number):
    with sink("my-data.h5#{scan:02d}/{tag}", index="frame") as node:
        assert write(node, {"frame": number, "scan": number}, a=1.0) == ["my-data.h5#01/a[1]"]


@pytest.mark.errors_expected
def test_one_refused_tag_leaves_the_others(path):
    with sink("my-data.h5#{tag}", index="frame", strict=0) as node:
        write(node, {"frame": 0}, a=1.0)
        assert write(node, {"frame": 0}, a=2.0, b=3.0) == ["my-data.h5#b[0]"]
    assert listing(path) == {"/a": "{1/Inf}", "/b": "{1/Inf}"}


@pytest.mark.parametrize(
    ("inner", "name"),
    [
        ("", "/x"),
        ("#", "/x"),
        ("#/", "/x"),
        ("#a", "/a"),
        ("#a/", "/a/x"),
        ("#/a//b", "/a/b"),
        ("#there", "/there/x"),
        ("#{tag}/{tag}", "/x/x"),
        ("#n{index:02d}/{tag}", "/n00/x"),
    ],
)
def test_inner_paths(path, inner, name):
    with h5py.File(path, "w") as file:
        file.create_group("there")
    with sink(f"my-data.h5{inner}", index="frame") as node:
        assert write(node, {"frame": 0}, x=1) == [f"my-data.h5#{name[1:]}[0]"]
    assert listing(path) == {name: "{1/Inf}"}


def test_a_group_that_the_run_itself_has_made(path):
    with sink("my-data.h5#{where}") as node:
        write(node, {"where": "a/b"}, x=1)
        assert write(node, {"where": "a"}, x=1) == ["./my-data.h5#a/x[0]"]


def test_a_missing_context_value(path):
    with (
        sink("my-data.h5#{scan}/{tag}") as node,
        pytest.raises(CamagickError, match=r"no 'scan' in the context.*--demote scan"),
    ):
        write(node, x=1)


@pytest.mark.parametrize(
    ("words", "options"),
    [
        (["a.h5#b#c"], {}),
        ([""], {}),
        (["#x"], {}),
        (["a.h5#{}"], {}),
        (["a.h5#{tag"], {}),
        (["a.h5#{index}"], {}),
        (["s3://bucket/a.h5"], {}),
        (["a.h5"], {"mode": "w"}),
        (["a.h5"], {"mode": "a++"}),
        (["a.h5"], {"mode": ""}),
        (["a.h5"], {"compression": "zip"}),
        (["a.h5"], {"chunks": "few"}),
        (["a.h5"], {"chunks": "0"}),
        (["a.h5"], {"chunks": "1,-1"}),
        (["a.h5"], {"timeout": -1}),
        (["a.h5"], {"flush": "soon"}),
    ],
)
def test_bad_options(words, options):
    with pytest.raises(BadOption, match=r"^hdf5: [^\n]+$"):
        Processor(*words, **options)


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
def test_another_shape_or_type(path, first, second):
    with sink("my-data.h5") as node:
        write(node, x=first)
        with pytest.raises(CamagickError) as caught:
            write(node, x=second)
    message = str(caught.value)
    for part in ("my-data.h5", "/x", str(np.shape(first)), str(np.shape(second)), "mode=O"):
        assert part in message
    with sink("my-data.h5", mode="O") as node:
        assert write(node, x=second) == ["./my-data.h5#x[0]"]
    with h5py.File(path) as file:
        assert file["x"].shape == (1, *np.shape(second))


@pytest.mark.errors_expected
def test_a_refused_frame_does_not_cost_the_old_data(path):
    with sink("my-data.h5", mode="O", index="n", strict=0) as node:
        write(node, {"n": 0}, x=np.zeros(3))
        assert write(node, {"n": 1}, x=np.zeros(4)) == []  # it would leave a gap in the new one
    assert listing(path) == {"/x": "{1/Inf, 3}"}


def test_numbers_that_lose_nothing_fit(path):
    with sink("my-data.h5") as node:
        for value in (1.5, np.float32(2.5), 3, True):
            write(node, x=value)
    with h5py.File(path) as file:
        assert file["x"][...].tolist() == [1.5, 2.5, 3.0, 1.0]


def test_something_else_is_there(path):
    with h5py.File(path, "w") as file:
        file["fixed"] = np.zeros((2, 3))
        file["single"] = 1.0
        file.create_group("group/x")
    for inner in ("#fixed", "#single", "#group", "#fixed/below"):
        with (
            sink(f"my-data.h5{inner}") as node,
            pytest.raises(CamagickError, match=r"^hdf5: my-data.h5: data set /[^\n]+$"),
        ):
            write(node, x=np.zeros(3))


def test_attributes(path):
    with sink("my-data.h5#{tag}") as node:
        node.placement = Placement(run="run-17")
        data = Data({"x": np.zeros(3), "y": 1.0})
        data.describe("x", {"units": "mV", "precision": 3, "severity": 2, "odd": object()})
        node.process(data, Data())
    with h5py.File(path) as file:
        x, y = dict(file["x"].attrs), dict(file["y"].attrs)
    assert (x["units"], x["precision"], x["run_id"]) == ("mV", 3, "run-17")
    assert x["program"].startswith("caspy ")
    assert time.strptime(x["start_time"], "%Y-%m-%dT%H:%M:%S%z")
    assert set(y) == {"run_id", "start_time", "program", "caspy_record"}


def test_chunks_are_about_a_mebibyte(path):
    with sink("my-data.h5") as node:
        write(node, spectrum=np.zeros(2048), image=np.zeros((1024, 1024)), number=1.0)
    with h5py.File(path) as file:
        assert file["spectrum"].chunks == (64, 2048)
        assert file["image"].chunks == (1, 1024, 1024)
        assert file["number"].chunks == (4096,)


@pytest.mark.parametrize("flush", [0, 0.05])
def test_another_process_reads_meanwhile(path, flush):
    with sink("my-data.h5#{tag}", flush=flush) as node:
        reader = subprocess.Popen(
            [sys.executable, "-c", READER, str(path), "a", "100", str(DEADLINE)],
            stdout=subprocess.PIPE,
            text=True,
        )
        n = 0
        while reader.poll() is None:
            write(node, a=np.full(2048, float(n)))
            n += 1
            time.sleep(0.001)  # leave the reader its share of two cores
        out, _ = reader.communicate()
    assert reader.returncode == 0
    seen = json.loads(out)
    assert seen == [float(k) for k in range(len(seen))]
    assert len(seen) >= 100


def test_the_last_frame_before_a_pause_is_seen(path):
    with sink("my-data.h5#{tag}", flush=0.1) as node:
        for n in range(5):
            write(node, a=float(n))
        assert json.loads(python(READER, path, "a", 5, DEADLINE)) == [0, 1, 2, 3, 4]


def test_a_reader_that_stays_does_not_disturb(path):
    with sink("my-data.h5#{tag}", flush=0) as node:
        write(node, a=0.0)
        with subprocess.Popen(
            [sys.executable, "-c", WRITER.replace('"a"', '"r"'), str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as reader:
            assert reader.stdout is not None
            assert reader.stdout.readline() == "open\n"
            write(node, a=1.0)
            reader.communicate("\n", timeout=DEADLINE)
    with sink("my-data.h5#{tag}") as node:
        write(node, a=2.0)
    assert listing(path) == {"/a": "{3/Inf}"}


def test_another_program_that_writes(path):
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"
        with (
            sink("my-data.h5#{tag}", timeout=0.1) as node,
            pytest.raises(CamagickError, match=r"^hdf5: my-data.h5: another program writes it"),
        ):
            write(node, a=1.0)
        other.communicate("\n", timeout=DEADLINE)
    with sink("my-data.h5#{tag}", timeout=0) as node:
        write(node, a=1.0)
    assert listing(path) == {"/a": "{1/Inf}"}


def test_it_keeps_other_writers_out(path):
    with sink("my-data.h5#{tag}") as node:
        write(node, a=1.0)
        with (
            sink("my-data.h5#{tag}", timeout=0) as second,
            pytest.raises(CamagickError, match="another program writes it"),
        ):
            write(second, a=2.0)
        failed = subprocess.run(
            [sys.executable, "-c", WRITER, str(path)],
            input="\n",
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert "BlockingIOError" in failed.stderr


def test_one_file_under_two_names(path, tmp_path):
    (tmp_path / "link.h5").symlink_to(path)
    with sink("{name}.h5#{tag}", timeout=0) as node:
        write(node, {"name": "my-data"}, a=1.0)
        write(node, {"name": "link"}, a=2.0)
    assert listing(path) == {"/a": "{2/Inf}"}


def test_a_few_files_stay_open(path, tmp_path):
    def open_files() -> set[str]:
        links = (f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd"))
        return {os.readlink(fd) for fd in links if os.path.lexists(fd)}

    with sink("scan{scan}.h5#{tag}") as node:
        for turn in range(2):
            for scan in range(20):
                assert write(node, {"scan": scan}, a=1.0) == [f"./scan{scan}.h5#a[{turn}]"]
        assert len([name for name in open_files() if ".h5" in name]) <= filestore.OPEN_FILES
    assert not [name for name in open_files() if ".h5" in name]
    for scan in range(20):
        with h5py.File(tmp_path / f"scan{scan}.h5") as file:
            assert len(file["a"]) == 2


def test_files_that_cannot_be_written(path, tmp_path):
    (tmp_path / "notes.h5").write_text("no HDF5")
    (tmp_path / "folder.h5").mkdir()
    for name, why in [
        ("notes.h5", "it is no HDF5 file"),
        ("folder.h5", "Is a directory"),
        ("/proc/none/x.h5", "No such file or directory"),
        ("/sys/x.h5", "Permission denied|Read-only file system"),
        ("notes.h5/x.h5", "Not a directory|File exists"),
    ]:
        with (
            sink(f"{name}#{{tag}}") as node,
            pytest.raises(CamagickError, match=f"^hdf5: {name}: ({why})$"),
        ):
            write(node, a=1.0)
    assert (tmp_path / "notes.h5").read_text() == "no HDF5"


def test_a_file_that_is_deleted_meanwhile(path):
    with sink("my-data.h5#{tag}", flush=0) as node:
        write(node, a=1.0)
        path.unlink()
        with pytest.raises(CamagickError, match="it was deleted while it was being written"):
            write(node, a=1.0)


FULL = """
import asyncio, resource, sys
import numpy as np
from camagick.data import Data
from camagick.errors import CamagickError
from camagick.sink.hdf5 import Processor

async def main():
    resource.setrlimit(resource.RLIMIT_FSIZE, (4 << 20, 4 << 20))
    node = Processor(sys.argv[1], flush=0)
    await node.startup()
    try:
        for n in range(2000):
            node.process(Data({"a": np.full(2048, float(n))}), Data())
    except CamagickError as error:
        print(error)
    await node.shutdown()

asyncio.run(main())
"""


def test_a_full_disk(path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    said = python(FULL, path)  # no traceback, no crash, exit code 0
    assert said.startswith(f"hdf5: {path}: ")
    assert "File too large" in said
    assert said.count("\n") == 1


def model(mode: str, numbers: list[int]) -> tuple[list[int], list[int]]:
    """Return what a data set holds after frames of these numbers: the rules, written plainly."""
    frames: list[int] = []
    refused: list[int] = []
    for turn, number in enumerate(numbers, start=1):
        if number == len(frames):
            frames.append(turn)
        elif number > len(frames) and "+" in mode:
            frames += [0] * (number - len(frames)) + [turn]
        elif number < len(frames) and mode[0] in "oO":
            frames[number] = turn
        elif number < len(frames) and mode[0] == "x":
            frames = [0] * number + [turn]
        else:
            refused.append(turn)
    return frames, refused


@settings(deadline=None, max_examples=60)
@given(
    mode=st.sampled_from(["a", "a+", "o", "o+", "O", "O+", "x", "x+"]),
    steps=st.lists(st.tuples(st.integers(0, 6), st.sampled_from("  cr")), max_size=12),
    flush=st.sampled_from([0, 10]),
    chunks=st.sampled_from(["auto", "1", "2", "3", "2,1"]),
    compression=st.sampled_from(["none", "none", "gzip"]),
)
def test_modes_follow_the_model(tmp_path_factory, mode, steps, flush, chunks, compression):
    """Whatever is written, committed (c) and started again (r): the disk has what is committed."""
    path = tmp_path_factory.mktemp("modes") / "x.h5"
    options = {"mode": mode, "index": "n", "strict": 0, "flush": flush, "chunks": chunks}
    logging.getLogger("camagick.sink.hdf5").disabled = True
    written, committed = 0, 0
    try:
        for part in parts_of(steps):
            with sink(f"{path}#x", compression=compression, **options) as node:
                for turn, (number, what) in enumerate(part):
                    written += 1
                    refused = model(mode, [one for one, _ in steps[:written]])[1]
                    made = write(node, {"n": number}, x=np.full(2, written))
                    assert (made != [f"{path}#x[{number}]"]) == (written in refused)
                    if what == "c":
                        node.commit()
                    # With flush=10, only the first frame of a start is committed by itself.
                    if what == "c" or flush == 0 or turn == 0:
                        committed = written
                    on_disk(path, model(mode, [one for one, _ in steps[:committed]])[0])
            committed = written
    finally:
        logging.getLogger("camagick.sink.hdf5").disabled = False
    on_disk(path, model(mode, [number for number, _ in steps])[0])


def parts_of(steps: Any) -> list[list[Any]]:
    """Return what is written between one start and the next."""
    parts: list[list[Any]] = [[]]
    for step in steps:
        parts[-1].append(step)
        if step[1] == "r":
            parts.append([])
    return [part for part in parts if part]


def on_disk(path: Path, expected: list[int]) -> None:
    """Fail unless a copy of the file, made now, holds that."""
    if not path.exists():
        assert expected == []
        return
    with h5py.File(io.BytesIO(path.read_bytes()), "r") as file:
        assert (file["x"][:, 1].tolist() if "x" in file else []) == expected


def test_what_is_added_to_a_chunk_is_not_written_twice(path):
    """Frames go into their chunk at once, and no commit has to bring them there."""
    with sink("my-data.h5#{tag}", flush=1000) as node:
        write(node, x=np.zeros(2048), n=0.0)
        node.commit()
        for n in range(1, 8):
            write(node, x=np.full(2048, float(n)), n=float(n))
        file: Any = node._store.file("my-data.h5")
        for array in file._arrays.values():
            array.commit()
        assert os.path.getsize(path) < 2**20 + 7 * 16384  # the rows are inside of the chunk
        assert file.held < 4096
    with h5py.File(path) as found:
        assert found["x"][:, 0].tolist() == found["n"][...].tolist() == list(range(8))


@pytest.mark.parametrize("chunks", ["auto", "2", "3"])
def test_a_gap_has_zeros_where_a_killed_writer_had_frames(path, chunks):
    with sink("my-data.h5#x", index="n", flush=1000, chunks=chunks) as node:
        for n in range(3):
            write(node, {"n": n}, x=np.full(40, 7.0))
            if n == 0:
                node.commit()
        file: Any = node._store.file("my-data.h5")
        for array in file._arrays.values():
            array.commit()
        left = path.read_bytes()  # as if it were killed now
    path.write_bytes(left)
    with sink("my-data.h5#x", index="n") as node:
        write(node, {"n": 4}, x=np.full(40, 8.0))
    with h5py.File(path) as file:
        assert file["x"][:, 0].tolist() == [7.0, 0.0, 0.0, 0.0, 8.0]


def test_a_chunk_in_the_place_of_a_committed_one_waits_for_the_commit(path):
    with sink("my-data.h5#x", mode="x", index="n", flush=1000) as node:
        for first, second in [(5.0, 0.0), (5.0, 7.0)]:
            for n, number in enumerate((first, second)):
                write(node, {"n": n}, x=np.full(2048, number))
                file: Any = node._store.file("my-data.h5")
                file._arrays["/x"].commit()  # handed over, that is all
            if second:
                on_disk(path, [5, 0])
            node.commit()
            on_disk(path, [5, int(second)])


def test_frames_are_taken_as_they_lie_in_memory(path):
    """Views of any kind, and large ones out of read-only memory."""
    image = np.arange(600 * 700.0).reshape(600, 700)
    views = [image, image[::-1, ::2], image.T, image[:, 5:300].astype(">f4")]
    image.flags.writeable = False
    with sink("my-data.h5#{tag}") as node:
        for _ in range(2):
            write(node, **{f"v{k}": view for k, view in enumerate(views)})
    with h5py.File(path) as file:
        for k, view in enumerate(views):
            assert np.array_equal(file[f"v{k}"], np.stack([view] * 2))


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [("auto", (65, 20, 100)), ("3", (3, 20, 100)), ("1,16,64", (1, 16, 64)), (8, (8, 20, 100))],
)
def test_chunks_as_asked_for(path, chunks, expected):
    frame = np.arange(2000.0).reshape(20, 100)
    with sink("my-data.h5#x", chunks=chunks) as node:
        for n in range(5):
            write(node, x=frame + n)
    with h5py.File(path) as file:
        assert file["x"].chunks == expected
        assert np.array_equal(file["x"], [frame + n for n in range(5)])


def test_chunks_that_do_not_suit(path):
    with (
        sink("my-data.h5#x", chunks="1,16") as node,
        pytest.raises(CamagickError, match=r"data set /x: chunks=\(1, 16\) do not suit .* \(\)$"),
    ):
        write(node, x=1.0)


@pytest.mark.skipif(find_spec("hdf5plugin") is None, reason="hdf5plugin is not installed")
@pytest.mark.parametrize("compression", ["bitshuffle", "blosc2", "lz4", "zstd"])
def test_compression_of_hdf5plugin(path, compression):
    with sink("my-data.h5#{tag}", compression=compression) as node:
        for n in range(3):
            write(node, x=np.full((400, 500), n), y=np.full(100, n), text="text")
    with h5py.File(path) as file:
        assert file["x"][:, 0, 0].tolist() == file["y"][:, 0].tolist() == [0, 1, 2]
        assert file["x"].id.get_storage_size() < 400 * 500 * 8


def test_hdf5plugin_that_is_missing(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "hdf5plugin", None)
    node = Processor("my-data.h5", compression="blosc2")
    with pytest.raises(
        CamagickError, match=r"^hdf5 compression=blosc2 needs hdf5plugin, .*\[compr"
    ):
        asyncio.run(node.startup())


def test_a_text_with_a_zero_byte(path):
    with (
        sink("my-data.h5#{tag}") as node,
        pytest.raises(
            CamagickError, match=r"^hdf5: my-data.h5: data set /x: .* zero byte in them$"
        ),
    ):
        write(node, x="n\0l")
