"""Chains of processes on raw ZeroMQ: started, and ended, together."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.processes import ROOT, Rows, environment, running

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

SCRIPT = ROOT / "benchmarks/stages/rawzmq.py"

# A process that receives large frames keeps the memory of the last one: no page faults.
TUNED = {
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 31),
    "MALLOC_TOP_PAD_": str(1 << 26),
}


@contextlib.contextmanager
def raw(
    works: Sequence[str], shape: Sequence[int], *more: str, env: Mapping[str, str] | None = None
) -> Iterator[tuple[Rows, list[int]]]:
    """Run a source, a process for each work, and a sink.

    Yields
    ------
    Rows
        The lines of the sink.
    list of int
        Process numbers.
    """
    common = ["--shape", *map(str, shape), *more]
    environ, program = environment(**(env or {})), [sys.executable, str(SCRIPT)]
    with tempfile.TemporaryDirectory(prefix="bench") as folder, contextlib.ExitStack() as stack:
        urls = [f"ipc://{Path(folder)}/{number}" for number in range(len(works) + 1)]
        commands = [["source", "--output", urls[0]]]
        for number, work in enumerate(works):
            edge = ["--input", urls[number], "--output", urls[number + 1]]
            commands.append(["pipe", *edge, "--work", work])
        commands.append(["sink", "--input", urls[-1]])
        processes = [
            stack.enter_context(running([*program, *words, *common], environ, at_once=True))
            for words in commands
        ]
        output = processes[-1].stdout
        if output is None:
            raise RuntimeError("no output")
        yield Rows(output.fileno()), [process.pid for process in processes]
