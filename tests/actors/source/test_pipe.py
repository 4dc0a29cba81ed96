"""from-pipe reads what other programs print, and says what it does not understand."""

from __future__ import annotations

import io
import logging
import os
import signal
import subprocess
import sys
import textwrap
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
import pytest

from camagick.errors import BadOption, CamagickError
from camagick.source.pipe import Processor as PipeSource
from tests.buses import Run, caspy, wait_for
from tests.docs_runner import Running, environment, until_there
from tests.servers.ioc import tools
from tests.streams import Collect, collect, piped, run

if TYPE_CHECKING:
    from pathlib import Path

#: Options, the input, and what comes of it.
READ: list[tuple[tuple[str, ...], dict[str, Any], str, list[dict[str, Any]]]] = [
    (("x",), {}, "1\n2.5\n", [{"x": 1.0}, {"x": 2.5}]),
    (("x",), {}, "1\n2", [{"x": 1.0}, {"x": 2.0}]),
    (("x",), {}, "", []),
    (("a", "_", "c"), {}, "1 2 3 4\r\n", [{"a": 1.0, "c": 3.0}]),
    (("a", "b"), {}, '  7\tup and away\n8 "down, far"\n',
     [{"a": 7.0, "b": "up"}, {"a": 8.0, "b": "down, far"}]),
    (("a", "b"), {"sep": ","}, '1, "x, y"\n2,z z\n', [{"a": 1, "b": "x, y"}, {"a": 2, "b": "z z"}]),
    (("a",), {}, "# no\n\n1\n  # neither\n2\n", [{"a": 1.0}, {"a": 2.0}]),
    ((), {"header": 1}, "# a b\n1 2\n", [{"a": 1.0, "b": 2.0}]),
    (("u",), {"header": 1, "skip": 1}, "made by x\na b\n1 2\n", [{"u": 1.0}]),
    (("n",), {"dtype": "int64"}, "9007199254740993\n", [{"n": 9007199254740993}]),
    (("n",), {"dtype": "str"}, "007\n", [{"n": "007"}]),
    (("t", "s..."), {}, "1 2 3\n4 5\n", [{"t": 1.0, "s": [2, 3]}, {"t": 4.0, "s": [5]}]),
    ((), {"format": "lines"}, "a b\n\n", [{"text": "a b"}, {"text": ""}]),
    ((), {"format": "json"}, '{"a": 1, "b": [[1, 2], [3, 4]], "c": {"d": "x"}, "e": null}\n\n',
     [{"a": 1, "b": [[1, 2], [3, 4]], "c_d": "x"}]),
    (("b",), {"format": "json"}, '{"a": 1, "b": 2.5}\n', [{"b": 2.5}]),
]  # fmt: skip

#: The same with what makes no sense: the line that is said.
WRONG: list[tuple[tuple[str, ...], dict[str, Any], bytes, str]] = [
    (("a", "b"), {}, b"1 2\n3\n", "line 2 of standard input has 1 column, 2 are named: '3'"),
    (
        ("a",),
        {},
        b"1\n# c\nN/A\n",
        "line 3 of standard input has 'N/A' in column 1 (a), not a number",
    ),
    (
        ("a", "b"),
        {},
        b"temp p\n1 2\n",
        "line 2 of standard input has numbers where the line before",
    ),
    (("a",), {}, b"1\n\xff\xfe\x00\n", r"line 2 of standard input is no text: '\xff\xfe\x00'"),
    ((), {"format": "json"}, b"{]\n", "line 1 of standard input is no JSON: '{]'"),
    ((), {"format": "json"}, b'{"a": [1, [2]]}\n', "a: rows of different lengths"),
    ((), {"format": "json"}, b'{"a": [1, "x"]}\n', "a: a list of what is neither"),
    ((), {"format": "json"}, b"[1]\n", "is no JSON object"),
    (("k",), {"format": "json"}, b'{"a": 1}\n', "has no 'k'"),
    ((), {"format": "raw", "shape": 2}, b"x" * 20, "frame 2 of standard input ends after 4 bytes"),
    ((), {"format": "npy"}, b"hello there, you", "array 1 of standard input does not begin as npy"),
]


@pytest.mark.parametrize(("tags", "options", "content", "rows"), READ)
def test_what_is_read(tags, options, content, rows):
    found = piped(content, PipeSource(*tags, **options))
    shown = [
        {
            tag: value.tolist() if isinstance(value, np.ndarray) else value
            for tag, value in r.items()
        }
        for r in found
    ]
    assert shown == rows


@pytest.mark.parametrize(("tags", "options", "content", "text"), WRONG)
def test_what_is_not_understood_is_named(tags, options, content, text, caplog):
    with pytest.raises(CamagickError) as caught:
        piped(content, PipeSource(*tags, **options))
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)

    source = PipeSource(*tags, **options, strict=False)
    piped(content, source)
    assert text in caplog.text
    assert source.figures()["unreadable"] == 1


