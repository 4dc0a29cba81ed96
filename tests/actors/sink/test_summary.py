"""summary prints what the document shows."""

import asyncio
import io
import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from camagick.data import Data
from camagick.errors import BadOption, CamagickError
from camagick.processor import EndOfData
from camagick.sink.summary import Processor as SummarySink
from camagick.sink.summary import shown


def printed(capsys: Any, *iterations: dict[str, Any], context: Any = (), **kwargs: Any) -> str:
    async def run() -> None:
        sink = SummarySink(**kwargs)
        await sink.startup()
        for data in iterations:
            sink.process(Data(data), Data(context))
        await sink.shutdown()

    asyncio.run(run())
    return str(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (np.float64(1037.1276589787378), "1037.1276589787378"),
        (np.array(1037.1276589787378), "1037.1276589787378"),
        (np.float64(0.0), "0.0"),
        (np.float64("nan"), "nan"),
        (np.float32(0.1), "0.1"),
        (np.int64(3), "3"),
        (np.bool_(True), "True"),
        (np.array(True), "True"),
        (np.array(5), "5"),
        (np.array([0.66661449]), "[0.66661449]"),
        (np.array([]), "[]"),
        (np.array(["a"]), "['a']"),
        (np.zeros(64), "shape=(64,) <class 'float'>"),
        (np.zeros((64, 32)), "shape=(64, 32) <class 'float'>"),
        (np.zeros((1, 1)), "shape=(1, 1) <class 'float'>"),
        (np.zeros((0, 3)), "shape=(0, 3) <class 'float'>"),
        (np.zeros(3, "f4"), "shape=(3,) <class 'float'>"),
        (np.zeros(3, int), "shape=(3,) <class 'int'>"),
        (np.zeros(3, ">u2"), "shape=(3,) <class 'int'>"),
        (np.zeros(3, bool), "shape=(3,) <class 'bool'>"),
        (np.array(["a", "b"]), "shape=(2,) <class 'str'>"),
        (np.array([1, "b"], object), "shape=(2,) <class 'int'>"),
        (np.array([0.699751])[0], "0.699751"),
        (3, "3"),
        (3.14, "3.14"),
        ("text", "text"),
        ("two\nlines", "two\nlines"),
        (None, "None"),
        ([1, 2], "[1, 2]"),
        (True, "True"),
    ],
)
def test_values(value, text):
    assert shown(value) == text


@given(st.floats())
def test_numbers_are_printed_as_numpy_does(number):
    assert shown(np.float64(number)) == str(np.float64(number))


ordinary = st.floats(-1e9, 1e9) | st.decimals(-99, 99, places=9, allow_nan=False).map(float)


@given(st.floats() | ordinary)
def test_arrays_of_one_number_are_printed_as_numpy_does(number):
    value = np.array([number])
    assert shown(value) == str(value)


def test_block(capsys):
    out = printed(capsys, {"x": np.float64(1.5), "y": np.zeros(64)}, {}, {"x": 2})
    assert out == "x: 1.5\ny: shape=(64,) <class 'float'>\nx: 2\n"


@pytest.mark.parametrize("mode", ["t", "tab", "table"])
def test_table(capsys, mode):
    assert printed(capsys, {"a": 1, "b": 2.5}, {"a": 3, "b": "x"}, mode=mode) == (
        "# a\tb\n1\t2.5\n3\tx\n"
    )


def test_the_header_follows_the_tags(capsys):
    turns = [{"a": 1, "b": 2}, {"b": 4, "a": 3}, {}, {"b": 5}, {"b": 6, "c": 7}, {"c": 9, "b": 8}]
    assert printed(capsys, *turns, mode="table") == (
        "# a\tb\n1\t2\n3\t4\n# b\n5\n# b\tc\n6\t7\n8\t9\n"
    )


@pytest.mark.parametrize(
    ("fmt", "line"),
    [
        ("{tag}={}", "x=2.5"),
        ("{} {scan:03d}", "2.5 007"),
        ("{tag:>4}: {:.3f}", "   x: 2.500"),
        ("{!s:>5}", "  2.5"),
        ("constant", "constant"),
    ],
)
@pytest.mark.parametrize("value", [np.float64(2.5), 2.5], ids=["numpy", "plain"])
def test_formats(capsys, fmt, line, value):
    assert printed(capsys, {"x": value}, context={"scan": np.array(7)}, fmt=fmt) == line + "\n"


