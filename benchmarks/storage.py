"""What storing costs: our sinks, plain loops of h5py and zarr, and the single-process program.

    python benchmarks/storage.py [--quick] [--runs 5] [--peer PYTHON]

Iterations per second, medians of paired, interleaved runs, each in a folder that is removed. The
sinks are called in a loop, and told to commit every so many iterations, as an actor does it. CPU
seconds are those of the process that stores; on a machine with other work they are steadier. The
peer is the Python of an environment with `camagick==0.5.8` in it; its sink is called in a loop.
The first time that a machine touches memory for its page cache may cost ten times of what the
next one does: look at the spread of large frames.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from camagick.data import Data
from camagick.processor import Placement

if TYPE_CHECKING:
    from collections.abc import Callable

#: Rows of the raw loops: as many frames in a chunk as ours.
CHUNK, CHUNK_FRAMES = 2**20, 4096
DEADLINE_S = 300.0

#: Calls the peer's sink for each iteration; prints wall and CPU seconds.
PEER = """
import asyncio, json, sys, time
import numpy as np
from camagick.sink.hdf5 import Processor

async def main(path, shape, tags, count):
    value = np.random.rand(*shape) if shape else np.float64(1.0)
    sink = Processor(path + "#{tag}", index="n", mode="a+")
    await sink.startup()
    begin = None
    for n in range(count + 1):
        await sink(data={f"x{k}": value for k in range(tags)}, context={"n": n})
        begin = begin or (time.perf_counter(), time.process_time())
    await sink.shutdown()
    print(json.dumps([time.perf_counter() - begin[0], time.process_time() - begin[1]]))

