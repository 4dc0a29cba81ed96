"""to-pipe and to-file write what from-pipe and from-file read."""

from __future__ import annotations

import asyncio
import json
import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from camagick.data import Data
from camagick.errors import BadOption, CamagickError
from camagick.processor import EndOfData, ProcessorBase
from camagick.sink.file import Processor as FileSink
from camagick.sink.pipe import Processor as PipeSink
from camagick.source.file import Processor as FileSource
from camagick.tools import outlet
from tests.streams import collect

if TYPE_CHECKING:
    from pathlib import Path

ROWS = [
    {"a": np.float64(0.1), "b": "two words", "c": np.array([1, 2]), "d": np.float32(0.1)},
    {"a": np.float64(1e300), "b": 'a "quoted", one', "c": np.array([3, 4]), "d": np.float32(2)},
]


def written(sink: ProcessorBase, *rows: Any) -> None:
    """Let a sink write."""

    async def run() -> None:
        await sink.startup()
        try:
            for sink.seq, row in enumerate(rows):
                sink.process(Data(row), Data())
        finally:
            await sink.shutdown()

    asyncio.run(run())


def read(path: Path, *words: str, **options: Any) -> list[dict[str, Any]]:
    return [
        {tag: value.tolist() if hasattr(value, "tolist") else value for tag, value in row.items()}
        for row in collect(FileSource(str(path), *words, **options))
    ]


def test_text(tmp_path):
    written(FileSink(str(tmp_path / "t"), header=True), *ROWS)
    assert (tmp_path / "t").read_text().splitlines() == [
        "# a b c[0] c[1] d", '0.1 "two words" 1 2 0.1', '1e+300 "a ""quoted"", one" 3 4 2.0',
    ]  # fmt: skip
    found = read(tmp_path / "t", header=True)
    assert [row["a"] for row in found] == [0.1, 1e300]
    assert [row["b"] for row in found] == [row["b"] for row in ROWS]
    assert [row["c[1]"] for row in found] == [2, 4]

    written(FileSink("b", "a", file=str(tmp_path / "s"), sep=","), *ROWS)
    assert (tmp_path / "s").read_text() == '"two words",0.1\n"a ""quoted"", one",1e+300\n'


@pytest.mark.parametrize("form", ["json", "raw", "npy", "lines"])
def test_other_formats_come_back(tmp_path, form):
    tags = {"json": [], "raw": ["c"], "npy": ["c"], "lines": ["b"]}[form]
    path = tmp_path / "x"
    written(FileSink(str(path), *tags, format=form), *ROWS)
    options = {"raw": {"dtype": "int64", "shape": 2}}.get(form, {})
    expected = [
        {tag: np.asarray(value).tolist() for tag, value in row.items() if tag in (tags or row)}
        for row in ROWS
    ]
    assert read(path, *tags, format=form, **options) == expected


@pytest.mark.parametrize(
    ("options", "row", "text"),
    [
        ({}, {"a": "two\nlines"}, "a is a text of several lines"),
        ({"format": "raw"}, {"a": 1.0, "b": 2.0}, "takes one tag, not a, b"),
        ({"format": "npy"}, {"a": "x"}, "a is no array of numbers"),
        ({"format": "lines"}, {"a": np.zeros(3)}, "a is an array"),
        ({"format": "json"}, {"a": 1j}, "cannot be said in JSON"),
    ],
)
def test_what_cannot_be_written(tmp_path, options, row, text):
    with pytest.raises(CamagickError, match=text):
        written(FileSink(str(tmp_path / "x"), **options), row)


def test_columns_stay_what_they_are(tmp_path):
    with pytest.raises(CamagickError, match="the columns were a, and are b now"):
        written(FileSink(str(tmp_path / "x")), {"a": 1}, {"b": 1})
    with pytest.raises(CamagickError, match="b is not there: there is a"):
        written(FileSink(str(tmp_path / "y"), "b"), {"a": 1})


def test_a_file_is_not_overwritten_by_accident(tmp_path):
    path = tmp_path / "x"
    written(FileSink(str(path), header=True), {"a": 1})
    with pytest.raises(CamagickError, match="is there already: append=1 adds"):
        written(FileSink(str(path)), {"a": 2})
    assert path.read_text() == "# a\n1\n"
    written(FileSink(str(path), append=True, header=True), {"a": 2})
    assert path.read_text() == "# a\n1\n2\n"
    written(FileSink(str(path), overwrite=True), {"a": 3})
    assert path.read_text() == "3\n"
    with pytest.raises(CamagickError, match=r"cannot write .*: No such file"):
        written(FileSink(str(tmp_path / "no" / "x")), {"a": 1})
    with pytest.raises(BadOption, match="one of them"):
        FileSink(str(path), append=True, overwrite=True)


@pytest.mark.parametrize("left", [0, 2, 5])
def test_a_killed_writer_is_continued_at_the_byte(tmp_path, left):
    """The first process has noted the iteration, and not come to write all of it."""
    path = tmp_path / "x"
    sink = FileSink(str(path), header=True)
    written(sink, {"a": 1}, {"a": 1234})
    assert path.read_text() == "# a\n1\n1234\n"
    os.truncate(path, 11 - left)

    async def again() -> None:
        await sink.startup()
        sink.process(Data({"a": 1234}), Data())
        await sink.shutdown()

    asyncio.run(again())
    assert path.read_text() == "# a\n1\n1234\n"


def test_a_pipe_is_continued_at_the_byte():
    read_end, write_end = os.pipe()
    progress = outlet.Progress()
    progress.begin(0)
    progress.note(3)
    outlet.write_all(write_end, b"abcdef", progress, 0)
    outlet.write_all(write_end, b"ghi", progress, 1)
    os.close(write_end)
    with os.fdopen(read_end) as stream:
        assert stream.read() == "defghi"


def test_a_command_is_fed_and_ends_by_itself(tmp_path):
    written(PipeSink(cmd=f"cat > {tmp_path}/x", format="json"), {"a": 1}, {"a": 2})
    lines = (tmp_path / "x").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [{"a": 1}, {"a": 2}]

    each = PipeSink(cmd=f"read x; echo got $x >> {tmp_path}/y", mode="each")
    written(each, {"a": 1}, {"a": 2})
    assert (tmp_path / "y").read_text() == "got 1\ngot 2\n"


@pytest.mark.parametrize("mode", ["stream", "each"])
@pytest.mark.parametrize(
    ("cmd", "text"),
    [
        ("cat >/dev/null; exit 3", "'cat >/dev/null; exit 3' ended with exit code 3"),
        ("kill -9 $$", "was killed by SIGKILL"),
        ("sleep 60", "did not end within 0.15 s"),
    ],
)
def test_a_command_that_fails(cmd, text, mode):
    with pytest.raises(CamagickError, match=text):
        written(PipeSink(cmd=cmd, mode=mode, timeout=0.15), {"a": 1})


def test_a_command_that_has_enough_ends_the_run():
    with pytest.raises(EndOfData):
        written(PipeSink(cmd="head -1 >/dev/null"), *({"a": np.zeros(9999)} for _ in range(99)))