def test_an_array_of_one_element_is_formatted_as_a_number(capsys):
    assert printed(capsys, {"x": np.array([2.5])}, fmt="{:.3f}") == "2.500\n"


@pytest.mark.parametrize("fmt", ["{nosuch}", "{:.3f}", "{scan:q}"])
def test_a_format_that_does_not_fit_is_told(fmt):
    sink = SummarySink(fmt=fmt)
    with pytest.raises(CamagickError, match=r"^summary: fmt="):
        sink.process(Data({"x": "text"}), Data({"scan": 1}))


@pytest.mark.parametrize(
    "kwargs", [{"mode": "q"}, {"mode": "tablet"}, {"fmt": "{"}, {"fmt": "{2}"}]
)
def test_nonsense_is_refused_at_once(kwargs):
    with pytest.raises(BadOption, match=r"^summary: "):
        SummarySink(**kwargs)


@pytest.mark.parametrize("mode", ["", "b", "block"])
def test_modes_of_a_block(capsys, mode):
    assert printed(capsys, {"x": 1}, mode=mode) == "x: 1\n"


def test_a_file_is_appended_to(tmp_path, capsys):
    path = tmp_path / "out.txt"
    for value in (1, 2):
        assert printed(capsys, {"x": value}, path=str(path)) == ""
    assert path.read_text() == "x: 1\nx: 2\n"


def test_every_iteration_is_flushed(tmp_path):
    path = tmp_path / "out.txt"
    sink = SummarySink(path=str(path))
    sink.process(Data({"x": 1}), Data())
    assert path.read_text() == "x: 1\n"
    asyncio.run(sink.shutdown())


def test_the_constructor_opens_nothing(tmp_path):
    SummarySink(path=str(tmp_path / "out.txt"))
    assert list(tmp_path.iterdir()) == []


def test_the_standard_output_stays_open(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    sink = SummarySink()
    asyncio.run(sink.startup())
    asyncio.run(sink.shutdown())
    assert not stream.closed


class Broken(io.StringIO):
    def flush(self):
        raise BrokenPipeError


def test_json_has_everything(capsys):
    image = np.array([[1.5, np.nan], [np.inf, -2.0]])
    data = {"a": np.float64(1.5), "t": "x", "n": np.int8(3), "i": image, "b": np.bool_(True),
            "c": 1 + 2j, "s": np.array(["u", "v"]), "nan": float("nan")}  # fmt: skip
    assert json.loads(printed(capsys, data, mode="json")) == {
        "a": 1.5, "t": "x", "n": 3, "i": [[1.5, None], [None, -2.0]], "b": True,
        "c": [1.0, 2.0], "s": ["u", "v"], "nan": None,
    }  # fmt: skip


def test_a_table_on_a_terminal_is_aligned_and_has_units():
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    sink = SummarySink(mode="table")
    sink._stream = Terminal()
    for value in (1.0, 123456.25):
        data = Data({"current": value, "b": 1})
        data.describe("current", {"units": "mA"})
        sink.process(data, Data())
    assert sink._stream.getvalue() == (
        "# current [mA]  b\n"
        "           1.0  1\n"
        "     123456.25  1\n"
    )  # fmt: skip


def test_nobody_reads_any_more(monkeypatch):
    monkeypatch.setattr(sys, "stdout", Broken())
    with pytest.raises(EndOfData):
        SummarySink().process(Data({"x": 1}), Data())


def test_the_interpreter_does_not_complain_about_a_broken_pipe():
    code = (
        "import asyncio\n"
        "from camagick.executor import PipeExecutor\n"
        "from camagick.flow.chain import Processor as Chain\n"
        "from camagick.sink.summary import Processor as Summary\n"
        "from camagick.source.scratch import Processor as Scratch\n"
        "asyncio.run(PipeExecutor(Chain(Scratch('zeros', 'a', rate=0), Summary())).run())\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    with child:
        assert child.stdout is not None
        assert child.stderr is not None
        assert child.stdout.readline() == "a: [0.]\n"
        child.stdout.close()
        assert child.stderr.read() == ""
        assert child.wait(60) == 0
