"""Runs that read from an IOC: every update once, or counted; IOCs and networks that go and come."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from functools import partial
from typing import TYPE_CHECKING, Any, Self

import h5py
import numpy as np
import pytest

from camagick.sink.epics import Processor as Sink
from camagick.source.epics import Processor as Source
from tests.chaos import titles
from tests.servers.fastioc import COUNTER, HZ20, HZ100, KHZ, RAMP, FastIoc, images
from tests.servers.ioc import ca_env, caget, full, until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

CASPY = [sys.executable, "-m", "caspy"]
DEADLINE_S = 60.0
MEGA = 1_000_000


class Run:
    """A caspy that runs until it is stopped, with what it says and counts."""

    def __init__(
        self, env: Mapping[str, str], folder: Path, *words: str, through: Sequence[str] = ()
    ) -> None:
        self._stats, self._err, self._out = (folder / n for n in ("stats", "err", "out"))
        command = [*through, *CASPY, "-stats", str(self._stats), *words]
        kept = {"XDG_RUNTIME_DIR": os.environ["XDG_RUNTIME_DIR"]}
        with self._err.open("w") as err, self._out.open("w") as out:
            self.process = subprocess.Popen(
                command, env={**full(env), **kept}, stdout=out, stderr=err
            )

    def all_counts(self) -> dict[str, Any]:
        """Return the newest figures of all actors."""
        text = self._stats.read_text() if self._stats.exists() else ""
        lines = text[: text.rfind("\n") + 1].splitlines()
        return dict(json.loads(lines[-1])["actors"]) if lines else {}

    def counts(self, actor: str = "epics.1") -> dict[str, Any]:
        """Return the newest figures of an actor."""
        return dict(self.all_counts().get(actor, {}))

    @property
    def log(self) -> list[str]:
        return self._err.read_text().splitlines()

    @property
    def out(self) -> list[str]:
        text = self._out.read_text()
        return text[: text.rfind("\n") + 1].splitlines()

    def stop(self) -> None:
        """Press Ctrl-C, and wait for the orderly end."""
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(DEADLINE_S) == 0, self.log

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


@contextlib.contextmanager
def fast(db: str, folder: Path) -> Iterator[FastIoc]:
    with ca_env() as env:
        ioc = FastIoc(env, db, folder)
        ioc.start()
        try:
            yield ioc
        finally:
            ioc.kill()


def record_counter(folder: Path, seconds: float, receiver: str) -> None:
    """Store what a counter says at 1 kHz; each number is there, and once."""
    with fast(COUNTER, folder) as ioc:
        words = ["--from-epics", "n=TEST:count", f"receiver={receiver}", "--to-hdf5", "n.h5#n"]
        with Run(ioc.env, folder, *words, "--to-summary") as run:
            until(lambda: run.out, "the value at the start")
            ioc.put("go", 1)
            until(lambda: len(run.out) > 900 * seconds, "values", seconds + 30)
            ioc.put("go", 0)
            last = ioc.settled("count")
            until(lambda: len(run.out) > last, f"value {last}")
            lost = ioc.thrown_away("count")
            run.stop()
            counts = run.counts()
    with h5py.File(folder / "n.h5") as file:
        numbers = file["n"][...].astype(int)
    first = int(np.argmax(numbers > 0))
    stored = numbers[first:].tolist()
    print(f"{receiver}: {last} updates at 1 kHz, {len(stored)} stored,", counts["missed"],
          "missed by caspy,", lost, "replaced by the IOC")  # fmt: skip
    assert (counts["missed"], lost) == (0, 0)
    steps = np.diff(stored)
    assert (steps == 1).all(), [stored[n : n + 3] for n in np.flatnonzero(steps != 1)]
    assert (stored[0], stored[-1]) == (1, last)
    assert run.log == []


def test_every_update_is_stored_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    record_counter(tmp_path, 1.0, "caproto")


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("receiver", ["caproto", "libca"])
def test_a_minute_at_1_khz(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, receiver: str) -> None:
    monkeypatch.chdir(tmp_path)
    record_counter(tmp_path, 60.0, receiver)


async def fill(name: str, value: Any) -> None:
    sink = Sink(r=name, timeout=60.0)
    await sink.startup()
    try:
        await sink({"r": value})
    finally:
        await sink.shutdown()


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    """A pipe that is slower than its PV: what comes out and what is counted are all there was."""
    words = ["mode=every", "queue=40", "--pace", "Hz=300", "--to-summary", "fmt={}"]
    with (
        fast(COUNTER, tmp_path) as ioc,
        Run(ioc.env, tmp_path, "--from-epics", "n=TEST:count", *words) as run,
    ):
        until(lambda: run.out, "the value at the start")
        ioc.put("go", 1)
        until(lambda: len(run.out) > 200, "values")
        ioc.put("go", 0)
        last = ioc.settled("count")
        until(lambda: float(run.out[-1]) == last, "the last value")
        assert ioc.thrown_away("count") == 0
        run.stop()
        counts, numbers = run.counts(), [float(line) for line in run.out]
    assert counts["missed"] > 100
    assert len(numbers) - 1 + counts["missed"] == last  # one is the 0 at the start
    assert (np.diff(numbers) > 0).all()
    assert [line.partition("msg=")[2].partition(":")[0] for line in run.log] == [
        '"the pipe is slower than the PVs'
    ]


def passed(ioc: FastIoc, number: int) -> bool:
    return int(float(caget(ioc.env, "-t", "TEST:count"))) > number


def restarted(run: Run, times: int) -> bool:
    return bool(run.counts().get("restarts") == times)


def printed_last(run: Run, number: int) -> bool:
    return float(run.out[-1]) == number


#: Counts while `go` is 1, and is not touched otherwise: what it says keeps its time.
HELD = f"""
record(bo, "$(P)go") {{ field(VAL, "0") field(PINI, "YES") }}
record(calcout, "$(P)tick") {{ field(INPA, "$(P)go NPP") field(CALC, "A") field(SCAN, "{KHZ}")
                              field(OOPT, "When Non-zero") field(OUT, "$(P)count.PROC") }}
