"""The benchmarks of many hosts run; how fast is for a quiet machine, not for a test."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks.measure import OURS
from tests.servers import hosts

if TYPE_CHECKING:
    from pathlib import Path


def bench(name: str, results: Path, *words: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", *words, "--results", str(results)],
        cwd=hosts.ROOT, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads((results / f"{name}.json").read_text())
    return found


def test_the_control_plane(tmp_path: Path) -> None:
    """Every simulated actor starts, is known with its figures, and ends."""
    found = bench("control", tmp_path, "--actors", "12", "--hosts", "3", "--seconds", "0.2")
    assert (found["actors"], found["hosts"], found["known"]) == (12, 3, 12)


@pytest.mark.long
def test_network_hops(tmp_path: Path) -> None:
    """Ours and every peer, over two hops."""
    if reason := hosts.missing():
        pytest.skip(reason)
    found = bench("hosts", tmp_path, "--smoke", "--hops", "2", "--sizes", "16e3")
    (result,) = found["results"]
    assert not result["missing"]
    assert len(result["figures"]) == 4
    assert OURS in result["figures"]
