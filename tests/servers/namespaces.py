"""Network namespaces of this test run: made by name, and removed with all that runs in them."""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

DEADLINE_S = 20.0
_NAMESPACES, _FOLDERS = Path("/run/netns"), Path("/tmp")  # short, because sockets are in there
_OURS = re.compile(r"caspy-(\d+)-\d+(-[\w-]+)?")
_PR_SET_PDEATHSIG = 1
_serial = itertools.count()


def new_folder() -> Path:
    """Make a folder; namespaces with names that begin like its name belong to this test run."""
    folder = _FOLDERS / f"caspy-{os.getpid()}-{next(_serial)}"
    folder.mkdir(mode=0o700)
    return folder


def missing(programs: Sequence[str]) -> str:
    """Return why there can be no namespaces here, or which program is missing; '' if none is."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    for program in ("ip", "unshare", *programs):
        if shutil.which(program) is None:
            return f"there is no {program} (Debian: iproute2, util-linux, openssh-server)"
    trial = subprocess.run(
        ["unshare", "--net", "--uts", "--mount", "true"], capture_output=True, text=True,
        timeout=DEADLINE_S, check=False,
    )  # fmt: skip
    return f"no network namespaces: {trial.stderr.strip()}" if trial.returncode else ""


def sweep() -> None:
    """Remove the hosts of test runs that were killed."""
    for path in [*_NAMESPACES.glob("caspy-*"), *_FOLDERS.glob("caspy-*")]:
        found = _OURS.fullmatch(path.name)
        if found is None or Path(f"/proc/{found[1]}").exists():
            continue
        if path.parent == _NAMESPACES:
            remove(path.name)
        else:
            shutil.rmtree(path, ignore_errors=True)  # another test run may be at it, too


def remove(namespace: str) -> None:
    if (_NAMESPACES / namespace).exists():
        kill(namespace)
        call("ip", "netns", "del", namespace, check=False)


def kill(namespace: str) -> None:
    """Kill every process of a namespace, and wait until they are gone."""
    deadline = time.monotonic() + DEADLINE_S
    while left := processes(namespace):
        assert time.monotonic() < deadline, f"cannot kill {left} in {namespace}"
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)


def processes(namespace: str) -> list[int]:
    """Return the processes of a namespace that have not ended."""
    done = subprocess.run(
        ["ip", "netns", "pids", namespace], capture_output=True, text=True, timeout=DEADLINE_S,
        check=False,
    )  # fmt: skip
    return [int(word) for word in done.stdout.split()]


def call(*words: str | os.PathLike[str], check: bool = True, **options: Any) -> None:
    done = subprocess.run(
        words, capture_output=True, text=True, timeout=DEADLINE_S, check=False, **options
    )
    assert not check or done.returncode == 0, f"{words}: {done.stderr}"


def die_with_us() -> None:
    """In a child: end with the test run, whatever becomes of it."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
