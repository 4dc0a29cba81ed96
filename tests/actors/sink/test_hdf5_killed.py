"""The HDF5 sink, killed at every possible moment: each frame once, in order, in a sound file."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).with_name("killed.py")

#: What is said of a disk that is full.
FULL = {
    "limit": r"hdf5: .*\.h5: File too large",
    "small": r"hdf5: .*: No space left on device",
}

#: What is stored how; each a list of tags and the sink's arguments.
JOBS = {
    "appended": ("one.h5#{tag}", {}, ["image", "number", "text"]),
    "at once": ("one.h5#{tag}", {"flush": 0}, ["image", "number"]),
    "compressed": ("one.h5#{tag}", {"compression": "gzip"}, ["image"]),
    "numbered": ("one.h5#{tag}", {"index": "n", "mode": "a"}, ["image", "number"]),
    "started again": ("one.h5#{tag}", {"index": "n", "mode": "x"}, ["image"]),
    "two files": ("{tag}.h5#{tag}", {}, ["image", "number"]),
}


def stories(
    tmp_path: Path, how: str, job: Any, seed: int = 1, inside: tuple[str, ...] = (), **more: Any
) -> list[Any]:
    """Let `killed.py` do a job, and return what happened."""
    folder = tmp_path / "files"
    job = {**job, "path": f"{folder}/{job['path']}"}
    task = {"how": how, "job": job, "folder": str(folder), "seed": seed, **more}
    done = subprocess.run(
        [*inside, sys.executable, str(SCRIPT), json.dumps(task)],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def hdf5(name: str, count: int) -> dict[str, Any]:
    path, options, tags = JOBS[name]
    return {"sink": "hdf5", "path": path, "options": options, "tags": tags, "count": count}


def check_seen(seen: Any, tags: list[str], acknowledged: int) -> None:
    """Every committed frame is there, in order, once."""
    assert isinstance(seen, dict), seen  # otherwise: why it could not be read
    for tag in tags:
        frames = seen.get(tag, [])
        assert frames == list(range(len(frames))), tag
        assert len(frames) >= acknowledged, tag


def check_texts(story: Any, job: Any) -> None:
    """A sink says the same of a frame that it has stored in an earlier life."""
    for attempt in story["attempts"]:
        for seq, texts in attempt["texts"].items():
            assert [text.rpartition("[")[2] for text in texts] == [f"{seq}]"] * len(job["tags"])


def check(story: Any, job: Any) -> None:
    acknowledged = 0
    for attempt, seen in zip(story["attempts"], story["seen"], strict=True):
        assert not attempt["failed"]
        acknowledged = max(acknowledged, attempt["acknowledged"])
        if not seen["mended"]:
            check_seen(seen["plain"], job["tags"], acknowledged)
        check_seen(seen["then"], job["tags"], acknowledged)
    check_texts(story, job)


@pytest.mark.parametrize("name", JOBS)
def test_killed_in_every_change_of_the_disk(tmp_path, name):
    job = hdf5(name, 12)
    told = stories(tmp_path, "every", job)
    assert len(told) > 20
    for story in told:
        check(story, job)
        assert story["seen"][-1]["then"] == {tag: list(range(12)) for tag in job["tags"]}
    assert any(seen["mended"] for story in told for seen in story["seen"])


def test_killed_with_files_closed_in_the_middle_of_an_iteration(tmp_path):
    """One file is open at a time: an iteration closes two of three, each with a part of it."""
    job = {**hdf5("two files", 8), "tags": ["image", "number", "number2"], "files": 1}
    for story in stories(tmp_path, "every", job, step=11):
        check(story, job)
        assert story["seen"][-1]["then"] == {tag: list(range(8)) for tag in job["tags"]}


@pytest.mark.parametrize("seed", range(3))
def test_killed_at_any_moment(tmp_path, seed):
    job = hdf5("appended", 600)
    told = stories(tmp_path, "any", job, seed)
    acknowledged = 0
    for story in told:
        acknowledged = max(acknowledged, story["attempts"][0]["acknowledged"])
        check_seen(story["seen"][0]["then"], job["tags"], acknowledged)
        check(story, job)
    assert told[-1]["seen"][0]["then"] == {tag: list(range(600)) for tag in job["tags"]}
    assert len(told) > 5


#: Runs a command with a file system of 24 MiB of its own.
SMALL = ("unshare", "-rm", "sh", "-c", 'mount -t tmpfs -o size=24m none "$0" && exec "$@"')


@pytest.mark.parametrize("place", ["limit", "small"])
@pytest.mark.parametrize("name", ["appended", "at once", "two files"])
def test_a_full_disk(tmp_path, name, place):
    """The files stay as of the last commit, and the next start goes on."""
    inside: tuple[str, ...] = ()
    if place == "small":
        inside = (*SMALL, str(tmp_path))
        if subprocess.run([*inside, "true"], check=False, capture_output=True).returncode:
            pytest.skip("no file system may be mounted here")
    job = hdf5(name, 12)
    job["tags"] = ["frame", *job["tags"]]
    told = stories(tmp_path, "full", job, inside=inside, place=place)
    for story in told:
        check(story, job)
        assert len(story["errors"]) <= 1
        for error in story["errors"]:
            assert re.fullmatch(FULL[place], error)
        assert story["seen"][-1]["then"] == {tag: list(range(12)) for tag in job["tags"]}
    assert sum(bool(story["errors"]) for story in told) > 20


def test_without_the_redo_record_it_would_be_torn(tmp_path):
    """These tests can fail: overwritten in place, a file does not survive all of the moments."""
    job = hdf5("numbered", 12)
    torn = 0
    for story in stories(tmp_path, "every", job, without_record=True):
        try:
            check(story, job)
        except AssertionError:
            torn += 1
    assert torn
