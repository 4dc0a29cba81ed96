# ruff: noqa: S311 - chance, no secrets
"""Sinks that are really killed, started again, and fed again; a script.

It forks, so that one interpreter with its libraries serves hundreds of deaths. Every writer is a
process of its own that ends with SIGKILL, every reader another one. What was seen is printed as
JSON; the tests that start this judge it.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
import traceback
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from camagick.data import Data
from camagick.errors import CamagickError
from camagick.processor import Placement
from camagick.tools import filestore, redo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DEADLINE = 90.0
RUN, ACTOR = "0123456789abcdef", 4

#: What can be interrupted: a write may also be done by half.
CALLS = ("pwrite", "ftruncate", "posix_fallocate", "replace", "mkdir")


class Job:
    """What is written, taken from the words of the command line.

    Parameters
    ----------
    sink
        Name of the sink's module.
    path, options
        Its arguments.
    tags
        Names of the values of an iteration.
    count
        Number of iterations.
    files
        Open files at most.
    """

    def __init__(
        self, sink: str, path: str, options: Any, tags: list[str], count: int, files: int = 8
    ) -> None:
        self.sink, self.path, self.options, self.tags = sink, path, options, tags
        self.count = count
        filestore.OPEN_FILES = files
        importlib.import_module("zarr" if sink == "zarr" else "h5py")  # once, not in each child
        self.make = importlib.import_module(f"camagick.sink.{sink}").Processor

    def value(self, tag: str, seq: int) -> Any:
        """Return what a tag has in an iteration: all tags are told apart, and all iterations."""
        if tag.startswith("text"):
            return f"number {seq}"
        if tag.startswith("frame"):
            return np.full((300, 450), float(seq))  # one frame a chunk
        if tag.startswith("row"):
            return np.full(seq % 5 + 1, float(seq))
        if tag.startswith("image"):
            return np.full((90, 100), float(seq))  # a chunk of several frames
        return float(seq)


def write(job: Job, say: int, incarnation: int, start: int, rng: random.Random) -> None:
    """Do what the runtime does with a sink: calls, commits, acknowledgements."""
    node = job.make(job.path, **job.options)
    node.placement = Placement(run=RUN, number=ACTOR, incarnation=incarnation)
    asyncio.run(node.startup())
    texts: dict[int, list[str]] = {}
    left = rng.randint(1, 4)
    try:
        for seq in range(start, job.count):
            node.seq = seq
            data = Data({tag: job.value(tag, seq) for tag in job.tags})
            for tag in job.tags:
                data.describe(tag, {"timestamp": float(seq)})
            texts[seq] = list(node.process(data, Data({"n": seq, "odd": seq % 2})).values())
            left -= 1
            if left == 0:
                node.commit()
                left = rng.randint(1, 4)
                tell(say, texts, seq + 1)
    finally:
        asyncio.run(node.shutdown())
    tell(say, texts, job.count)


def tell(say: int, texts: dict[int, list[str]], acknowledged: int) -> None:
    os.write(say, json.dumps([acknowledged, texts]).encode() + b"\n")
    texts.clear()


def deadly(moment: int, share: float) -> Callable[[], int]:
    """Let this process be killed in its `moment`-th change of the disk, after a share of it."""
    done = 0

    def wrap(name: str, real: Any) -> Any:
        def call(*words: Any, **others: Any) -> Any:
            nonlocal done
            done += 1
            if done == moment:
                # A new file's few hundred bytes lie in one page, which a kill does not divide.
                if name == "pwrite" and share and os.fstat(words[0]).st_size:
                    data = memoryview(words[1])
                    real(words[0], data[: max(1, int(len(data) * share))], *words[2:])
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*words, **others)

        return call

    for name in CALLS:
        setattr(os, name, wrap(name, getattr(os, name)))
    return lambda: done


def in_child(work: Callable[[int], None]) -> tuple[int, int]:
    """Start `work` in a process of its own; return its number, and where it speaks."""
    hear, say = os.pipe()
    pid = os.fork()
    if pid == 0:
        leave(work, say)
    os.close(say)
    return pid, hear


def leave(work: Callable[[int], None], say: int) -> NoReturn:
    code = 1
    try:
        signal.alarm(int(DEADLINE))
        work(say)
        code = 0
    except BaseException:  # noqa: BLE001 - whatever it is, this process must end here
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def hear_all(hear: int) -> Iterator[Any]:
    with os.fdopen(hear, "rb") as stream:
        for line in stream:
            if line.endswith(b"\n"):
                yield json.loads(line)


def wait(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def attempt(
    job: Job, incarnation: int, start: int, seed: int, moment: int = 0, share: float = 0.0
) -> dict[str, Any]:
    """Let one writer work until it ends or is killed; tell what is known of it."""

    def work(say: int) -> None:
        if moment:
            deadly(moment, share)
        write(job, say, incarnation, start, random.Random(seed))

    pid, hear = in_child(work)
    said = list(hear_all(hear))
    return report(wait(pid), said, start)


def report(code: int, said: list[Any], start: int) -> dict[str, Any]:
    return {
        "killed": code == -signal.SIGKILL,
        "failed": code not in (0, -signal.SIGKILL),
        "acknowledged": max([start, *(upto for upto, _ in said)]),
        "texts": {int(seq): text for _, texts in said for seq, text in texts.items()},
    }


def read_hdf5(folder: str) -> dict[str, Any]:
    """Return what every data set of every file holds: the iteration that each frame is of."""
    import h5py

    found: dict[str, Any] = {}
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name)
        if os.path.getsize(path) == 0 or name.endswith(".partial"):
            continue  # killed before there was anything
        with h5py.File(path, "r", locking=False) as file:
            joined = "joined " if "caspy_roll" in file.attrs else ""
            for tag in file:
                # Parts of a rolled file have one behind the other.
                found.setdefault(joined + tag, []).extend(iterations(file[tag][...]))
        if shutil.which("h5ls"):
            subprocess.run(["h5ls", "-r", path], check=True, timeout=60, capture_output=True)
    return found


def iterations(frames: Any) -> list[int]:
    """Return the iteration that each frame is of."""
    if frames.dtype.kind == "O" and not isinstance(frames[0], np.ndarray):
        return [int(text.split()[1]) for text in frames]
    if frames.dtype.kind == "O":
        assert all(len(row) == row[0] % 5 + 1 and np.ptp(row) == 0 for row in frames)
        return [int(row[0]) for row in frames]
    assert np.ptp(frames.reshape(len(frames), -1), axis=1).max(initial=0) == 0
    numbers: list[int] = frames.reshape(len(frames), -1)[:, 0].astype(int).tolist()
    return numbers


def read_zarr(folder: str) -> dict[str, Any]:
    """Return the same for Zarr stores."""
    import zarr

    found: dict[str, Any] = {}
    for name in sorted(os.listdir(folder)):
        files = set(os.listdir(os.path.join(folder, name)))
        if not files & {"zarr.json", ".zgroup"}:
            continue  # killed before there was anything
        for tag, array in zarr.open_group(os.path.join(folder, name), mode="r").arrays():
            frames = np.asarray(array[...])
            if frames.dtype.kind in ("O", "T", "U"):
                found[tag] = [int(str(text).split()[1]) for text in frames]
            else:
                first = frames.reshape(len(frames), -1)[:, 0] if frames.size else frames
                found[tag] = first.astype(int).tolist()
    return found


def look(job: Job, folder: str) -> Any:
    """Let another process read everything; its error where it cannot."""

    def work(say: int) -> None:
        with os.fdopen(say, "w") as stream:
            try:
                json.dump((read_zarr if job.sink == "zarr" else read_hdf5)(folder), stream)
            except Exception as error:  # noqa: BLE001 - that is what is to be told
                stream.write(json.dumps(f"{type(error).__name__}: {error}"))

    pid, hear = in_child(work)
    with os.fdopen(hear) as stream:
        text = stream.read()
    wait(pid)
    return json.loads(text)


def examine(job: Job, folder: str) -> dict[str, Any]:
    """Let another process read everything: as it is, and a copy after its redo records are done.

    A copy, because a sink that is started again has to do that itself.
    """
    plain = look(job, folder)
    names = [name for name in sorted(os.listdir(folder)) if has_record(f"{folder}/{name}")]
    if not names:
        return {"plain": plain, "mended": [], "then": plain}
    copy = folder + ".copy"
    shutil.copytree(folder, copy)
    mended = [name for name in names if redo.recover(os.path.join(copy, name))]
    then = look(job, copy)
    shutil.rmtree(copy)
    return {"plain": plain, "mended": mended, "then": then}


def has_record(path: str) -> bool:
    """Tell whether a file ends in something that looks like a redo record."""
    if not os.path.isfile(path):
        return False
    with open(path, "rb") as stream:
        return redo._MAGIC in stream.read()[-64:]


def one_story(job: Job, folder: str, rng: random.Random, moment: int, share: float) -> Any:
    """Kill the first writer at `moment` and the second at random; let the third one end."""
    story: dict[str, Any] = {"moment": moment, "share": share, "attempts": [], "seen": []}
    start = 0
    for incarnation in (1, 2, 3):
        when = {1: moment, 2: rng.randint(1, 40), 3: 0}[incarnation]
        done = attempt(job, incarnation, start, rng.randrange(2**30), when, share)
        story["attempts"].append(done)
        story["seen"].append(examine(job, folder))
        if not done["killed"]:
            break
        # Whatever was acknowledged may be handed over again: the acknowledgement was late.
        start = max(0, done["acknowledged"] - rng.randint(0, 6))
    return story


def every_moment(job: Job, folder: str, seed: int, step: int = 1) -> None:
    """Kill a writer in each (or every `step`th) of its changes of the disk, one after the other."""
    rng = random.Random(seed)
    until = time.monotonic() + DEADLINE
    for moment in range(1, 10000, step):
        share = rng.choice([0.0, 0.5, 1.0])
        os.makedirs(folder)
        story = one_story(job, folder, rng, moment, share)
        shutil.rmtree(folder)
        print(json.dumps(story), flush=True)
        if not story["attempts"][0]["killed"]:
            return
        assert time.monotonic() < until, "deadline"


def any_moment(job: Job, folder: str, seed: int) -> None:
    """Kill writers from outside, whatever they are doing, until one has come to the end."""
    rng = random.Random(seed)
    os.makedirs(folder)
    start, incarnation = 0, 0
    killed = True
    until = time.monotonic() + DEADLINE
    while killed:
        incarnation += 1
        rounds = rng.randint(1, 40)
        begin, number, chance = start, incarnation, rng.randrange(2**30)

        def work(say: int) -> None:
            write(job, say, number, begin, random.Random(chance))  # noqa: B023 - done at once

        pid, hear = in_child(work)
        said = []
        for line in hear_all(hear):
            said.append(line)
            if len(said) == rounds:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        done = report(wait(pid), said, start)
        print(json.dumps({"attempts": [done], "seen": [examine(job, folder)]}), flush=True)
        killed = done["killed"]
        start = max(0, done["acknowledged"] - rng.randint(0, 6))
        assert time.monotonic() < until, "deadline"


def full_disk(job: Job, folder: str, seed: int, place: str) -> None:
    """Let the disk become full at many places, and go on when there is room again.

    `place` is 'limit' (no file may be larger than that) or the mount point of a small file system.
    """
    rng = random.Random(seed)
    for room in (*range(0, 20_000, 700), *range(20_000, 16 * 2**20, 777_777)):
        os.makedirs(folder)
        filler = os.path.join(os.path.dirname(folder), "filler")
        if place != "limit":
            with open(filler, "wb") as stream:
                space = os.statvfs(filler)
                os.posix_fallocate(stream.fileno(), 0, space.f_bavail * space.f_bsize - room)
        chance = rng.randrange(2**30)

        def work(say: int) -> None:
            if place == "limit":
                resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))  # noqa: B023 - at once
            try:
                write(job, say, 1, 0, random.Random(chance))  # noqa: B023 - done at once
            except CamagickError as error:
                os.write(say, json.dumps(str(error)).encode() + b"\n")

        pid, hear = in_child(work)
        said = list(hear_all(hear))
        errors = [line for line in said if isinstance(line, str)]
        done = report(wait(pid), [line for line in said if not isinstance(line, str)], 0)
        if place != "limit":
            os.unlink(filler)
        seen = examine(job, folder)
        start = max(0, done["acknowledged"] - rng.randint(0, 6))
        again = attempt(job, 2, start, 1)
        last = examine(job, folder)
        shutil.rmtree(folder)
        print(json.dumps({"attempts": [done, again], "seen": [seen, last], "errors": errors}))


if __name__ == "__main__":
    task = json.loads(sys.argv[1])
    if task.get("without_record"):  # what a test would look like without the redo record

        def at_once(fd: int, pieces: Any, length: int) -> None:
            redo._do(fd, pieces, length)

        redo.commit = at_once
    job = Job(**task["job"])
    if task["how"] == "every":
        every_moment(job, task["folder"], task["seed"], task.get("step", 1))
    elif task["how"] == "full":
        full_disk(job, task["folder"], task["seed"], task["place"])
    else:
        any_moment(job, task["folder"], task["seed"])
