"""The benchmarks run; how fast is for a quiet machine, not for a test."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from benchmarks import frames, looking, peers, pipes, storage, table
from benchmarks.__main__ import main
from benchmarks.fifos import fifos
from benchmarks.measure import (
    OURS,
    SMOKE,
    Budget,
    Contender,
    Figure,
    Goal,
    Result,
    Unavailable,
    Work,
    compare,
)
from benchmarks.processes import Rows, environment, running
from caspy.build import build
from caspy.parse import parse
from caspy.words import sort

ROOT = Path(__file__).parents[1]
#: Those with code of their own, in two parts that take about the same time.
RUN = (("views", "small", "memory", "store-frames"), ("latency", "epics", "start", "idle"))
#: The others are run by the same functions: it is enough that caspy understands their words.
PIPES = (pipes.FANOUT, pipes.IMAGE, pipes.STAGES, pipes.SCALAR, frames.NEW.format(8))


def bench(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks", "--smoke", "--peers", "none", *words]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False
    )


@pytest.mark.parametrize("keys", RUN, ids=["frames", "others"])
def test_the_works_run(keys: tuple[str, ...], tmp_path: Path) -> None:
    done = bench("--only", *keys, "--results", str(tmp_path))
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "latest.json").read_text())["results"]
    assert {result["key"] for result in results} == set(keys)
    for result in results:
        ours, missing = result["figures"].get(OURS), result["missing"]
        assert ours, f"{result['key']}: {missing}"
        assert set(missing.values()) <= {"left out"}, f"{result['key']}: {missing}"
    if "views" in keys:
        assert "| not run" in done.stdout
        assert "raw ZeroMQ" in (tmp_path / "ratios.svg").read_text()
        assert (tmp_path / "ratios.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("pipe", PIPES)
def test_the_pipe_is_one(pipe: str) -> None:
    parsed = parse(sort(pipe.split()).words)
    assert not parsed.problems
    assert not build(parsed.pipes).problems


def test_the_scans_run(tmp_path: Path) -> None:
    done = bench("--only", "scans", "--results", str(tmp_path))
    assert done.returncode == 0, done.stderr
    scans = json.loads((tmp_path / "latest.json").read_text())["scans"]
    assert [scan["key"] for scan in scans] == ["actors", "sizes", "cores", "hop"]
    values = [value for scan in scans for some in scan["values"].values() for value in some]
    assert None not in values, scans
    assert (tmp_path / "actors.svg").exists()


def test_a_work_that_is_not_there() -> None:
    with pytest.raises(SystemExit, match="no such work: readmes; there are views"):
        main(["--smoke", "--only", "readmes"])


def figures(name: str, *values: float) -> Contender:
    left = iter(values)
    return Contender(name, lambda _: Figure(next(left)))


def test_one_that_fails_is_reported_and_stops_nobody() -> None:
    def fail(_: Budget) -> Figure:
        raise Unavailable("no such thing here")

    work = Work(
        "k", "t", "rows/s",
        (figures(OURS, 6.0), Contender("gone", fail), figures("slow", 2.0)),
        (Goal(3.0, "slow"), Goal(2.0, "gone"), Goal(7.0)),
    )  # fmt: skip
    bound, gone, slow = table.rows(compare(work, SMOKE))
    assert (slow.ratio, slow.met) == (3.0, True)
    assert (bound.ours, bound.met) == (6.0, False)
    assert (gone.ratio, gone.met, gone.problem) == (None, None, "no such thing here")
    text = table.markdown([bound, gone, slow])
    assert "| gone" in text
    assert "| not run" in text
    assert "no such thing here" in text


def test_the_ratio_is_the_median_of_the_paired_ones() -> None:
    work = Work("k", "t", "s", (figures(OURS), figures("peer")), better="less")
    ours, theirs = (1.0, 2.0, 10.0), (2.0, 6.0, 5.0)
    runs = {OURS: [Figure(v) for v in ours], "peer": [Figure(v) for v in theirs]}
    (row,) = table.rows(Result(work, runs, {}))
    assert (row.low, row.ratio, row.high) == (0.5, 2.0, 3.0)


def test_warming_up_does_not_count_and_turns_change() -> None:
    turns = []

    def contender(name: str) -> Contender:
        def run(_: Budget) -> Figure:
            turns.append(name)
            return Figure(float(len(turns)))

        return Contender(name, run)

    budget = Budget(runs=2, warmups=1, seconds=0.0, long_seconds=0.0, slow_runs=1)
    result = compare(Work("k", "t", "s", (contender("a"), contender("b"))), budget)
    assert turns == ["b", "a", "a", "b", "b", "a"]
    assert result.values("a") == [3.0, 6.0]


def test_storing_beside_plain_loops(capsys: pytest.CaptureFixture[str]) -> None:
    assert storage.main(["--runs", "1", "--scale", "0.001"]) == 0
    said = capsys.readouterr().out
    assert "| 2048 points | hdf5, commits of 4 |" in said
    assert "not measured: the peer" in said


def test_looking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("PySide6.QtWidgets", exc_type=ImportError)
    (stopped,) = (guest for guest in looking.GUESTS if guest.name == "window, SIGSTOPped")
    rate = looking.looked_at(stopped, looking.PIPE.format(side=16, rate=50), 0.1)
    assert rate > 0
    # The others are run by the same function: what is done with their rates is what is left.
    monkeypatch.setattr(looking, "looked_at", lambda guest, *_: 100.0 if guest.sink else 1.0)
    monkeypatch.setattr(looking, "chromium", lambda: None)
    looking.main(["--rounds", "2", "--results", str(tmp_path)])
    ratios = json.loads((tmp_path / "looking.json").read_text())["ratios"]
    assert ratios["window"] == [1.0, 1.0]
    assert not any(name.startswith("browser") for name in ratios)
    assert "nobody looks: 100.0" in capsys.readouterr().out


def test_a_peer_without_its_python() -> None:
    with pytest.raises(Unavailable, match=r"no Python 9\.9"):
        peers.folder(peers.Peer("nobody", ("nothing",), "nothing", ("9.9",)))


def test_nothing_is_left_of_a_command_and_what_it_started() -> None:
    script = "trap '' INT TERM; sleep 100 & echo $!; wait"
    with running(["sh", "-c", script], environment(), at_once=True) as process:
        assert process.stdout is not None
        rows = Rows(process.stdout.fileno())
        rows.text = []
        rows.first()
        child = int(rows.text[0])
        assert psutil.pid_exists(child)
    assert not psutil.pid_exists(child)


def test_the_last_words_of_a_peer_that_cannot_run() -> None:
    command = ["sh", "-c", "echo no network for you >&2; exit 1"]
    with (
        pytest.raises(RuntimeError, match="it ended early: no network for you"),
        fifos() as (_, rows),
        running(command, environment(), at_once=True, stdout=None) as rows.writer,
    ):
        rows.rate(1.0, 0.0, rows.writer.pid)
