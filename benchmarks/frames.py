"""Frames of 32 MB through several actors: against raw ZeroMQ, pvapy, dora, and one memory copy."""

from __future__ import annotations

import functools
import itertools
import resource
import time
from typing import TYPE_CHECKING

import numpy as np

from benchmarks import chains, dora, pvapy
from benchmarks.measure import OURS, Budget, Contender, Figure, Goal, Work
from benchmarks.pipes import ours

if TYPE_CHECKING:
    from collections.abc import Mapping

SIDE = 2048  # doubles: 32 MiB
RAW, TUNED, COPY = "raw ZeroMQ ipc", "raw ZeroMQ ipc, tuned malloc", "one memory copy"
PVAPY, DORA = "pvapy hpc consumers", "dora-rs"

_SOURCE = "--from-scratch ones a={0},{0} rate=1e9"
# All of it is contiguous, so that raw ZeroMQ can send it without a copy, too.
VIEWS = _SOURCE + " --reshape {1} {2} --slice 1:-1 : --rename {{}}_v --to-summary"
NEW = _SOURCE + " --npfun negative --npfun negative --to-summary"


def works(budget: Budget) -> list[Work]:
    """Return both works."""
    side = 64 if budget.small else SIDE
    what = f"{side * side * 8 / 2**20:.3g} MB frames"
    views, new = (pipe.format(side, side // 2, side * 2).split() for pipe in (VIEWS, NEW))
    through, made = ("reshape", "slice", "same"), ("new", "new")
    return [
        Work(
            "views", f"{what}, 5 actors, views only", "frames/s",
            (
                Contender(OURS, functools.partial(ours, views)),
                *_peers(side, through),
                Contender(PVAPY, functools.partial(pvapy.frames, side, 4, "same"), slow=True),
                Contender(DORA, functools.partial(dora.frames, side * side, 4, "same"), slow=True),
                Contender(COPY, functools.partial(memory_copies, side)),
            ),
            (Goal(20.0, RAW), Goal(0.6, COPY)),
        ),
        Work(
            "new", f"{what}, 3 actors that make a new array, and a sink", "frames/s",
            (
                Contender(OURS, functools.partial(ours, new)),
                *_peers(side, made),
                Contender(PVAPY, functools.partial(pvapy.frames, side, 3, "new"), slow=True),
                Contender(DORA, functools.partial(dora.frames, side * side, 3, "new"), slow=True),
                Contender(COPY, functools.partial(memory_copies, side)),
            ),
            (Goal(5.0, RAW),),
        ),
    ]  # fmt: skip


def _peers(side: int, stages: tuple[str, ...]) -> list[Contender]:
    plain = Contender(RAW, functools.partial(raw, side, stages, {}))
    tuned = Contender(TUNED, functools.partial(raw, side, stages, chains.TUNED))
    return [plain, tuned] if side == SIDE else [plain]


def raw(side: int, stages: tuple[str, ...], env: Mapping[str, str], budget: Budget) -> Figure:
    """Return the frames a second of a chain on raw ZeroMQ."""
    with chains.raw(stages, (side, side), "--hwm", "8", env=env) as (rows, pids):
        return rows.rate(budget.seconds, budget.warm_s, *pids)


def memory_copies(side: int, budget: Budget) -> Figure:
    """Return how often a second a frame can be copied, each time to and from another buffer."""
    frames = [np.ones((side, side)) for _ in range(16)]  # more than the caches hold
    pairs = itertools.cycle(zip(frames[:8], frames[8:], strict=True))
    for source, target in itertools.islice(pairs, 8):
        np.copyto(target, source)
    count, begin, cpu = 0, time.perf_counter(), _cpu()
    while (now := time.perf_counter()) < begin + min(budget.seconds, 0.5) or not count:
        np.copyto(*next(pairs)[::-1])
        count += 1
    return Figure(count / (now - begin), (_cpu() - cpu) / count * 1e6)


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