def test_the_rest_is_read_where_strict_is_off(caplog):
    lines = "1\n" + "x\n" * 9 + "2\n"
    assert [row["a"] for row in piped(lines, PipeSource("a", strict=False))] == [1.0, 2.0]
    assert len([r for r in caplog.records if r.levelno == logging.WARNING]) == 5


@pytest.mark.parametrize(
    ("words", "options", "text"),
    [
        ((), {}, "name the columns"),
        (("a", "a"), {}, "named twice"),
        (("a...", "b"), {}, "only the last column"),
        (("a",), {"format": "xml"}, "there are text, json"),
        (("a", "b"), {"format": "raw"}, "has one tag"),
        ((), {"format": "raw", "dtype": "O"}, "no type of numbers"),
        ((), {"format": "raw", "shape": 0}, "no shape"),
        (("a",), {"shape": 3}, "shape= is for"),
        (("a",), {"mode": "each"}, "of cmd="),
        (("a",), {"cmd": " "}, "cmd= is empty"),
        (("a",), {"sep": ", "}, "not one character"),
        (("a",), {"timeout": -1}, "no number of seconds"),
        (("a",), {"strict": 2}, "neither 0 nor 1"),
    ],
)
def test_bad_options(words, options, text):
    with pytest.raises(BadOption, match=text):
        PipeSource(*words, **options)


@pytest.mark.parametrize("dtype", ["<f8", ">u2", "u1"])
def test_raw_frames_are_what_was_written(dtype):
    frames = np.random.default_rng(1).integers(0, 200, (40, 64, 100)).astype(dtype)
    source = PipeSource("i", format="raw", dtype=dtype, shape=(64, 100), skip=5)
    found = piped(b"head:" + frames.tobytes(), source)
    assert np.array_equal([row["i"] for row in found], frames)
    assert found[0]["i"].dtype.isnative


def test_npy_arrays_are_what_was_saved():
    arrays = [np.arange(12.0).reshape(3, 4), np.asfortranarray(np.ones((300, 200)) * 7),
              np.array(5, ">i4"), np.zeros((0, 3), "u1")]  # fmt: skip
    stream = io.BytesIO()
    for array in arrays:
        np.save(stream, array)
    found = [row["data"] for row in piped(stream.getvalue(), PipeSource(format="npy"))]
    assert [(one.shape, one.tolist()) for one in found] == [(a.shape, a.tolist()) for a in arrays]


def test_npy_never_unpickles():
    stream = io.BytesIO()
    np.save(stream, np.array([1, "a"], object), allow_pickle=True)
    with pytest.raises(CamagickError, match="dtype object"):
        piped(stream.getvalue(), PipeSource(format="npy"))


def test_a_file_as_input_is_read_from_where_it_stands(tmp_path):
    (tmp_path / "x").write_text("1\n2\n3\n")
    kept = os.dup(0)
    with open(tmp_path / "x", "rb", buffering=0) as file:
        file.seek(2)
        os.dup2(file.fileno(), 0)
    try:
        assert [row["x"] for row in collect(PipeSource("x"))] == [2.0, 3.0]
    finally:
        os.dup2(kept, 0)
        os.close(kept)


def test_what_is_known_of_a_value():
    sink = Collect()
    run(PipeSource("x", cmd="echo 1"), sink, count=1)
    assert sink.last is not None
    known = sink.last.attributes("x")
    assert known["source"] == "'echo 1'"
    assert known["timestamp"] > 1.7e9


def test_the_newest_only():
    source = PipeSource("x", latest=True)
    rows = piped("".join(f"{n}\n" for n in range(100)), source)
    assert rows[-1]["x"] == 99.0
    assert len(rows) + source.figures()["skipped"] == 100


def test_a_command_for_each_iteration(tmp_path):
    (tmp_path / "n").write_text("0\n")
    cmd = f"cd {tmp_path}; echo $(( $(cat n) + 1 )) > n; cat n"
    assert [row["x"] for row in collect(PipeSource("x", cmd=cmd), count=3)] == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("mode", ["each", "stream"])
@pytest.mark.parametrize(
    ("cmd", "text"),
    [
        ("echo oh no >&2; exit 3", "ended with exit code 3: oh no"),
        ("kill -9 $$", "was killed by SIGKILL"),
        ("no-such-program", "ended with exit code 127: .*no-such-program.*not found"),
        ("echo garbage?; echo 1", "more than one|has numbers where"),
        ("sleep 60 & sleep 61", "did not end within 0.15 s|nothing came for 0.15 s"),
    ],
)
def test_what_is_wrong_with_a_command(cmd, text, mode):
    with pytest.raises(CamagickError, match=text) as caught:
        collect(PipeSource("x", cmd=cmd, mode=mode, timeout=0.15))
    assert "\n" not in str(caught.value)


def test_a_command_that_says_nothing():
    with pytest.raises(CamagickError, match="'true' has printed no line"):
        collect(PipeSource("x", cmd="true"))


