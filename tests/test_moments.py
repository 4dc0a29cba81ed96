"""Which value belongs to an iteration: the walks of the loop contract, against a C IOC."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.servers.ioc import SoftIoc, ca_env, camonitor, caput, full, until

if TYPE_CHECKING:
    from collections.abc import Iterator

CASPY = Path(sys.executable).with_name("caspy")
DEADLINE_S = 30.0

#: `slow` shows what `fast` was when it happened.
DATABASE = """
record(calc, "$(P)fast") { field(INPA, "$(P)fast NPP") field(CALC, "A+1") field(SCAN, ".1 second") }
record(calc, "$(P)slow") { field(INPA, "$(P)fast NPP") field(CALC, "A") field(SCAN, "1 second") }
record(ao, "$(P)x") { field(VAL, "0") field(PINI, "YES") }
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SoftIoc]:
    with ca_env() as env:
        softioc = SoftIoc(env, DATABASE, tmp_path)
        softioc.start()
        yield softioc
        softioc.kill()


@pytest.fixture
def env(server: SoftIoc) -> Iterator[dict[str, str]]:
    with ca_env(int(server.env["EPICS_CAS_SERVER_PORT"])) as ca:
        yield {**full(ca), "XDG_RUNTIME_DIR": os.environ["XDG_RUNTIME_DIR"]}


@contextmanager
def caspy(line: str, env: dict[str, str], out: Path) -> Iterator[None]:
    with out.open("w") as file:
        process = subprocess.Popen([CASPY, *line.split()], env=env, stdout=file)
    try:
        yield
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(DEADLINE_S) == 0


def rows(out: Path) -> list[list[float]]:
    lines = [line for line in out.read_text().splitlines() if not line.startswith("#")]
    return [[float(value) for value in line.split("\t")] for line in lines]


def has_rows(out: Path, count: int) -> bool:
    return len(rows(out)) >= count


def test_a_source_in_front_of_a_gate_is_read_when_the_iteration_before_has_left_it(
    server: SoftIoc, env: dict[str, str], tmp_path: Path
) -> None:
    """The scan number belongs to the frame that is waited for, never to one eight frames ahead."""
    out = tmp_path / "out"
    line = """--from-ioc scan=scan(0) prefix=TEST: hang=False --demote scan
              --from-epics TEST:x --promote --to-summary mode=table"""
    with caspy(line, env, out):
        until(partial(has_rows, out, 1), "the first row")
        server.put("x", 1)
        until(partial(has_rows, out, 2), "the second row")
        until(lambda: caput(env, "TEST:scan", "5").returncode == 0, "the scan number")
        for value in (2, 3):
            server.put("x", value)
            until(partial(has_rows, out, value + 1), "another row")
    # The wait for x=2 had begun, and the scan number been read, when the scan number changed.
    assert rows(out) == [[0, 0], [1, 0], [2, 0], [3, 5]]


def test_sources_side_by_side_give_values_of_one_moment(
    env: dict[str, str], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    line = "{ --from-epics TEST:slow --from-epics TEST:fast } --to-summary mode=table"
    with caspy(line, env, out):
        until(partial(has_rows, out, 6), "rows")
    for slow, fast in rows(out)[1:]:
        assert 0 <= fast - slow <= 3, "a value of long ago"


def test_behind_a_pace_comes_the_newest_value(env: dict[str, str], tmp_path: Path) -> None:
    line = "--from-epics TEST:fast --pace Hz=1 --to-ioc prefix=OUT:"
    with (
        caspy(line, env, tmp_path / "out"),
        camonitor(env, "TEST:fast", "OUT:TEST_fast") as monitor,
    ):
        until(lambda: sum("OUT:" in text for text in monitor.lines()) >= 5, "updates")
        newest, lags = 0.0, []
        for text in monitor.lines():
            value = float(text.split()[3])
            if text.startswith("OUT:"):
                lags.append(newest - value)
            else:
                newest = value
    # A period is ten values; a queue of iterations in front of the pace would make it eighty.
    assert max(lags[1:]) <= 15
