"""The benchmarks run; how fast is for a quiet machine, not for a test."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

RUN = Path(__file__).parents[1] / "benchmarks/run.py"


def test_the_benchmark_runs() -> None:
    done = subprocess.run(
        [sys.executable, RUN, "--runs", "1", "--lines", "20", "--peer", "none"],
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "start of a five-actor pipe" in done.stdout
    assert "not run" in done.stdout