path, shape, tags, count = json.loads(sys.argv[1])
asyncio.run(main(path, tuple(shape), tags, count))
"""


@dataclass(frozen=True)
class Work:
    """What is stored.

    Attributes
    ----------
    name
        For the table.
    shape
        Of each frame, float64; empty for a number.
    tags
        How many of them in each iteration.
    count
        Iterations of a run.
    """

    name: str
    shape: tuple[int, ...]
    tags: int
    count: int

    def value(self) -> Any:
        """Return a frame; random numbers, so that nothing gets smaller by compression."""
        return np.random.default_rng(1).random(self.shape) if self.shape else np.float64(1.0)


class Rate(NamedTuple):
    """Iterations per second of time, and of CPU time."""

    wall: float
    cpu: float


WORKS = (
    Work("numbers", (), 1, 8000),
    Work("10 numbers", (), 10, 1500),
    Work("2048 points", (2048,), 1, 4000),
    Work("1024 x 1024", (1024, 1024), 1, 60),
)


def timed(count: int, loop: Callable[[], None]) -> Rate:
    """Return how fast a loop of `count` iterations is."""
    wall, cpu = time.perf_counter(), time.process_time()
    loop()
    return Rate(count / (time.perf_counter() - wall), count / max(1e-9, time.process_time() - cpu))


def sink_rate(kind: str, work: Work, commit: int, **options: Any) -> Rate:
    """Measure a sink of ours: `kind` is 'hdf5' or 'zarr', `commit` iterations make a commit."""
    with tempfile.TemporaryDirectory() as folder:
        make = importlib.import_module(f"camagick.sink.{kind}").Processor
        node = make(f"{folder}/data#{{tag}}", **options)
        node.placement = Placement(run="0123456789abcdef", number=3, incarnation=1)
        asyncio.run(node.startup())
        value, tags = work.value(), [f"x{k}" for k in range(work.tags)]

        def store(first: int, last: int) -> None:
            for seq in range(first, last):
                node.seq = seq
                node.process(Data(dict.fromkeys(tags, value)), Data())
                if (seq + 1) % commit == 0:
                    node.commit()
            node.commit()

        store(0, 1)  # the library is loaded, the file is there
        rate = timed(work.count, lambda: store(1, work.count + 1))
        asyncio.run(node.shutdown())
    return rate


def raw_hdf5(work: Work) -> Rate:
    """Measure what people write with h5py: a row more, and its number into it."""
    import h5py

    with tempfile.TemporaryDirectory() as folder:
        value = np.asarray(work.value())
        file = h5py.File(f"{folder}/data", "w", libver=("earliest", "v108"))
        arrays = [
            file.create_dataset(
                f"x{k}", (0, *value.shape), value.dtype, maxshape=(None, *value.shape),
                chunks=(_rows(value), *value.shape),
            )
            for k in range(work.tags)
        ]  # fmt: skip

        def loop() -> None:
            for n in range(work.count):
                for array in arrays:
                    array.resize(n + 1, axis=0)
                    array[n] = value
            file.close()

        return timed(work.count, loop)


def raw_zarr(work: Work) -> Rate:
    """Measure what people write with zarr: appending a row, without compression."""
    import zarr

    with tempfile.TemporaryDirectory() as folder:
        value = np.asarray(work.value())
        group = zarr.open_group(f"{folder}/data", mode="w")
        arrays = [
            group.create_array(
                f"x{k}", shape=(0, *value.shape), dtype=value.dtype,
                chunks=(_rows(value), *value.shape), compressors=None,
            )
            for k in range(work.tags)
        ]  # fmt: skip

        def loop() -> None:
            for _ in range(work.count):
                for array in arrays:
                    array.append(value[np.newaxis])

        return timed(work.count, loop)


def _rows(value: Any) -> int:
    return int(max(1, min(CHUNK_FRAMES, CHUNK // value.nbytes)))


def peer_rate(python: str, work: Work) -> Rate:
    """Measure the HDF5 sink of the peer: `python` is that of its environment."""
    count = max(3, work.count // 50)
    with tempfile.TemporaryDirectory() as folder:
        words = json.dumps([f"{folder}/data.h5", work.shape, work.tags, count])
        environ = {key: text for key, text in os.environ.items() if key != "PYTHONPATH"}
        done = subprocess.run(
            [python, "-c", PEER, words], cwd=folder, env=environ,
            capture_output=True, text=True, check=True, timeout=DEADLINE_S,
        )  # fmt: skip
    wall, cpu = json.loads(done.stdout.splitlines()[-1])
    return Rate(count / wall, count / cpu)


def pipe_rate(kind: str, work: Work, *words: str) -> Rate:
    """Measure a whole run: a source of random numbers, and the sink, as two processes.

    Its start and its end are subtracted: a run of one iteration.
    """
    once = _run(kind, work, 1, words)
    many = max(3, 3 * work.count)
    wall, cpu = (b - a for a, b in zip(once, _run(kind, work, many, words), strict=True))
    return Rate(many / wall if wall > 0 else math.nan, many / cpu if cpu > 0 else math.nan)


def _run(kind: str, work: Work, count: int, words: tuple[str, ...]) -> tuple[float, float]:
    """Return the time and the CPU time that a run takes."""
    with tempfile.TemporaryDirectory() as folder:
        shape = ",".join(map(str, work.shape or (1,)))
        command = [sys.executable, "-m", "caspy", *words, "-count", str(count)]
        command += ["--from-scratch", "random", *(f"x{k}={shape}" for k in range(work.tags))]
        command += ["rate=1e9", f"--to-{kind}", f"{folder}/data#{{tag}}", "compression=none"]
        wall, cpu = time.perf_counter(), _cpu_of_children()
        subprocess.run(command, check=True, timeout=DEADLINE_S)
        return time.perf_counter() - wall, _cpu_of_children() - cpu


def _cpu_of_children() -> float:
    done = os.times()
    return done.children_user + done.children_system


def contenders(peer: str | None) -> dict[str, Callable[[Work], Rate]]:
    """Return what is compared, by name; the first is ours with commits as of a window of 8."""
    found: dict[str, Callable[[Work], Rate]] = {
        "hdf5, commits of 4": lambda work: sink_rate("hdf5", work, 4),
        "hdf5, commits of 32": lambda work: sink_rate("hdf5", work, 32),
        "h5py loop": raw_hdf5,
        "zarr, commits of 4": lambda work: sink_rate("zarr", work, 4, compression="none"),
        "zarr, commits of 32": lambda work: sink_rate("zarr", work, 32, compression="none"),
        "zarr loop": lambda work: raw_zarr(replace(work, count=max(3, work.count // 20))),
        "caspy, hdf5": lambda work: pipe_rate("hdf5", work),
    }
    if peer is not None:
        found["peer, hdf5"] = lambda work: peer_rate(peer, work)
    return found


#: What `--options` compares: those of the table in docs/storage.md.
OPTIONS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("hdf5", {}),
    ("hdf5", {"stamp": 1}),
    ("hdf5", {"swmr": 1}),
    ("hdf5", {"ragged": 1}),
    ("hdf5", {"roll": 1000}),
    ("hdf5", {"compression": "bitshuffle"}),
    ("hdf5", {"compression": "gzip"}),
    ("zarr", {"compression": "none"}),
    ("zarr", {}),
    ("zarr", {"format": 2}),
    ("zarr", {"chunks": 1, "shard": 16}),
)


def options() -> dict[str, Callable[[Work], Rate]]:
    """Return the sinks with their options, by name; the slow ones have less to do."""

    def rate(kind: str, chosen: dict[str, Any]) -> Callable[[Work], Rate]:
        slow = 10 if {"compression", "shard"} & chosen.keys() else 1
        return lambda work: sink_rate(
            kind, replace(work, count=max(3, work.count // slow)), 4, **chosen
        )

    return {
        " ".join((kind, *(f"{key}={value}" for key, value in chosen.items()))): rate(kind, chosen)
        for kind, chosen in OPTIONS
    }


def measure(
    works: tuple[Work, ...], runs: int, contending: dict[str, Callable[[Work], Rate]]
) -> list[dict[str, Any]]:
    """Run everything in turn, `runs` times; return one row for each work and contender."""
    rows = []
    for work in works:
        rates: dict[str, list[Rate]] = {}
        for _ in range(runs):
            for name, rate in contending.items():
                rates.setdefault(name, []).append(rate(work))
        for name, seen in rates.items():
            wall, cpu = [one.wall for one in seen], [one.cpu for one in seen]
            rows.append({
                "work": work.name, "what": name, "spread": [min(wall), max(wall)],
                "wall": statistics.median(wall), "cpu": statistics.median(cpu),
            })  # fmt: skip
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """Return the rows as Markdown."""
    lines = ["| stored | by | per second (spread) | per CPU second |", "|---|---|---|---|"]
    for row in rows:
        low, high = row["spread"]
        lines.append(
            f"| {row['work']} | {row['what']} | {row['wall']:.5g} ({low:.4g} .. {high:.4g}) |"
            f" {row['cpu']:.5g} |"
        )
    return "\n".join(lines)


def main(words: list[str] | None = None) -> int:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer iterations and runs")
    parser.add_argument("--runs", type=int, help="how often (5, quick: 3)")
    parser.add_argument("--scale", type=float, help="iterations, as a share (1, quick: 0.25)")
    parser.add_argument("--peer", help="Python of an environment with the peer in it")
    parser.add_argument("--options", action="store_true", help="our sinks, with their options")
    given = parser.parse_args(words)
    scale = given.scale or (0.25 if given.quick else 1.0)
    works = tuple(replace(work, count=max(3, int(work.count * scale))) for work in WORKS)
    peer = given.peer if given.peer and Path(given.peer).exists() else None
    contending = options() if given.options else contenders(peer)
    print(table(measure(works, given.runs or (3 if given.quick else 5), contending)))
    if peer is None and not given.options:
        print(f"not measured: the peer ({given.peer or 'no --peer given'})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
