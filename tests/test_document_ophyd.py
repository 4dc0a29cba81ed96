"""The commands with ophyd that users of the single-process program know, against a C IOC.

With both libraries that ophyd can use for Channel Access, where they are installed.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import threading
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.buses import Run
from tests.servers.ioc import SoftIoc, ca_env, caget, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytest.importorskip("ophyd")

DATABASE = """
record(waveform, "$(P)jedda") { field(FTVL, "DOUBLE") field(NELM, "2048") }
record(ao, "$(P)iffy") { field(VAL, "1.5") field(PINI, "YES") field(EGU, "mm") field(PREC, "3")
                         field(DRVL, "-50") field(DRVH, "500")
                         field(HIGH, "10") field(HSV, "MINOR") }
record(bo, "$(P)mark") { field(VAL, "0") field(PINI, "YES")
                         field(ZNAM, "idle") field(ONAM, "busy") }
record(calcout, "$(P)acquire") { field(CALC, "A") field(OUT, "$(P)frames PP") field(OOPT, "0")
                                 field(DOPT, "1") field(OCAL, "B+1") field(INPB, "$(P)frames") }
record(ao, "$(P)frames") { field(VAL, "0") field(PINI, "YES") }
"""

MODULE = """
from ophyd import Component, Device, EpicsSignal, EpicsSignalRO

class MyDevice(Device):
    acquire = Component(EpicsSignal, "acquire.A", kind="omitted", trigger_value=1)
    frames = Component(EpicsSignalRO, "frames", kind="hinted")
    temperature = Component(EpicsSignalRO, "iffy", kind="normal")
    state = Component(EpicsSignalRO, "mark", kind="config", string=True)
"""

KILLS = 10


class ExampleIoc(SoftIoc):
    PREFIX = "EXAMPLE:"


@pytest.fixture
def ioc(tmp_path: Path) -> Iterator[ExampleIoc]:
    with ca_env() as env:
        server = ExampleIoc(env, DATABASE, tmp_path)
        server.start()
        yield server
        server.kill()


@pytest.fixture(params=["caproto", pytest.param("pyepics", marks=pytest.mark.long)])
def layer(
    request: pytest.FixtureRequest, ioc: ExampleIoc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> str:
    """Point all that is started to the IOC, through one of the libraries."""
    library = {"caproto": "caproto", "pyepics": "epics"}[request.param]
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{request.param} is not installed")
    for key in [key for key in os.environ if key.startswith("EPICS_")]:
        monkeypatch.delenv(key)
    for key, value in {**ioc.env, "OPHYD_CONTROL_LAYER": str(request.param)}.items():
        monkeypatch.setenv(key, value)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")  # without a caRepeater
    (tmp_path / "mine.py").write_text(MODULE)
    return str(request.param)


@contextlib.contextmanager
def feeding(ioc: ExampleIoc) -> Iterator[None]:
    """Write a new waveform now and then."""
    stop = threading.Event()

    def feed() -> None:
        number = 0
        while not stop.wait(0.05):
            number += 1
            ioc.put("jedda", *range(number, number + 2048))

    feeder = threading.Thread(target=feed)
    feeder.start()
    try:
        yield
    finally:
        stop.set()
        feeder.join()


@contextlib.contextmanager
def running(words: str, folder: Path) -> Iterator[Run]:
    """Run a command, and end it by Ctrl-C, which has to be quick and clean."""
    with Run(*words.split(), cwd=folder) as run:
        yield run
        run.interrupt()
        assert run.process.wait(5.0) == 0, run.log
        assert "Traceback" not in run.log
        assert "ERROR" not in run.log


def printed(run: Run, *texts: str, log: str = "") -> None:
    """Wait until all texts were printed, and that is in the log."""
    try:
        until(lambda: all(text in run.out for text in texts) and log in run.log, f"{texts} {log}")
    except AssertionError as error:
        raise AssertionError(f"{error}\n{run.out}\n{run.log}") from None


def _more(run: Run, count: int) -> bool:
    return run.out.count("\n") > count


def _named(run: Run, times: int) -> bool:
    return run.log.count("does not answer") >= times


def _said(run: Run, text: str, times: int) -> bool:
    return run.log.count(text) == times


@pytest.mark.usefixtures("layer")
def test_a_signal_in_subscription_mode(ioc: ExampleIoc, tmp_path: Path) -> None:
    words = "--from-ophyd ophyd.signal:EpicsSignalRO EXAMPLE:jedda --to-summary"
    line = "EXAMPLE_jedda: shape=(2048,) <class 'float'>"
    with feeding(ioc), running(words, tmp_path) as run:
        printed(run, f"{line}\n{line}\n{line}\n")


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("layer")
def test_a_device_outlives_its_ioc(ioc: ExampleIoc, tmp_path: Path) -> None:
    words = (
        "--from-ophyd mine:MyDevice EXAMPLE: name=det kinds=hinted,normal,config trigger=1 Hz=20"
        " timeout=1 --to-summary"
    )
    with running(words, tmp_path) as run:
        printed(run, "det_frames: 3.0", "det_temperature: 1.5", "det_state: idle")
        for number in range(1, KILLS + 1):
            ioc.kill()
            until(partial(_named, run, number), "its name", 60.0)
            ioc.start()
            until(partial(_more, run, run.out.count("\n") + 6), "more", 60.0)
        assert run.log.count("does not answer") <= 2 * KILLS, run.log


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("layer")
def test_a_signal_outlives_its_ioc(ioc: ExampleIoc, tmp_path: Path) -> None:
    words = "--from-ophyd ophyd:EpicsSignal EXAMPLE:iffy --to-summary"
    with running(words, tmp_path) as run:
        printed(run, "EXAMPLE_iffy: 1.5\n")
        for number in range(1, KILLS + 1):
            ioc.put("iffy", number * 10)
            printed(run, f"EXAMPLE_iffy: {number * 10}.0\n")
            ioc.kill()
            until(partial(_said, run, "disconnected", number), "a word about it", 60.0)
            ioc.start()
            until(partial(_said, run, "connected again", number), "another", 60.0)
            ioc.put("iffy", number * 10 + 1)
            printed(run, f"EXAMPLE_iffy: {number * 10 + 1}.0\n")


@pytest.mark.long
@pytest.mark.usefixtures("layer")
def test_setting_a_signal_waits_for_the_record(ioc: ExampleIoc, tmp_path: Path) -> None:
    words = (
        "--from-scratch linspace x=1 opts=start=42 rate=5 --to-ophyd ophyd:EpicsSignal EXAMPLE:iffy"
        " tag=x put_complete=1"
    )
    with running(words, tmp_path):
        until(lambda: caget(ioc.env, "-t", "EXAMPLE:iffy") == "42", "the value")


@pytest.mark.long
@pytest.mark.usefixtures("layer")
def test_what_is_not_there_is_named_and_waited_for(tmp_path: Path) -> None:
    words = "--from-ophyd ophyd:EpicsSignal EXAMPLE:nosuch timeout=0.3 --to-summary"
    with running(words, tmp_path) as run:
        until(lambda: "does not answer: EXAMPLE:nosuch" in run.log, "its name")
