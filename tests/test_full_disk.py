"""A disk that is full under a running sink: a clear error, a whole file, and then as asked."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.chaos import compare, read_hdf5, read_zarr
from tests.launch.test_supervisor import DEADLINE_S, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

COUNT = 300
SOURCE = ["-count", str(COUNT), "--from-scratch", "counter", "x=8192", "rate=0"]  # 64 KiB each
#: Runs the words in a folder of 24 MB that nobody else sees, and copies what they leave in it.
SMALL = """
mount -t tmpfs -o size=24m none "$0/small" && cd "$0/small" || exit 99
[ -z "$BALLAST" ] || head -c 20M /dev/zero > ballast
"$@"; code=$?
rm -f ballast; cp -r . "$0/kept"; exit $code
"""


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    probe = ["unshare", "-rm", "sh", "-c", "mount -t tmpfs none /mnt"]
    if shutil.which("unshare") is None or subprocess.run(probe, check=False).returncode:
        pytest.skip("no file system of one's own can be mounted here")
    for name in ("small", "kept"):
        (tmp_path / name).mkdir()
    processes = []

    def start(*words: str, ballast: bool = False) -> subprocess.Popen[bytes]:
        with (tmp_path / "log").open("wb") as log:
            command = ["unshare", "-rm", "sh", "-c", SMALL, str(tmp_path), sys.executable]
            env = {**os.environ, "BALLAST": "yes" if ballast else ""}
            process = subprocess.Popen([*command, "-m", "caspy", *words], stderr=log, env=env)
        processes.append(process)
        return process

    yield start
    for process in processes:
        assert process.poll() is not None


SINKS = {"hdf5": ("run.h5", read_hdf5), "zarr": ("run.zarr", read_zarr)}


@pytest.mark.parametrize("sink", SINKS)
def test_the_run_ends_with_a_clear_error_and_a_whole_file(
    start: Callable[..., subprocess.Popen[bytes]], tmp_path: Path, sink: str
) -> None:
    name, read = SINKS[sink]
    process = start(*SOURCE, f"--to-{sink}", f"{name}#{{tag}}", "compression=none", ballast=True)
    assert process.wait(DEADLINE_S) == 1
    log = (tmp_path / "log").read_text()
    assert "No space left on device" in log
    assert name in log
    assert "Traceback" not in log
    found = read(tmp_path / "kept" / name)["x"]
    assert 0 < len(found) < COUNT
    assert compare(found, 1, len(found)) == ""


@pytest.mark.parametrize("sink", SINKS)
def test_or_goes_on_when_there_is_room_again(
    start: Callable[..., subprocess.Popen[bytes]], tmp_path: Path, sink: str
) -> None:
    name, read = SINKS[sink]
    words = ["-on-error", "restart", *SOURCE, f"--to-{sink}", f"{name}#{{tag}}", "compression=none"]
    process = start(*words, ballast=True)
    try:
        log = tmp_path / "log"
        wait_for(lambda: log.read_text().count("No space left on device") > 4, "a full disk")
        assert process.poll() is None
        os.unlink(f"/proc/{process.pid}/root{tmp_path}/small/ballast")
        assert process.wait(DEADLINE_S) == 0
    finally:
        process.kill()
        process.wait()
    assert compare(read(tmp_path / "kept" / name)["x"], 1, COUNT) == ""
