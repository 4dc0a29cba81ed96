"""Frames and numbers into HDF5: a whole run, against a plain loop of h5py and the reference."""

from __future__ import annotations

import functools
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import peers
from benchmarks.measure import OURS, Budget, Contender, Figure, Goal, Unavailable, Work
from benchmarks.pipes import REFERENCE
from benchmarks.processes import CASPY, ROOT, environment, peer_environment, rate_of

if TYPE_CHECKING:
    from collections.abc import Callable

H5PY = "h5py loop"
_SECONDS = 1.0  # 8 MB each: more of them fill disks, and the caches before these
FRAMES = "--from-scratch ones x={0} rate=1e9 --reshape {1} {1} --to-hdf5 {2} --to-summary"
NUMBERS = "--from-scratch random x=1 rate=1e9 --to-hdf5 {} --to-summary"


def works(budget: Budget) -> list[Work]:
    """Return both works. What the sink hands on is printed: a line for each frame stored."""
    side = 64 if budget.small else 1024
    frames = functools.partial(FRAMES.format, side * side, side)
    return [
        Work(
            "store-frames", f"{side} x {side} float64 into HDF5, uncompressed", "frames/s",
            (
                Contender(OURS, functools.partial(ours, frames)),
                Contender(H5PY, functools.partial(h5py_loop, (side, side))),
                Contender(REFERENCE, functools.partial(reference, side)),
            ),
            (Goal(0.8, H5PY),),
        ),
        Work(
            "store-numbers", "numbers into HDF5", "appends/s",
            (
                Contender(OURS, functools.partial(ours, NUMBERS.format)),
                Contender(REFERENCE, functools.partial(reference, 1)),
                Contender(H5PY, functools.partial(h5py_loop, (1,))),
            ),
            (Goal(5000.0), Goal(10.0, REFERENCE)),
        ),
    ]  # fmt: skip


def ours(pipe: Callable[[str], str], budget: Budget) -> Figure:
    """Return the frames a second that a run of ours stores."""
    with tempfile.TemporaryDirectory(prefix="bench") as folder:
        words = pipe(f"{folder}/data.h5#{{tag}}").split()
        return rate_of([*CASPY, *words], environment(), _short(budget))


def reference(side: int, budget: Budget) -> Figure:
    """Return the frames a second that the reference stores."""
    python = str(peers.folder(peers.REFERENCE) / "python")
    script = str(ROOT / "benchmarks/stages/reference_store.py")
    with tempfile.TemporaryDirectory(prefix="bench") as folder:
        command = [python, script, f"{folder}/data.h5", str(side)]
        return rate_of(command, peer_environment(), _short(budget))


def h5py_loop(shape: tuple[int, ...], budget: Budget) -> Figure:
    """Return the frames a second of a loop that makes room for one more, and writes it."""
    try:
        import h5py
    except ImportError:
        raise Unavailable("h5py is not installed") from None
    value = np.ones(shape)
    rows = max(1, min(4096, 2**20 // value.nbytes))
    with (
        tempfile.TemporaryDirectory(prefix="bench") as folder,
        h5py.File(Path(folder) / "data.h5", "w", libver=("earliest", "v110")) as file,
    ):
        array = file.create_dataset(
            "x", (0, *shape), value.dtype, maxshape=(None, *shape), chunks=(rows, *shape)
        )
        return _looped(array, value, _short(budget).seconds)


def _looped(array: Any, value: Any, seconds: float) -> Figure:
    count, begin, cpu = 0, time.perf_counter(), time.process_time()
    while (now := time.perf_counter()) < begin + seconds or not count:
        array.resize(count + 1, axis=0)
        array[count] = value
        count += 1
    return Figure(count / (now - begin), (time.process_time() - cpu) / count * 1e6)


def _short(budget: Budget) -> Budget:
    return replace(budget, seconds=min(budget.seconds, _SECONDS))
