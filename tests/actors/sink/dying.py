"""Sinks for CSV and TIFF, killed in each of their changes of the disk; a script.

It forks: every writer is a process that ends with SIGKILL, in the middle of a write or between two
calls, and the next one is handed what was not acknowledged. What is in the files is read by this
process. It prints one line of JSON for each moment of death.
"""

from __future__ import annotations

import asyncio
import csv
import glob
import importlib
import json
import os
import shutil
import signal
import sys
import tempfile
from typing import Any

import numpy as np
import tifffile

from camagick.data import Data
from camagick.processor import Placement

COUNT = 4
#: What may be interrupted; of a write, a part may be done.
CALLS = ("pwrite", "ftruncate", "posix_fallocate", "replace")


def make(kind: str, folder: str) -> Any:
    name = {"csv": "t.csv", "stack": "s.tif", "ome": "s.ome.tif", "files": "f-{seq}.tif"}[kind]
    module = importlib.import_module(f"camagick.sink.{'csv' if kind == 'csv' else 'tiff'}")
    return module.Processor(f"{folder}/{name}", **({"stamp": True} if kind == "csv" else {}))


def value(kind: str, seq: int) -> Any:
    return float(seq) if kind == "csv" else np.full((3, 50), seq, np.int32)


def deadly(moment: int, share: float) -> None:
    """Let this process be killed in its `moment`-th change of the disk, after a share of it."""
    done = 0

    def wrap(name: str, real: Any) -> Any:
        def call(*words: Any, **others: Any) -> Any:
            nonlocal done
            done += 1
            if done == moment:
                if name == "pwrite" and share and len(words[1]) > 64:
                    real(words[0], words[1][: int(len(words[1]) * share)], words[2])
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*words, **others)

        return call

    for name in CALLS:
        setattr(os, name, wrap(name, getattr(os, name)))


def write(kind: str, folder: str, start: int, say: int, incarnation: int) -> None:
    """Do what the runtime does with a sink."""
    node = make(kind, folder)
    node.placement = Placement(run="r", run_dir=f"{folder}/run", number=3, incarnation=incarnation)
    asyncio.run(node.startup())
    for seq in range(start, COUNT):
        node.seq = seq
        node.process(Data({"x": value(kind, seq)}), Data())
        if seq % 2:
            node.commit()
            os.write(say, bytes([seq + 1]))
    node.commit()
    asyncio.run(node.shutdown())
    os.write(say, bytes([COUNT]))


def life(kind: str, folder: str, start: int, incarnation: int, moment: int) -> tuple[int, bool]:
    """Return how far it was acknowledged, and whether it came to its end."""
    hear, say = os.pipe()
    child = os.fork()
    if not child:
        code = 1
        try:
            if moment:
                deadly(moment, 0.5 if moment % 4 < 2 else 0.0)
            write(kind, folder, start, say, incarnation)
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    os.close(say)
    told = os.read(hear, 100)
    os.close(hear)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return max(told, default=start), not os.WIFSIGNALED(status)


def seen(kind: str, folder: str) -> list[int]:
    """Return the iterations that are in the files."""
    if kind == "csv":
        path = f"{folder}/t.csv"
        if not os.path.exists(path):
            return []
        with open(path, newline="") as file:
            text = file.read()
        # A reader of a growing table leaves out a line without an end.
        rows = list(csv.DictReader(text[: text.rfind("\n") + 1].splitlines()))
        assert all(float(row["x"]) == int(row["iteration"]) for row in rows)
        return [int(row["iteration"]) for row in rows]
    if kind == "files":
        names = glob.glob(f"{folder}/*.tif")
        return sorted(int(tifffile.imread(name)[0, 0]) for name in names)
    found = glob.glob(f"{folder}/s*.tif")
    if not found or not os.path.getsize(found[0]):
        return []
    with tifffile.TiffFile(found[0]) as tiff:
        return [int(page.asarray()[0, 0]) for page in tiff.pages]


def story(kind: str, folder: str, moment: int) -> dict[str, Any]:
    os.makedirs(f"{folder}/run")
    acknowledged, over = life(kind, folder, 0, 1, moment)
    after = seen(kind, folder)
    if not over:
        _, over = life(kind, folder, acknowledged, 2, 0)
    return {"acknowledged": acknowledged, "seen": after, "end": seen(kind, folder), "over": over}


def main(kind: str) -> None:
    # Many changes make a page: every other one is as good as each.
    step = 2 if kind == "ome" else 1
    moment = 0
    while True:
        moment += step
        folder = tempfile.mkdtemp()
        try:
            told = story(kind, folder, moment)
        finally:
            shutil.rmtree(folder)
        sys.stdout.write(json.dumps(told) + "\n")
        if told["acknowledged"] == COUNT:
            return


if __name__ == "__main__":
    main(sys.argv[1])
