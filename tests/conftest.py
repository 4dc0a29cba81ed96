"""What holds for every test: nothing is left behind, and no ERROR goes unnoticed."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Iterator

# New examples are for whoever works on the code; what was submitted is checked with the same ones
# each time. A slow machine is no failure.
settings.register_profile("ci", derandomize=True, deadline=None)
if os.environ.get("CI"):
    settings.load_profile("ci")

# A shell without job control starts what is behind its & with SIGINT ignored, and so would be all
# that the tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _own_runtime_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every test has buses of its own, and leaves no socket of them."""
    # Short, because the path of a unix socket is limited, and pytest's are long.
    folder = Path(f"/tmp/cy{os.getpid()}.{time.monotonic_ns() % 1_000_000}")
    folder.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    yield
    left = [path for path in folder.rglob("*") if path != folder / "caspy"]
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    folder.rmdir()
    assert not left, f"left behind: {left}"


@pytest.fixture(autouse=True)
def _no_process_left() -> Iterator[None]:
    """No child of the test may outlive it."""
    before = {process.pid for process in psutil.Process().children(recursive=True)}
    yield
    deadline = time.monotonic() + 5
    while left := [process for process in _living_children() if process.pid not in before]:
        if time.monotonic() > deadline:
            names = [process.name() for process in left]
            for process in left:
                process.kill()
            pytest.fail(f"processes left behind: {names}")
        psutil.wait_procs(left, timeout=0.1)


def _living_children() -> list[psutil.Process]:
    living = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.status() != psutil.STATUS_ZOMBIE:
                living.append(process)
    return living


@pytest.fixture(autouse=True)
def _no_error_logged(
    request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
) -> Iterator[None]:
    """An ERROR in the log fails the test, unless it is marked with ``errors_expected``."""
    yield
    if request.node.get_closest_marker("errors_expected"):
        return
    errors = [
        record.getMessage()
        for when in ("setup", "call")
        for record in caplog.get_records(when)
        if record.levelno >= logging.ERROR
    ]
    assert not errors, f"errors in the log: {errors}"