record(calc, "$(P)count") {{ field(INPA, "$(P)count NPP") field(CALC, "A+1") }}
"""


def test_what_waits_in_a_source_that_is_killed_is_counted(tmp_path: Path) -> None:
    """Also by its second successor: all that the IOC has sent came out, or is in the count."""
    words = ["mode=every", "--pace", "Hz=200", "--to-summary", "fmt={}"]
    with (
        fast(HELD, tmp_path) as ioc,
        Run(ioc.env, tmp_path, "--from-epics", "n=TEST:count", *words) as run,
    ):
        until(lambda: run.out, "the value at the start")
        last = 0
        for kill in range(2):
            ioc.put("go", 1)
            until(partial(passed, ioc, last + 300), "events")
            ioc.put("go", 0)
            last = ioc.settled("count")
            titles(run.process)["epics.1"].kill()
            until(partial(restarted, run, kill + 1), "another process")
            until(partial(printed_last, run, last), "the last value")
        assert ioc.thrown_away("count") == 0
        run.stop()
        missed, numbers = run.counts()["missed"], [float(line) for line in run.out]
    assert len(numbers) - 1 + missed == last  # one is the 0 at the start
    assert (np.diff(numbers) > 0).all()
    assert missed > 300
    said = [line.partition("missed=")[2] for line in run.log if "handed on is lost" in line]
    assert [int(text) for text in said][-1] == missed
    assert len(said) == 2


@pytest.mark.long
@pytest.mark.timeout(400)
@pytest.mark.parametrize("rate", [HZ20, HZ100])
@pytest.mark.parametrize("receiver", ["caproto", "libca"])
def test_a_minute_of_large_waveforms(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, receiver: str, rate: str
) -> None:
    """1 M doubles each: what is not stored is counted, unless the IOC has not sent it."""
    seconds = float(os.environ.get("CASPY_TEST_SECONDS", "60"))
    if shutil.disk_usage(tmp_path).free < seconds * 800e6:
        pytest.skip("needs 800 MB a second of disk")
    monkeypatch.chdir(tmp_path)
    with fast(images(MEGA, rate), tmp_path) as ioc:
        for key, value in ioc.env.items():
            monkeypatch.setenv(key, value)
        asyncio.run(fill("TEST:ramp", np.arange(float(MEGA + RAMP))))
        ioc.put("image.INDX", 0)  # codespell:ignore
        words = ["--from-epics", "n=TEST:image", f"receiver={receiver}", "--to-hdf5", "n.h5#n"]
        with Run(ioc.env, tmp_path, *words, "--to-summary") as run:
            until(lambda: run.out, "the image at the start")
            ioc.put("go", 1)
            time.sleep(seconds)
            ioc.put("go", 0)
            made = ioc.settled("frame")
            until(lambda: run.counts().get("queued") == 0, "an empty queue", 60.0)
            run.stop()
            counts = run.counts()
    with h5py.File(tmp_path / "n.h5") as file:
        numbers = file["n"][:, 0].astype(int)
    (tmp_path / "n.h5").unlink()
    stored = len(numbers) - 1  # besides the one at the start
    unsent = made - stored - counts["missed"]
    print(f"{receiver}, {rate}: {made} images, {stored} stored, {counts['missed']}",
          f"missed by caspy, {unsent} replaced by the IOC before it sent them")  # fmt: skip
    assert unsent >= 0
    assert numbers[-1] == made
    assert (np.diff(numbers) >= 0).all(), "out of order"  # an IOC sends what is there by then
    assert len(run.log) == (1 if counts["missed"] else 0), run.log


@pytest.mark.parametrize(
    ("receiver", "times"),
    [
        ("caproto", 2),
        pytest.param("caproto", 10, marks=[pytest.mark.long, pytest.mark.timeout(300)]),
        pytest.param("libca", 10, marks=[pytest.mark.long, pytest.mark.timeout(300)]),
    ],
)
def test_an_ioc_is_killed_again_and_again(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    receiver: str,
    times: int,
) -> None:
    """At 1 kHz: each of its lives is a run of numbers without a gap, and nothing comes twice."""
    monkeypatch.setenv("PATH", "/usr/bin:/bin")  # where libca finds no caRepeater to start
    db = COUNTER.replace("$(GO=0)", "1")
    with fast(db, tmp_path) as ioc:
        for key, value in ioc.env.items():
            monkeypatch.setenv(key, value)
        seen, delays = asyncio.run(killed(ioc, times, receiver, caplog))
    print(f"{receiver}: back after", " ".join(f"{delay:.2f}" for delay in delays), "s")
    breaks: list[int] = []
    for place, step in enumerate(np.diff(seen), 1):
        # An IOC may leave out what happens between the first value of a subscription and its begin.
        late = step > 1 and place - 1 in (0, *breaks)
        if step != 1 and not late:
            breaks.append(place)
    assert len(breaks) == times, [seen[place - 2 : place + 2] for place in breaks]
    said = [record.getMessage() for record in caplog.records]
    assert said == [
        'msg="PV disconnected" pv=TEST:count', 'msg="PV connected again" pv=TEST:count'
    ] * times  # fmt: skip
    if times == 10:
        assert max(delays) < 2.0


def is_lost(source: Source, times: int) -> bool:
    return source.figures()["disconnects"] == times


async def killed(
    ioc: FastIoc, times: int, receiver: str, caplog: pytest.LogCaptureFixture
) -> tuple[list[int], list[float]]:
    """Kill an IOC and start it; return what a source says, and how long it takes each time."""
    source = Source("TEST:count", mode="every", receiver=receiver)
    await source.startup()
    seen: list[int] = []
    delays: list[float] = []

    async def go_on(count: int) -> None:
        async with asyncio.timeout(30):
            seen.extend([int((await source())["TEST_count"]) for _ in range(count)])

    try:
        await go_on(100)
        for _ in range(times):
            ioc.kill()
            await asyncio.to_thread(until, partial(is_lost, source, len(delays) + 1))
            await go_on(int(source.figures()["queued"]))
            started = time.monotonic()
            await asyncio.to_thread(ioc.start)
            await go_on(1)
            delays.append(time.monotonic() - started)
            await go_on(100)
            while caplog.text.count("again") < len(delays):
                await go_on(1)
    finally:
        await source.shutdown()
    return seen, delays


def test_a_killed_actor_does_not_repeat_the_last_value(tmp_path: Path) -> None:
    with fast('record(ao, "$(P)n") { }', tmp_path) as ioc:
        ioc.put("n", 5)
        words = ["--from-epics", "n=TEST:n", "mode=every", "--to-summary", "fmt={}"]
        with Run(ioc.env, tmp_path, *words) as run:
            until(lambda: run.out, "the value at the start")
            titles(run.process)["epics.1"].kill()
            until(lambda: run.log, "a word about it")
            until(lambda: run.counts().get("restarts"), "another process")
            ioc.put("n", 6)
            until(lambda: "6.0" in run.out, "the next value")
            run.stop()
    assert run.out == ["5.0", "6.0"]


def test_strict_ends_the_run(tmp_path: Path) -> None:
    with ca_env() as env:
        words = ["--from-epics", "x=TEST:nosuch", "timeout=0.3", "strict=1", "--to-summary"]
        done = subprocess.run(
            [*CASPY, *words], env=full(env), capture_output=True, text=True, timeout=DEADLINE_S,
            check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert 'msg="no answer within 0.3 s: TEST:nosuch" actor=epics.1' in done.stderr


class Network:
    """Two namespaces with a cable between them; the IOC is to be in one, caspy in the other."""

    IOC, CLIENT = "10.213.7.1", "10.213.7.2"

    def __init__(self) -> None:
        name = uuid.uuid4().hex[:6]
        self.ioc, self.client = f"cs{name}", f"cc{name}"

    def __enter__(self) -> Self:
        for space in (self.ioc, self.client):
            _ip("netns", "add", space)
            _ip("-n", space, "link", "set", "dev", "lo", "up")
        peer = ("peer", "name", "wire0", "netns", self.client)
        _ip("-n", self.ioc, "link", "add", "name", "wire0", "type", "veth", *peer)
        for space, address in ((self.ioc, self.IOC), (self.client, self.CLIENT)):
            _ip("-n", space, "address", "add", f"{address}/24", "dev", "wire0")
            _ip("-n", space, "link", "set", "dev", "wire0", "up")
        return self

    def __exit__(self, *_: object) -> None:
        for space in (self.ioc, self.client):
            _ip("netns", "delete", space)

    def switch(self, state: str) -> None:
        """Take the IOC's interface 'down', or bring it 'up'."""
        _ip("-n", self.ioc, "link", "set", "dev", "wire0", state)


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"ip {words}: {done.stderr}"


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("ip", path="/usr/sbin:/sbin:/usr/bin:/bin"),
    reason="needs root, and iproute2",
)
@pytest.mark.parametrize("receiver", ["caproto", "libca"])
def test_the_network_is_cut_for_5_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, receiver: str
) -> None:
    monkeypatch.setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
    with Network() as network, ca_env() as env:
        env |= {
            "EPICS_CA_ADDR_LIST": network.IOC,
            "EPICS_CAS_INTF_ADDR_LIST": network.IOC,
            "EPICS_CAS_BEACON_ADDR_LIST": network.CLIENT,
        }
        db = COUNTER.replace("$(GO=0)", "1").replace(".001", ".01")
        ioc = FastIoc(env, db, tmp_path, through=["ip", "netns", "exec", network.ioc])
        words = ["--from-epics", "n=TEST:count", f"receiver={receiver}", "--to-summary", "fmt={}"]
        inside = ["ip", "netns", "exec", network.client]
        try:
            ioc.start()
            with Run(env, tmp_path, *words, through=inside) as run:
                until(lambda: len(run.out) > 100, "values")
                network.switch("down")
                time.sleep(5.0)
                before = len(run.out)
                network.switch("up")
                up = time.monotonic()
                until(lambda: len(run.out) > before, "values again")
                delay = time.monotonic() - up
                target = len(run.out) + 100
                until(lambda: len(run.out) > target, "values as before")
                time.sleep(1.5)
                run.stop()
        finally:
            ioc.kill()
    numbers = [float(line) for line in run.out]
    lost = int(sum(np.diff(numbers) - 1))
    print(f"{receiver}: back {delay:.2f} s after the interface, {lost} updates lost:", run.log)
    assert delay < 2.0
    assert (np.diff(numbers) > 0).all(), "nothing comes twice"
    if receiver == "caproto":
        assert [line.partition("msg=")[2] for line in run.log] == [
            '"PV disconnected" pv=TEST:count', '"PV connected again" pv=TEST:count'
        ]  # fmt: skip
