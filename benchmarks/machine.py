"""What machine it was."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

from benchmarks.processes import ROOT

_PACKAGES = ("numpy", "pyzmq", "msgpack", "h5py", "zarr", "caproto")


def describe() -> dict[str, str]:
    """Return what figures depend on, as a dictionary of texts."""
    import zmq

    return {
        "processor": _field("/proc/cpuinfo", "model name"),
        "cores": f"{len(os.sched_getaffinity(0))} of {os.cpu_count()}",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "libzmq": zmq.zmq_version(),
        **{name: version for name in _PACKAGES if (version := _version(name))},
        "caspy": _commit(),
        "load before": " ".join(f"{load:.1f}" for load in os.getloadavg()),
    }


def line(machine: dict[str, str]) -> str:
    """Return the description in one line."""
    return ", ".join(f"{name} {text}" for name, text in machine.items())


def _field(path: str, name: str) -> str:
    for text in Path(path).read_text().splitlines():
        if text.startswith(name):
            return text.split(":", 1)[1].strip()
    return platform.machine()


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _commit() -> str:
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except OSError:
        return "unknown"
    return done.stdout.strip() or "unknown"
