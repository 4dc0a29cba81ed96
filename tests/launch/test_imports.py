"""Asking for help is fast: nothing heavy is imported for it."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys

import pytest

HEAVY = {
    "asyncio", "caproto", "h5py", "matplotlib", "msgpack", "multiprocessing", "numpy", "PySide6",
    "tango", "yaml", "zarr", "zmq", "camagick.processor", "caspy.plan", "caspy.supervisor",
    "caspy.yamlfile",
}  # fmt: skip

RUN = """
import json, sys
from caspy.cli import main
code = main(sys.argv[1:])
print(json.dumps([code, sorted(sys.modules)]), file=sys.stderr)
"""


def run(*words: str) -> tuple[int, set[str]]:
    done = subprocess.run(
        [sys.executable, "-c", RUN, *words], capture_output=True, text=True, check=True, timeout=60
    )
    code, modules = json.loads(done.stderr.splitlines()[-1])
    assert done.stdout
    return code, set(modules)


@pytest.mark.parametrize(
    ("words", "code"), [(["-h"], 0), (["-version"], 0), (["-list-all"], 0), ([], 2)], ids=repr
)
def test_help_imports_nothing_heavy(words, code):
    found, modules = run(*words)
    assert found == code
    assert modules & HEAVY == set()


def test_importing_the_package_imports_nothing():
    text = (
        "import sys, caspy; print([m for m in sys.modules if m.startswith(('caspy.', 'camagick'))])"
    )
    done = subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


def test_help_of_one_processor_imports_that_one_only():
    code, modules = run("--sum", "?")
    assert code == 0
    assert "camagick.pipe.sum" in modules
    assert not any(name.startswith(("camagick.source.", "camagick.sink.")) for name in modules)
    assert not modules & {"zmq", "h5py", "caproto", "yaml"}


def test_help_takes_little_time():
    """0.3 s of processor time, the best of three: a busy machine must not fail the test."""

    def seconds() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [sys.executable, "-m", "caspy", "-h"],
            stdout=subprocess.DEVNULL, check=True, timeout=60, env=os.environ,
        )  # fmt: skip
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(seconds() for _ in range(3)) < 0.3
