"""--from-epics against a real C IOC and real caput."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import pytest

from camagick.data import Data
from camagick.errors import BadOption
from camagick.processor import Placement
from camagick.service.ca_options import bounds
from camagick.service.ca_queues import Bounds, Clustered, Every
from camagick.service.ca_trigger import Guide
from camagick.source.epics import Processor
from tests.servers import ioc as servers
from tests.servers.ioc import SoftIoc, caput, until

# Fixtures
ca = servers.ca
softioc_c = servers.softioc_c

Start = Callable[[str], SoftIoc]

DB = """
record(ao, "$(P)x") { field(VAL, "1.5") field(PINI, "YES") field(EGU, "mm") field(PREC, "3")
                      field(HIGH, "10") field(HSV, "MINOR") field(HOPR, "50") field(LOPR, "-50")
                      field(DRVH, "20") field(DRVL, "-20") }
record(ao, "$(P)y") { field(VAL, "2.5") field(PINI, "YES") }
record(longout, "$(P)n") { field(VAL, "0") field(PINI, "YES") }
record(bo, "$(P)mark") { field(VAL, "0") field(PINI, "YES")
                         field(ZNAM, "idle") field(ONAM, "busy") }
record(stringout, "$(P)s") { field(VAL, "gruen") field(PINI, "YES") }
record(waveform, "$(P)text") { field(FTVL, "CHAR") field(NELM, "100") }
record(waveform, "$(P)photo") { field(FTVL, "UCHAR") field(NELM, "10000") }
record(waveform, "$(P)names") { field(FTVL, "STRING") field(NELM, "3") }
record(waveform, "$(P)w") { field(FTVL, "DOUBLE") field(NELM, "8") }
record(waveform, "$(P)i") { field(FTVL, "SHORT") field(NELM, "8") }
record(waveform, "$(P)big") { field(FTVL, "DOUBLE") field(NELM, "4000000") }
record(dfanout, "$(P)set") { field(OUTA, "$(P)x PP") field(OUTB, "$(P)y PP") }
"""


@pytest.fixture(params=["caproto", "libca"])
def receiver(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "libca":
        pytest.importorskip("aioca")
        monkeypatch.setenv("PATH", "/usr/bin:/bin")  # where libca finds no caRepeater to start
    return str(request.param)


@contextlib.asynccontextmanager
async def running(*args: Any, alone: bool = True, **kwargs: Any) -> AsyncIterator[Processor]:
    source = Processor(*args, **kwargs)
    source.placement = Placement(alone=alone)
    try:
        await source.startup()
        async with asyncio.timeout(60):
            yield source
    finally:
        await source.shutdown()


async def put(ioc: SoftIoc, name: str, *values: Any) -> None:
    await asyncio.to_thread(ioc.put, name, *values)


def has_come(newest: Mapping[str, Any], number: int) -> bool:
    return bool(newest["TEST:n"].value == number)


async def quiet(source: Processor, seconds: float = 0.4) -> bool:
    """Tell whether nothing comes for a while."""
    try:
        async with asyncio.timeout(seconds):
            await source.ready()
    except TimeoutError:
        return True
    return False


def test_values_and_what_is_known_about_them(softioc_c: Start, receiver: str) -> None:
    ioc = softioc_c(DB)
    ioc.put("w", 1, 2, 3)
    ioc.put("i", 4, 5)
    ioc.put("photo", 1, 0, 255)
    ioc.put("names", "a", "Bär")
    ioc.put("x", 11)
    assert caput(ioc.env, "-S", "TEST:text", "Grün").returncode == 0
    names = ("x", "n", "mark", "s", "text", "w", "i", "photo", "names")

    async def run() -> tuple[Data, Data]:
        pvs = [f"TEST:{name}" for name in names]
        async with (
            running(*pvs, big="TEST:big", receiver=receiver) as source,
            running("TEST:text", "TEST:mark", char="bytes", enum="text", receiver=receiver) as raw,
        ):
            return await source(), await raw()

    data, raw = asyncio.run(run())
    assert list(data) == [*(f"TEST_{name}" for name in names), "big"]
    assert data["TEST_x"] == 11
    assert isinstance(data["TEST_x"], np.float64)
    assert isinstance(data["TEST_n"], np.int32)
    assert data["TEST_mark"] == 0
    assert isinstance(data["TEST_mark"], np.integer)
    assert data["TEST_s"] == "gruen"
    assert data["TEST_text"] == "Grün"
    np.testing.assert_array_equal(data["TEST_w"], [1.0, 2.0, 3.0])
    assert data["TEST_w"].dtype.str == np.dtype(float).str
    assert type(data["TEST_w"]) is np.ndarray
    assert data["TEST_i"].dtype == np.int16
    np.testing.assert_array_equal(data["TEST_photo"], np.array([1, 0, 255], np.uint8), strict=True)
    assert data["TEST_names"].tolist()[:2] == ["a", "Bär"]
    assert data["big"].shape == (0,)
    known = dict(data.attributes("TEST_x"))
    assert known.pop("timestamp") > 1.7e9
    assert known == {
        "source": "TEST:x", "severity": 1, "status": 4,  # MINOR, HIGH
        "units": "mm", "precision": 3,
        "lower_disp_limit": -50.0, "upper_disp_limit": 50.0,
        "lower_ctrl_limit": -20.0, "upper_ctrl_limit": 20.0,
        "upper_warning_limit": 10.0,
    }  # fmt: skip
    assert data.attributes("TEST_mark")["enum_strings"] == ("idle", "busy")
    assert raw["TEST_text"].tobytes() == "Grün\0".encode()
    assert raw["TEST_mark"] == "idle"


def test_units_may_change(softioc_c: Start, receiver: str) -> None:
    ioc = softioc_c(DB)

    async def run() -> list[str]:
        async with running("TEST:x", receiver=receiver) as source:
            seen: list[str] = []
            for unit in ("mm", "cm"):
                await put(ioc, "x.EGU", unit)
                await put(ioc, "x", len(seen) + 5)
                while (data := await source())["TEST_x"] != len(seen) + 5:
                    pass
                seen.append(data.attributes("TEST_x")["units"])
            return seen

    assert asyncio.run(run()) == ["mm", "cm"]


def test_every_loses_none(softioc_c: Start, receiver: str) -> None:
    ioc = softioc_c(DB)
    count = 15

    async def run() -> list[int]:
        async with (
            running("TEST:n", receiver=receiver) as source,
            asyncio.TaskGroup() as group,
        ):
            seen = [int((await source())["TEST_n"])]

            async def write() -> None:
                for number in range(1, count + 1):
                    await put(ioc, "n", number)

            writing = group.create_task(write())
            await writing  # none is read meanwhile: all have to wait in the queue
            while seen[-1] != count:
                seen.append(int((await source())["TEST_n"]))
            return seen

    assert asyncio.run(run()) == list(range(count + 1))


def test_beside_others_the_newest(softioc_c: Start) -> None:
    ioc = softioc_c(DB)

    async def run() -> None:
        async with running("TEST:n", alone=False) as source:
            assert (await source())["TEST_n"] == 0
            for number in (1, 2, 3):
                await put(ioc, "n", number)
            async with running("TEST:n", alone=False) as other:  # what it sees, the first has, too
                while (await other())["TEST_n"] != 3:
                    pass
            while (row := await source())["TEST_n"] != 3:
                assert row["TEST_n"] in (1, 2)
            assert await quiet(source)

    asyncio.run(run())


def test_one_row_per_set_of_updates(softioc_c: Start) -> None:
    ioc = softioc_c(DB)

    async def run() -> None:
        async with running("TEST:y", "TEST:x", dwell=0.3) as source:
            assert list((await source()).items()) == [("TEST_y", 2.5), ("TEST_x", 1.5)]
            for value in (3.0, 4.0, 5.0):
                await put(ioc, "set", value)
                assert dict(await source()) == {"TEST_x": value, "TEST_y": value}
            assert await quiet(source, 0.6)

    asyncio.run(run())


def test_hasty_and_thorough(softioc_c: Start) -> None:
    ioc = softioc_c(DB)

    async def run() -> None:
        async with running("TEST:x", "TEST:y", mode="hasty") as hasty:
            while "TEST_y" not in await hasty():
                pass
            await put(ioc, "x", 7)
            assert dict(await hasty()) == {"TEST_x": 7.0}
        async with running("TEST:x", "TEST:y", mode="thorough") as thorough:
            await thorough()
            await put(ioc, "x", 8)
            assert await quiet(thorough)
            await put(ioc, "y", 9)
            assert dict(await thorough()) == {"TEST_x": 8.0, "TEST_y": 9.0}

    asyncio.run(run())


def test_continuous_does_not_wait(softioc_c: Start) -> None:
    softioc_c(DB)

    async def run() -> None:
        async with running("TEST:x", mode="continuous", dwell=0.01) as source:
            while not await source():
                pass
            assert [dict(await source()) for _ in range(3)] == [{"TEST_x": 1.5}] * 3

    asyncio.run(run())


@pytest.mark.parametrize("when", ['"TEST:mark==0"', "TEST:mark==idle and TEST:n>=0"])
def test_guided(softioc_c: Start, when: str) -> None:
    ioc = softioc_c(DB)

    async def run() -> None:
        async with (
            running("TEST:x", when=when) as source,
            running("TEST:mark", "TEST:x", when=when) as asked,
        ):
            assert dict(await source()) == {"TEST_x": 1.5}  # fulfilled from the start
            assert dict(await asked()) == {"TEST_mark": 0, "TEST_x": 1.5}
            await put(ioc, "x", 2)
            assert await quiet(source)
            await put(ioc, "mark", 1)
            await put(ioc, "x", 3)
            assert await quiet(source)
            await put(ioc, "mark", 0)
            assert dict(await source()) == {"TEST_x": 3.0}
            assert await quiet(source)

    asyncio.run(run())


def test_large_arrays(softioc_c: Start, receiver: str) -> None:
    from camagick.sink.epics import Processor as Sink

    softioc_c(DB)
    large = np.arange(4_000_000.0)

    async def run() -> Any:
        sink = Sink(large="TEST:big", timeout=10.0)
        await sink.startup()
        async with running("TEST:big", receiver=receiver) as source:
            await source()
            assert dict(await sink(Data({"large": large}))) == {}
            row = await source()
        await sink.shutdown()
        return row["TEST_big"]

    np.testing.assert_array_equal(asyncio.run(run()), large)


def test_a_missing_pv_is_named_and_waited_for(
    softioc_c: Start,
    caplog: pytest.LogCaptureFixture,
) -> None:
    softioc_c(DB)

    async def run() -> None:
        async with running("TEST:x", "TEST:nosuch", timeout=0.5) as source:
            assert dict(await source()) == {"TEST_x": 1.5}
            await asyncio.to_thread(until, lambda: "does not answer" in caplog.text)

    asyncio.run(run())
    lines = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert lines == ['msg="PV does not answer" pv=TEST:nosuch']


def test_ioc_dies_and_comes_back(
    softioc_c: Start,
    receiver: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    ioc = softioc_c(DB)

    async def run() -> list[float]:
        async with running("TEST:x", receiver=receiver) as source:
            seen = [float((await source())["TEST_x"])]
            ioc.kill()
            await asyncio.to_thread(until, lambda: "PV disconnected" in caplog.text)
            await asyncio.to_thread(ioc.start)
            seen.append(float((await source())["TEST_x"]))
            await put(ioc, "x", 4)
            while seen[-1] != 4:
                seen.append(float((await source())["TEST_x"]))
            await asyncio.to_thread(until, lambda: "PV connected again" in caplog.text)
            assert source.figures()["disconnects"] == 1
            return seen

    assert asyncio.run(run()) == [1.5, 1.5, 4.0]
    assert caplog.text.count("PV disconnected") == 1
    assert caplog.text.count("PV connected again") == 1


def test_ready_may_be_cancelled(softioc_c: Start) -> None:
    ioc = softioc_c(DB)

    async def run() -> None:
        async with running("TEST:n") as source:
            await source()
            await put(ioc, "n", 5)
            for _ in range(50):
                await quiet(source, 0.01)
            await source.ready()
            await source.ready()
            assert (await source())["TEST_n"] == 5
            assert await quiet(source)

    asyncio.run(run())


def test_a_forgotten_subscription_is_renewed(
    softioc_c: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    from caproto.asyncio.client import Context

    activate = Context._activate_subscriptions
    forgotten: list[Any] = []

    async def forget_once(context: Any) -> None:
        if context.subscriptions_to_activate and not forgotten:
            forgotten.extend(context.subscriptions_to_activate)
            context.subscriptions_to_activate.clear()
        await activate(context)

    softioc_c(DB)
    monkeypatch.setattr(Context, "_activate_subscriptions", forget_once)
    monkeypatch.setattr("camagick.service.ca_monitor.PATIENCE", 0.1)

    async def run() -> None:
        async with running("TEST:x") as source:
            assert (await source())["TEST_x"] == 1.5
            assert forgotten
            assert await quiet(source)

    asyncio.run(run())


class _Reading:
    def __init__(self, value: Any, timestamp: float = 0.0) -> None:
        self.value = value
        self.attributes: dict[str, Any] = {"timestamp": timestamp}


def test_clusters_by_source_time() -> None:
    trigger = Clustered(["a", "b"], 0.1)
    for name, value, when in [
        ("a", 1, 1.0),
        ("a", 2, 2.0),
        ("b", 2, 2.05),
        ("b", 3, 3.0),
        ("a", 3, 3.1),
    ]:
        trigger.event(name, _Reading(value, when))
    rows = []
    while trigger.pending():
        rows.append({name: reading.value for name, reading in trigger.take().items()})
    assert rows == [{"a": 2, "b": 2}, {"a": 3, "b": 3}]


def test_the_queue_is_bounded() -> None:
    trigger = Every(["a"], Bounds(rows=3))
    for number in range(5):
        trigger.event("a", _Reading(number))
    assert trigger.overruns == 2
    assert [trigger.take()["a"].value for _ in range(3)] == [2, 3, 4]
    assert not trigger.pending()
    trigger = Every(["a"], Bounds(size=2000))
    for number in range(5):
        trigger.event("a", _Reading(np.full(100, number)))  # 1000 bytes with what is about it
    assert (trigger.overruns, trigger.waiting()) == (3, (2, 2000))
    assert trigger.take()["a"].value[0] == 3


def test_what_waits_for_its_cluster_is_bounded() -> None:
    trigger = Clustered(["a", "b"], 0.1, Bounds(size=2000))
    for number in range(5):
        trigger.event("a", _Reading(np.full(100, number), float(number)))
    trigger.event("b", _Reading(4, 4.0))
    assert (trigger.overruns, trigger.unmatched) == (3, 1)
    assert trigger.take()["a"].value[0] == 4


@pytest.mark.parametrize(
    ("queue", "found"),
    [
        (10, (10, 256_000_000)),
        ("10000", (10_000, 256_000_000)),
        ("100MB", (10_000, 100_000_000)),
        ("1e3,1.5 GiB", (1000, 1_610_612_736)),
        ((500, "2kB"), (500, 2000)),
    ],
)
def test_how_long_a_queue_may_be(queue: Any, found: tuple[int, int]) -> None:
    assert bounds(queue) == found


def test_overruns_are_counted_and_said_once(
    softioc_c: Start, caplog: pytest.LogCaptureFixture
) -> None:
    ioc = softioc_c(DB)

    async def run() -> list[int]:
        async with running("TEST:n", queue=2) as source:
            seen = [int((await source())["TEST_n"])]
            for end in (5, 10):
                for number in range(end - 4, end + 1):
                    await put(ioc, "n", number)
                newest = source._trigger.newest
                await asyncio.to_thread(until, partial(has_come, newest, end))
                seen += [int((await source())["TEST_n"]) for _ in range(2)]
            assert source.figures()["missed"] == 6
            return seen

    assert asyncio.run(run()) == [0, 4, 5, 9, 10]
    assert caplog.text.count("the oldest events are left out") == 1


@pytest.mark.parametrize(
    ("text", "value", "holds"),
    [
        ("P==0", 0, True),
        ("P!=0", 0, False),
        ("P < 2.5", 2, True),
        ("'P>=2'", 2, True),
        ('P=="ready"', "ready", True),
        ("P>1", "text", False),
        ("P.RBV<=3", np.array([1, 3]), True),
    ],
)
def test_conditions(text: str, value: Any, holds: bool) -> None:
    guide = Guide(text)
    assert guide.turns({guide.pvs[0]: _Reading(value)}) is holds


@pytest.mark.parametrize("value", [np.int32(1), "busy"])
@pytest.mark.parametrize(("text", "holds"), [("P==1", True), ("P==busy", True), ("P<1", False)])
def test_a_label_is_as_good_as_its_number(text: str, value: Any, holds: bool) -> None:
    reading = _Reading(value)
    reading.attributes["enum_strings"] = ("idle", "busy")
    assert Guide(text).turns({"P": reading}) is holds


@pytest.mark.parametrize(
    ("args", "kwargs", "text"),
    [
        ((), {}, "needs a PV"),
        (("x",), {"mode": "fast"}, "every, sloppy"),
        (("x",), {"mode": "guided"}, "when="),
        (("x",), {"when": "P=1"}, "PV==VALUE"),
        (("x",), {"mode": "hasty", "when": "P==1"}, "only mode=guided"),
        (("x",), {"dwell": -1.0}, "0 or more"),
        (("x",), {"queue": "many"}, "100MB"),
        (("x",), {"queue": "0"}, "100MB"),
        (("x",), {"char": "utf8"}, "auto, text, bytes"),
        (("x",), {"enum": "label"}, "number, text"),
        (("x",), {"receiver": "polling"}, "caproto, libca"),
        (("x",), {"strict": "perhaps"}, "yes or no"),
        (("x", "x"), {}, "comes twice"),
    ],
)
def test_bad_options(args: Any, kwargs: Any, text: str) -> None:
    with pytest.raises(BadOption, match=text):
        Processor(*args, **kwargs)


def test_tags_and_channels() -> None:
    source = Processor("iffy", "A:b.RBV", "x.y", prefix="P:", suffix=".VAL", img="DET:img")
    assert source._tags == {
        "iffy": "P:iffy.VAL",
        "A_b_RBV": "P:A:b.RBV.VAL",
        "x.y": "P:x.y.VAL",
        "img": "DET:img",
    }
