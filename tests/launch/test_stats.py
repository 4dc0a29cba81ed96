"""``-stats``: JSON lines while a run goes on, and one with everything at its end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.buses import Run, card_of, caspy, clear, wait_for

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = ["--from-scratch", "counter", "n=1"]


def lines(path: Path) -> list[dict[str, Any]]:
    text = path.read_text() if path.exists() else ""
    return [json.loads(line) for line in text.splitlines(True) if line.endswith("\n")]


@pytest.mark.parametrize("count", [1, 3, 500])
def test_the_last_line_has_everything(count: int, tmp_path: Path) -> None:
    """However short the run is."""
    path = tmp_path / "stats"
    done = caspy(
        *SOURCE, "rate=0", "{", "--npfun", "sum", "--npfun", "max", "}", "--to-summary",
        f"path={tmp_path / 'out'}", "-count", str(count), "-stats", str(path), "-bus", "s",
    )  # fmt: skip
    assert done.returncode == 0
    last = lines(path)[-1]
    assert (last["bus"], last["final"], last["complete"]) == ("s", True, True)
    assert last["iterations"] == count
    actors = last["actors"]
    assert list(actors) == ["scratch.1", "npfun.2", "npfun.3", "summary.4"]
    assert all(one["iterations"] == count and one["state"] == "ended" for one in actors.values())
    # The end of the data is a message, too.
    assert actors["scratch.1"]["messages_out"] == count + 1
    assert actors["summary.4"]["messages_in"] == 2 * (count + 1)
    for name in ("duplicates", "gaps", "refused", "restarts", "resends", "kept"):
        assert all(one[name] == 0 for one in actors.values()), name
    assert all(0 <= one["busy"] <= 1 for one in actors.values())
    assert actors["npfun.2"]["bytes_in"] > 80 * count


def test_once_a_second_and_at_ctrl_c(tmp_path: Path) -> None:
    path = tmp_path / "stats"
    with Run(*SOURCE, "rate=500", "--to-summary", f"path={tmp_path / 'out'}", "-stats", str(path),
             log="WARNING") as run:  # fmt: skip
        wait_for(lambda: len(lines(path)) >= 3, "three lines")
        run.interrupt()
        assert run.wait() == 0
        assert run.log == ""
    found = lines(path)
    assert [line["final"] for line in found] == [False] * (len(found) - 1) + [True]
    seconds = [line["seconds"] for line in found]
    assert seconds == sorted(seconds)
    assert found[-1]["iterations"] == len((tmp_path / "out").read_text().splitlines())
    assert found[-1]["actors"]["scratch.1"]["rate"] > 0


def test_standard_output(tmp_path: Path) -> None:
    done = caspy(*SOURCE, "--to-summary", f"path={tmp_path / 'out'}", "-count", "2", "-stats", "-")
    (line,) = done.stdout.splitlines()
    assert json.loads(line)["iterations"] == 2


def test_a_reader_who_goes_away_does_not_end_the_run(tmp_path: Path) -> None:
    out = tmp_path / "out"
    process = subprocess.Popen(
        [sys.executable, "-m", "caspy", *SOURCE, "--to-summary", f"path={out}", "-stats", "-"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["final"] is False
    process.stdout.close()
    size = out.stat().st_size
    wait_for(lambda: out.stat().st_size > size + 2000, "the run to go on")
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 0
    assert process.stderr is not None
    assert process.stderr.read() == ""
    process.stderr.close()


def test_a_killed_writer_does_not_end_the_run(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with Run("-bus", "s", *SOURCE, "--to-summary", f"path={out}", "-stats", str(tmp_path / "s"),
             log="WARNING") as run:  # fmt: skip
        card_of("s")
        run.actor("statistics").kill()
        wait_for(lambda: "no more figures" in run.log, "the warning")
        size = out.stat().st_size
        wait_for(lambda: out.stat().st_size > size + 500, "the run to go on")
        run.interrupt()
        assert run.wait() == 0


def test_a_killed_run_has_no_last_word(tmp_path: Path) -> None:
    path = tmp_path / "stats"
    with Run("-bus", "s", *SOURCE, "--to-summary", f"path={tmp_path / 'out'}", "-stats", str(path),
             log="WARNING") as run:  # fmt: skip
        wait_for(lambda: any(line["iterations"] for line in lines(path)), "figures")
        run.process.kill()
        run.wait()
    assert not any(line["final"] for line in lines(path))
    clear("s")


def test_a_full_disk_is_said_once_and_hurts_nobody(tmp_path: Path) -> None:
    with Run("-bus", "s", *SOURCE, "--to-summary", f"path={tmp_path / 'out'}", "-stats",
             "/dev/full", log="WARNING") as run:  # fmt: skip
        wait_for(lambda: "cannot write statistics" in run.log, "the warning")
        run.interrupt()
        assert run.wait() == 0
        assert run.log.count("cannot write statistics: No space left on device") == 1


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    done = caspy(*SOURCE, "--to-summary", "-stats", str(tmp_path))
    assert (done.returncode, done.stdout) == (2, "")
    assert f"caspy: cannot write {tmp_path}: Is a directory" in done.stderr
    assert "^" in done.stderr


def test_a_plan_opens_nothing(tmp_path: Path) -> None:
    assert caspy("-plan", *SOURCE, "--to-summary", "-stats", str(tmp_path / "x")).returncode == 0
    assert not os.listdir(tmp_path)
