"""What tests of killed sinks have in common: they start `killed.py`, and judge what it saw."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).with_name("killed.py")


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


def check(story: Any, job: Any) -> None:
    """Fail unless every committed frame was there after each death, in order, once."""
    acknowledged = 0
    for attempt, seen in zip(story["attempts"], story["seen"], strict=True):
        assert not attempt["failed"]
        acknowledged = max(acknowledged, attempt["acknowledged"])
        if not seen["mended"]:
            _check_seen(seen["plain"], arrays(job), acknowledged)
        _check_seen(seen["then"], arrays(job), acknowledged)
    _check_texts(story, job)


def arrays(job: Any) -> list[str]:
    """Return the names of the arrays that a job fills."""
    stamps = [f"{tag}_timestamp" for tag in job["tags"]] if job["options"].get("stamp") else []
    return [*job["tags"], *stamps]


def check_end(story: Any, job: Any) -> None:
    """Fail unless the last writer has come to the end, and every frame is there."""
    names = arrays(job)
    if "roll" in job["options"]:
        names += [f"joined {name}" for name in names]
    assert story["seen"][-1]["then"] == {name: list(range(job["count"])) for name in names}


def _check_seen(seen: Any, tags: list[str], acknowledged: int) -> None:
    assert isinstance(seen, dict), seen  # otherwise: why it could not be read
    for tag in tags:
        frames = seen.get(tag, [])
        assert frames == list(range(len(frames))), tag
        assert len(frames) >= acknowledged, tag


def _check_texts(story: Any, job: Any) -> None:
    """A sink says the same of a frame that it has stored in an earlier life."""
    roll = job["options"].get("roll")
    for attempt in story["attempts"]:
        for seq, texts in attempt["texts"].items():
            part, frame = divmod(int(seq), roll) if roll else (0, int(seq))
            assert [text.rpartition("[")[2] for text in texts] == [f"{frame}]"] * len(job["tags"])
            assert not roll or all(f"-{part + 1:05d}.h5#" in text for text in texts)