def test_a_command_that_fails_is_run_again(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr("camagick.source.pipe._AGAIN_S", 0.01)
    cmd = f"cd {tmp_path}; [ -e x ] && echo 1 || {{ touch x; false; }}"
    assert collect(PipeSource("x", cmd=cmd, strict=False), count=1) == [{"x": 1.0}]
    assert "exit code 1" in caplog.text


def test_a_killed_process_leaves_no_command_behind():
    script = """
        import asyncio
        from camagick.executor import PipeExecutor
        from camagick.source.pipe import Processor
        cmd = "sleep 777 & (sleep 778; true) | cat & echo 1; sleep 779"
        asyncio.run(PipeExecutor(Processor("x", cmd=cmd, mode="stream")).run())
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)])
    me = psutil.Process(process.pid)
    wait_for(lambda: len(me.children(recursive=True)) >= 6, "the commands")
    children = me.children(recursive=True)
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    left = psutil.wait_procs(children, timeout=10)[1]
    for one in left:
        one.kill()
    assert not left


@pytest.mark.parametrize("kills", [2, pytest.param(8, marks=pytest.mark.long)])
def test_kills_lose_nothing_and_repeat_nothing(tmp_path, kills):
    """The reader and the writer are killed while a stream goes through them."""
    out, most = tmp_path / "out", 5000 * kills
    read, write = os.pipe()
    with os.fdopen(write, "w") as stream:
        words = ["--from-pipe", "x", "dtype=int64", "--to-file", "out"]
        with Run("-bus", "k", "-restart", "99", *words, cwd=tmp_path, stdin=read) as caspy_run:
            os.close(read)
            inputs = [caspy_run.actor(name).pid for name in ("pipe.1", "file.2")]
            wait_for(lambda: _input_of(inputs[1]) == os.devnull, "an input that nobody reads")
            assert _input_of(inputs[0]).startswith("pipe:")
            for part in range(kills):
                first = 5000 * part
                stream.write("".join(f"{n}\n" for n in range(first, first + 5000)))
                stream.flush()
                wait_for(partial(_is_longer, out, 5 * first), "lines")
                caspy_run.actor(("pipe.1", "file.2")[part % 2]).kill()
            stream.close()
            assert caspy_run.wait() == 0, caspy_run.log
    assert out.read_text().split() == [str(n) for n in range(most)]


def _input_of(pid: int) -> str:
    return os.readlink(f"/proc/{pid}/fd/0")


def _is_longer(path: Path, size: int) -> bool:
    return path.exists() and path.stat().st_size > size


def test_through_a_run_and_into_head():
    program = f"{sys.executable} -m caspy --from-pipe x _ --npfun sqrt --to-pipe"
    line = f"yes | cat -n | {program} | head -3"
    done = subprocess.run(
        ["bash", "-c", line], capture_output=True, text=True, timeout=40, check=False
    )
    assert done.stdout.split() == ["1.0", "1.4142135623730951", "1.7320508075688772"]
    assert done.stderr == ""


def test_a_sequence_becomes_a_pv(tmp_path):
    with environment(tmp_path / "bin") as (env, _):
        line = "(seq 1 100; sleep 40) | caspy --from-pipe x --npfun sqrt --to-ioc prefix=T:"
        running = Running(line, tmp_path, {**env, "CASPY_LOG_LEVEL": "WARNING"})
        try:
            until_there("T:x", env)
            caget = [str(tools() / "caget"), "-t", "T:x"]
            wait_for(lambda: subprocess.check_output(caget, env=env, timeout=20) == b"10\n", "10")
            running.interrupt()
            assert running.wait() == 0
        finally:
            running.close()


#: Writes frames of 1 MB at 100 MB a second, and says by how much it was held up at the worst.
STREAM = """
import sys, time, numpy
frame, begin, late = numpy.zeros(125_000), time.monotonic(), 0.0
for n in range(int(sys.argv[1])):
    frame[0] = n
    sys.stdout.buffer.write(frame.data)
    ahead = begin + (n + 1) / 100 - time.monotonic()
    late = max(late, -ahead)
    time.sleep(max(0.0, ahead))
print(late, file=sys.stderr)
"""


@pytest.mark.long
def test_a_raw_stream_of_100_mb_a_second_keeps_up():
    seconds = 10
    program = f"{sys.executable} -m caspy --from-pipe x format=raw dtype=float64 shape=125000"
    line = f"{sys.executable} -c '{STREAM}' {100 * seconds} | {program} --slice 0 --to-pipe"
    done = subprocess.run(
        ["bash", "-c", line], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert [float(text) for text in done.stdout.split()] == list(range(100 * seconds))
    late = float(done.stderr)
    print(f"the program in front was held up by {late:.2f} s at the worst")
    assert late < 2.0, "it waits for caspy to start, and no longer"


def test_a_line_of_garbage_ends_a_run_behind_what_came_before():
    done = caspy(*["--from-pipe", "x", "--to-pipe"], input="1\n2\nx\n3\n")
    assert (done.returncode, done.stdout) == (1, "1.0\n2.0\n")
    assert len(done.stderr.splitlines()) == 1
    assert "line 3 of standard input has 'x' in column 1 (x), not a number" in done.stderr
