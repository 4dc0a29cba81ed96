"""A bridge between an IOC and a Tango device, both real, both killed again and again under load.

Each direction also writes what it has accepted into a table of its own; and both servers keep a
record, which outlives them, of what they were told.
"""

from __future__ import annotations

import csv
import re
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.servers import tango
from tests.servers.fastioc import FastIoc
from tests.servers.ioc import ca_env, until
from tests.test_epics_runs import Run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.servers.tango import Lab

lab = tango.lab
ROUNDS = 10
LOST = "device lost|PV disconnected"
DEVICE = "test/bridge/1"
#: `set` counts at 100 Hz, in each life of the IOC from another number on; `rbv` is written to.
DB = """
record(calc, "$(P)set") { field(VAL, "$(BASE)") field(INPA, "$(P)set NPP") field(CALC, "A+1")
                          field(SCAN, ".01 second") }
record(longout, "$(P)rbv") { field(FLNK, "$(P)told") }
record(printf, "$(P)told") { field(DTYP, "stdio") field(OUT, "@stderr") field(FMT, "told %d")
                             field(INP0, "$(P)rbv") }
"""
LIFE = 1_000_000


def bridge(folder: Path) -> list[str]:
    """Return the command line."""
    read, written = (["--to-csv", str(folder / name)] for name in ("read.csv", "set.csv"))
    return [
        *("--from-tango", DEVICE, "x=polled", "mode=event"),
        *("{", *read, "--to-epics", "x=TEST:rbv", "timeout=60", "}", ","),
        *("--from-epics", "v=TEST:set"),
        *("{", *written, "--to-tango", f"dev={DEVICE}", "v=setpoint", "}"),
    ]


class Ioc(FastIoc):
    """A C IOC that says what it is told, over all its lives."""

    def __init__(self, env: dict[str, str], folder: Path) -> None:
        super().__init__(env, DB, folder)
        self._plain, self._before, self.lives = list(self.command), "", 0

    def start(self) -> None:
        self.lives += 1
        words = self._plain
        macros = f"P={self.PREFIX},BASE={self.lives * LIFE}"
        self.command = [macros if word.startswith("P=") else word for word in words]
        super().start()

    def kill(self) -> None:
        running = self.process is not None
        super().kill()
        if running:
            self._before += self._log.read_text()

    def told(self) -> list[int]:
        """Return all that was written to `rbv`."""
        now = self._log.read_text() if self.process is not None else ""
        return [int(number) for number in re.findall(r"told (\d+)\n", self._before + now)]


def accepted(path: Path) -> list[int]:
    """Return what a direction has handed on."""
    with path.open(newline="") as file:
        return [int(float(row[0])) for row in list(csv.reader(file))[1:]]


@pytest.fixture
def ioc(tmp_path: Path) -> Iterator[Ioc]:
    with ca_env() as env:
        server = Ioc(env, tmp_path)
        server.start()
        yield server
        server.kill()


@pytest.mark.long
@pytest.mark.timeout(300)
def test_both_ends_of_a_bridge_are_killed_ten_times(lab: Lab, ioc: Ioc, tmp_path: Path) -> None:
    writes = tmp_path / "writes"
    device = lab.keithley("bridge", DEVICE, CASPY_TEST_WRITES=str(writes))
    env = {**ioc.env, "TANGO_HOST": lab.host}

    def set_points() -> list[int]:
        return [int(float(text)) for text in writes.read_text().split()] if writes.exists() else []

    def both_move(read: int, written: int) -> bool:
        new = [number for number in set_points()[written:] if number > ioc.lives * LIFE]
        return len(new) > 100 and len(ioc.told()) > read + 10

    def moved(what: str) -> None:
        read, written = len(ioc.told()), len(set_points())
        until(lambda: both_move(read, written), what, 30.0)

    with Run(env, tmp_path, *bridge(tmp_path)) as run:
        moved("both directions at the start")
        for number in range(1, ROUNDS + 1):
            # Who dies first, and who is back first, takes turns.
            ends = (device, ioc) if number % 2 else (ioc, device)
            for end in ends:
                before = said(run.log, LOST)
                end.kill()
                until(partial(is_known, run, before + 1), "word of it")
            for end in ends:
                end.start()
            moved(f"both directions, time {number}")
        run.stop()
        log, counts = run.log, run.all_counts()
    device.kill()
    _nothing_is_lost(accepted(tmp_path / "read.csv"), ioc.told())
    _nothing_is_lost(accepted(tmp_path / "set.csv"), set_points())
    _without_gaps(accepted(tmp_path / "set.csv"))
    print(len(ioc.told()), "readings,", len(set_points()), "set points")
    assert not any(one.get(key) for one in counts.values() for key in ("missed", "failures"))
    # Source and sink of an end are processes of their own; a device is missed only when it is used.
    assert [said(log, f"PV {text}") for text in ("disconnected", "connected again")] == [20, 20]
    lost, again = (said(log, f"device {text}") for text in ("lost", "connected again"))
    assert ROUNDS <= lost == again <= 2 * ROUNDS, log
    assert len(log) == 40 + lost + again, log


def is_known(run: Run, times: int) -> bool:
    return said(run.log, LOST) >= times


def said(log: list[str], text: str) -> int:
    return sum(re.search(text, line) is not None for line in log)


def _nothing_is_lost(handed_on: list[int], told: list[int]) -> None:
    """What broke off half-way is done again: it may have been told twice, and nothing else."""
    assert list(dict.fromkeys(told)) == list(dict.fromkeys(handed_on))
    assert len(told) - len(handed_on) <= ROUNDS, "nothing is told again without need"


def _without_gaps(numbers: list[int]) -> None:
    """Each life of the IOC is there from its second event on; it may merge those before."""
    lives: dict[int, list[int]] = {}
    for number in numbers:
        lives.setdefault(number // LIFE, []).append(number)
    assert sorted(lives) == list(range(1, ROUNDS + 2))
    for life in lives.values():
        assert life[1:] == list(range(life[1], life[-1] + 1))
