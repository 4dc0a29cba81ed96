"""A sink that writes down all it is given, and a runner of flows that says what came out.

Run as a script it takes JSON lines ``{"words": [...], "count": N}`` and answers each with what the
recorders wrote when the flow ran in one process, and when it ran on the bus. It is a process of its
own because a bus is forked, which a test runner with threads must not do.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from camagick.processor import ProcessorBase, Result, Role

if TYPE_CHECKING:
    from camagick.data import Data


class Recorder(ProcessorBase):
    """Write down everything."""

    role: Role = "sink"
    folder = Path(tempfile.gettempdir())

    def __init__(self, name: str = "out") -> None:
        self._file = self.folder / name

    def process(self, data: Data, context: Data) -> Result:
        row = [_plain(data), _plain(context)]
        with self._file.open("a") as file:
            file.write(json.dumps(row) + "\n")
        return None


def _plain(data: Data) -> list[Any]:
    return [[tag, _value(value), dict(data.attributes(tag))] for tag, value in data.items()]


def _value(value: Any) -> Any:
    if isinstance(value, (np.ndarray, np.generic)):
        return [type(value).__name__, str(value.dtype), np.asarray(value).tolist()]
    if isinstance(value, tuple):
        return ["tuple", [_value(item) for item in value]]
    return [type(value).__name__, value]


def flow_of(words: list[str]) -> Any:
    """Return the flow object of a command line without launcher's options."""
    from caspy.build import build
    from caspy.parse import parse
    from caspy.words import sort

    parsed = parse(sort(words).words)
    assert not parsed.problems, parsed.problems
    built = build(parsed.pipes)
    assert not built.problems, built.problems
    return built.flows[0]


def outcome(folder: Path, work: Any) -> dict[str, Any]:
    """Run `work`, and return what the recorders wrote, and whether it failed."""
    Recorder.folder = folder
    failed = False
    try:
        asyncio.run(work)
    except Exception:  # noqa: BLE001 - whatever it is, both ways have to agree that there is one
        failed = True
    written = {file.name: file.read_text().splitlines() for file in sorted(folder.iterdir())}
    return {"failed": failed, "written": written}


def main() -> None:
    """Answer requests until standard input ends."""
    import caspy
    from camagick.executor import PipeExecutor

    for line in sys.stdin:
        request = json.loads(line)
        words, count = request["words"], request["count"]
        answer = {}
        for name in ("process", "bus"):
            with tempfile.TemporaryDirectory() as folder:
                Recorder.folder = Path(folder)
                flow = flow_of(words)
                if name == "process":
                    work: Any = PipeExecutor(flow).run(count)
                else:
                    work = caspy.run(flow, count=count, window=request.get("window", 8))
                answer[name] = outcome(Path(folder), work)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    sys.modules["tests_recorder"] = sys.modules["__main__"]
    main()
