"""The HDF5 sink, killed at every possible moment: each frame once, in order, in a sound file."""

import re
import subprocess
from typing import Any

import pytest

from tests.actors.sink.killing import check, check_end, stories

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
    "stamped": ("one.h5#{tag}", {"stamp": 1, "swmr": 1}, ["image", "number"]),
    "ragged": ("one.h5#{tag}", {"ragged": 1, "swmr": 1}, ["row", "number"]),
    "rolled": ("one.h5#{tag}", {"roll": 3, "stamp": 1}, ["image", "text"]),
}

#: Runs a command with a file system of 64 MiB of its own.
SMALL = ("unshare", "-rm", "sh", "-c", 'mount -t tmpfs -o size=64m none "$0" && exec "$@"')


def hdf5(name: str, count: int) -> dict[str, Any]:
    path, options, tags = JOBS[name]
    return {"sink": "hdf5", "path": path, "options": options, "tags": tags, "count": count}


@pytest.mark.parametrize("name", JOBS)
def test_killed_in_every_change_of_the_disk(tmp_path, name):
    job = hdf5(name, 8)
    steps = {"numbered": 1, "stamped": 7, "ragged": 7, "rolled": 29}
    told = stories(tmp_path, "every", job, step=steps.get(name, 3))
    assert len(told) > 3
    for story in told:
        check(story, job)
        check_end(story, job)
    assert name in steps or any(seen["mended"] for story in told for seen in story["seen"])


@pytest.mark.long
@pytest.mark.parametrize("name", ["stamped", "ragged", "rolled"])
def test_killed_in_really_every_change_of_the_disk(tmp_path, name):
    job = hdf5(name, 12)
    told = stories(tmp_path, "every", job)
    for story in told:
        check(story, job)
        check_end(story, job)
    assert any(seen["mended"] for story in told for seen in story["seen"])


def test_killed_with_files_closed_in_the_middle_of_an_iteration(tmp_path):
    """One file is open at a time: an iteration closes two of three, each with a part of it."""
    job = {**hdf5("two files", 8), "tags": ["image", "number", "number2"], "files": 1}
    job["path"] = "{tag}.h5#{tag}"
    for story in stories(tmp_path, "every", job, step=11):
        check(story, job)
        check_end(story, job)


@pytest.mark.parametrize("seed", range(2))
def test_killed_at_any_moment(tmp_path, seed):
    job = hdf5("appended", 600)
    told = stories(tmp_path, "any", job, seed)
    for story in told:
        check(story, job)
    check_end(told[-1], job)
    assert len(told) > 3


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("appended", "limit"),
        ("at once", "small"),
        ("two files", "small"),
        pytest.param("rolled", "small", marks=pytest.mark.long),
        pytest.param("stamped", "small", marks=pytest.mark.long),
    ],
)
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
        check_end(story, job)
        for error in story["errors"]:
            assert re.fullmatch(FULL[place], error)
    assert sum(len(story["errors"]) == 1 for story in told) > 20


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
