"""Large arrays in real runs: which of them are copied, and what happens where there is no room."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.buses import DEADLINE_S, Run, caspy, wait_for

if TYPE_CHECKING:
    from pathlib import Path

#: 256 KiB a frame, in which each number is that of the iteration.
SOURCE = ["--from-scratch", "counter", "x=64,512", "rate=1e9"]
SIZE = 64 * 512 * 8
OUT = "".join(f"x: {n}.0\n" for n in range(20))

OWN = """
import numpy as np
from camagick.processor import ProcessorBase


class Plus(ProcessorBase):
    def process(self, data, context):
        return {tag: value + 1 for tag, value in data.items()}


class InPlace(ProcessorBase):
    def process(self, data, context):
        return {
            tag: np.add(value, 1, out=self.empty(value.shape, value.dtype))
            for tag, value in data.items()
        }


class Keeper(ProcessorBase):
    stateful = True
    keeps_frames = True
    kept = ()

    def process(self, data, context):
        self.kept = (*self.kept, data["x"])
        if self.seq == 19:
            assert [frame.min() for frame in self.kept] == list(range(20))
            assert [frame.max() for frame in self.kept] == list(range(20))
        return data


class Spoiler(ProcessorBase):
    def __init__(self):
        self.frame = np.empty((64, 512))

    def process(self, data, context):
        self.frame[...] = data["x"]  # what it returned before, it writes to again
        return {"x": self.frame}
"""


def run(tmp_path: Path, *pipe: str, **options: Any) -> dict[str, Any]:
    """Return what each actor says of a run of 20 iterations, after a look at its output."""
    (tmp_path / "own.py").write_text(OWN)
    stats = tmp_path / "stats"
    done = caspy(
        "-count", "20", "-stats", str(stats), *SOURCE, *pipe, "--npfun", "max", "--to-summary",
        cwd=tmp_path, **options,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    actors: dict[str, Any] = json.loads(stats.read_text().splitlines()[-1])["actors"]
    if "own:Plus" not in "".join(pipe) and "own:InPlace" not in "".join(pipe):
        assert done.stdout == OUT
    return actors


def test_what_only_looks_moves_no_byte(tmp_path: Path) -> None:
    pipe = ["--reshape", "512", "64", "--slice", "1:,::-1", "--rename", "y{}", "--only", "yx",
            "{", "[", "--slice", "::2", "--rename", "z{}", "]", "[", "]", "}",
            "--exclude", "zyx", "--demote", "yx", "--promote", "yx", "--rename", "x"]  # fmt: skip
    actors = run(tmp_path, *pipe)
    assert len(actors) == 13
    assert {name: one["copied_bytes"] for name, one in actors.items()} == dict.fromkeys(actors, 0)
    assert actors["scratch.1"]["slot_bytes"] >= SIZE
    assert actors["reshape.2"]["slot_bytes"] == 0
    # What is said of a message is how large it is, wherever its arrays lie.
    assert 20 * SIZE <= actors["reshape.2"]["bytes_in"] <= 20 * (SIZE + 1000)
    assert 20 * SIZE <= actors["reshape.2"]["bytes_out"] <= 20 * (SIZE + 1000)


@pytest.mark.parametrize(("name", "copies"), [("Plus", 20), ("InPlace", 0)])
def test_a_new_array_is_copied_once_or_made_where_it_is_sent_from(
    name: str, copies: int, tmp_path: Path
) -> None:
    actors = run(tmp_path, f"--own:{name}", "--npfun", "sqrt", "--slice", "0")
    assert actors[f"{name.lower()}.2"]["copied_bytes"] == copies * SIZE
    assert actors["npfun.3"]["copied_bytes"] == 0
    assert actors["npfun.3"]["slot_bytes"] >= SIZE


def test_who_keeps_frames_keeps_copies_and_who_writes_again_spoils_nothing(tmp_path: Path) -> None:
    run(tmp_path, "-window", "3", "--own:Spoiler", "--own:Keeper", "--own:Spoiler")


def test_with_little_address_space_frames_arrive_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN)
    little = 660 << 20  # half of it is taken before anything is done
    done = caspy(
        "-count", "20", "-window", "8", "--from-scratch", "counter", "x=1024,2048", "--own:Plus",
        "--npfun", "max", "--to-summary", cwd=tmp_path,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (little, little)),
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "".join(f"x: {n + 1}.0\n" for n in range(20))


#: The launcher of a system that knows no such memory.
WITHOUT = """
import sys
from camagick_broker.segment import Segment
from caspy.cli import main

def refuse(self, number):
    raise OSError(38, "Function not implemented")

Segment.__init__ = refuse
sys.exit(main(sys.argv[1:]))
"""


def test_where_there_is_no_such_memory_it_says_so_once() -> None:
    words = ["-count", "20", *SOURCE, "--slice", "1:", "--npfun", "max", "--to-summary"]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, *words],
        capture_output=True, text=True, timeout=DEADLINE_S, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, OUT)
    (line,) = done.stderr.splitlines()
    assert "no shared memory, arrays are copied: Function not implemented" in line


def test_an_actor_can_write_its_own_memory_and_no_other(tmp_path: Path) -> None:
    pipe = ["--slice", "1:", "{", "--npfun", "max", "--npfun", "min", "}"]
    sink = ["--to-summary", f"path={tmp_path / 'out'}"]
    with Run(*SOURCE[:-1], "rate=100", *pipe, *sink) as running:
        wait_for(lambda: (tmp_path / "out").exists(), "the first line")
        found = {
            name: sorted(_modes(running.actor(name).pid))
            for name in ("scratch.1", "slice.2", "npfun.3", "summary.5")
        }
    # Its own, and those before it; not those beside it or behind it.
    assert found == {
        "scratch.1": [os.O_RDWR],
        "slice.2": [os.O_RDONLY, os.O_RDWR],
        "npfun.3": [os.O_RDONLY, os.O_RDONLY, os.O_RDWR],
        "summary.5": [os.O_RDONLY] * 4,
    }


def _modes(pid: int) -> list[int]:
    modes = []
    for number in os.listdir(f"/proc/{pid}/fd"):
        if "caspy-slots" in os.readlink(f"/proc/{pid}/fd/{number}"):
            with open(f"/proc/{pid}/fdinfo/{number}") as file:
                flags = next(line.split()[1] for line in file if line.startswith("flags"))
            modes.append(int(flags, 8) & os.O_ACCMODE)
    return modes
