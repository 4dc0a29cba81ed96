"""Tango in both directions, against a device server without a database."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from camagick.data import Data
from camagick.errors import BadOption
from camagick.processor import Placement
from camagick.service import tango_options
from camagick.sink.tango import Processor as Sink
from camagick.source.tango import Processor as Source
from camagick.testing import check_class
from camagick.tools.tango_values import Form, incoming
from tests.servers.ioc import free_port, until
from tests.servers.tango import Lab, Server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

pytest.importorskip("tango", reason="pytango is not installed")

DEADLINE = 20.0
#: By itself, Tango takes more than 10 s to see that a server has been started anew.
RECOVERED = 9.0
STATES = 14


@contextlib.contextmanager
def device() -> Iterator[Server]:
    """Give a running device that no database knows."""
    with (
        free_port() as port,
        tempfile.TemporaryDirectory(prefix="caspy-tango-") as folder,
        contextlib.ExitStack() as stack,
    ):
        yield Lab(0, Path(folder), stack).without_database(port, "test/keithley/1")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Give a device to all tests of this module."""
    with device() as it:
        yield it


@contextlib.asynccontextmanager
async def started(node: Any, *, alone: bool = True) -> AsyncIterator[Any]:
    """Give a processor between its start and its end."""
    node.placement = Placement(alone=alone)
    try:
        await node.startup()
        async with asyncio.timeout(DEADLINE):
            yield node
    finally:
        await node.shutdown()


def once(node: Any) -> Data:
    """Return what a source gives in its first iteration."""

    async def run() -> Data:
        async with started(node) as running:
            return Data.of(await running())

    return asyncio.run(run())


def write(node: Any, *rows: dict[str, Any]) -> Data:
    """Hand rows to a sink; return what it hands on of the last."""

    async def run() -> Data:
        left = Data()
        async with started(node) as running:
            for row in rows:
                left = Data.of(await running(Data(row), {}))
        return left

    return asyncio.run(run())


def test_every_kind_of_attribute_is_read(server: Server) -> None:
    names = ("voltage", "output", "text", "flag", "gear", "short", "wave", "image", "texts")
    got = once(Source(server.url, *names, st="State", temp="Temperature()", two="Twice(21)"))
    assert list(got) == [*names, "st", "temp", "two"]
    assert (got["text"], got["temp"], got["two"]) == ("hello", 21.5, 42.0)
    assert [type(got[tag]) for tag in ("voltage", "output", "flag", "gear", "short", "st")] == [
        np.float64, np.int64, np.bool_, np.int16, np.int16, np.int16
    ]  # fmt: skip
    assert (got["gear"], got["short"], got["st"]) == (1, -7, 0)
    np.testing.assert_array_equal(got["wave"], np.arange(8.0))
    np.testing.assert_array_equal(got["image"], np.arange(6, dtype=np.int32).reshape(2, 3))
    assert got["image"].dtype == np.int32
    assert got["texts"].tolist() == ["a", "bc"]
    known = got.attributes("voltage")
    assert abs(known["timestamp"] - time.time()) < 60
    assert {key: known[key] for key in known if key != "timestamp"} == {
        "severity": 0, "source": f"{server.url}/voltage", "units": "V", "precision": 3,
        "lower_ctrl_limit": -200.0, "upper_ctrl_limit": 200.0, "lower_alarm_limit": -150.0,
        "upper_alarm_limit": 150.0, "lower_warning_limit": -100.0, "upper_warning_limit": 100.0,
    }  # fmt: skip
    assert got.attributes("gear")["enum_strings"] == ["PARK", "DRIVE", "REVERSE"]
    assert len(got.attributes("st")["enum_strings"]) == STATES


def test_states_and_enumerations_as_text(server: Server) -> None:
    assert dict(once(Source(server.url, "gear", st="State", enums="text"))) == {
        "gear": "DRIVE", "st": "ON"
    }  # fmt: skip


@pytest.mark.parametrize(("quality", "severity"), [(0, 0), (1, 3), (2, 2), (3, 0), (4, 1)])
def test_the_quality_is_the_severity(server: Server, quality: int, severity: int) -> None:
    write(Sink(server.url, q="Quality()"), {"q": quality})
    got = once(Source(server.url, "uncertain"))
    assert got.attributes("uncertain")["severity"] == severity
    assert math.isnan(got["uncertain"]) if quality == 1 else got["uncertain"] == 2.5
    write(Sink(server.url, q="Quality()"), {"q": 0})


@pytest.mark.errors_expected
def test_what_cannot_be_read_is_one_line(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> Data:
        async with started(Source(server.url, "voltage", "broken", x="nosuch", Hz=50)) as node:
            for _ in range(5):
                got = await node()
            assert node.figures()["failures"] == 10
        return Data.of(got)

    assert list(asyncio.run(run())) == ["voltage"]
    lines = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert len(lines) == 2, "said once in ten seconds"
    assert f"device={server.url} attribute=broken tag=broken" in lines[0]
    assert 'reason="no sensor is plugged in (Keithley_NoSensor)"' in lines[0]
    assert 'attribute=nosuch tag=x reason="nosuch attribute not found' in lines[1]


def test_every_event_of_one_attribute(server: Server) -> None:
    async def run() -> list[int]:
        async with (
            started(Source(server.url, x="pushed", mode="event")) as source,
            started(Sink(server.url, n="Push()")) as sink,
        ):
            got = [int((await source())["x"])]
            await sink(Data({"n": 300}), {})
            got += [int((await source())["x"]) for _ in range(300)]
        return got

    got = asyncio.run(run())
    assert got == list(range(got[0], got[0] + 301))


@pytest.mark.parametrize("kind", ["change", "periodic", "archive"])
def test_events_of_a_polled_attribute(server: Server, kind: str) -> None:
    async def run() -> None:
        async with started(Source(server.url, "polled", mode="event", event=kind)) as source:
            first = second = (await source())["polled"]
            # A period may end before the next poll: then the same value is sent again.
            while second == first:
                second = (await source())["polled"]

    asyncio.run(asyncio.wait_for(run(), 20.0))


def test_data_ready_events(server: Server) -> None:
    async def run() -> list[int]:
        node = Source(server.url, x="pushed", mode="event", event="data-ready")
        async with started(node) as source, started(Sink(server.url, go="Ready()")) as sink:
            got = [int((await source())["x"])]
            await sink(Data({"go": 1}), {})
            return [*got, int((await source())["x"])]

    first, second = asyncio.run(run())
    assert second == first + 1


def test_what_sends_no_events_is_polled(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> list[Any]:
        node = Source(server.url, "count", "polled", t="Temperature()", mode="event", Hz=50)
        async with started(node) as source:
            return [await source() for _ in range(3)]

    rows = asyncio.run(run())
    assert rows[2]["count"] > rows[0]["count"]
    assert rows[0]["t"] == 21.5
    [line] = [record.getMessage() for record in caplog.records]
    assert "sends no change events: polled" in line
    assert "attribute=count Hz=50" in line


WRITES: list[tuple[str, Any, Any]] = [
    ("voltage", np.array([1.5]), 1.5),
    ("voltage", "2.5", 2.5),
    ("output", np.float64(3.0), 3),
    ("short", np.uint64(9), 9),
    ("flag", "off", False),
    ("flag", 1.0, True),
    ("text", 5, "5"),
    ("gear", "reverse", 2),
    ("gear", np.int64(0), 0),
    ("wave", np.arange(5, dtype=">i2"), [0.0, 1, 2, 3, 4]),
    ("wave", 7, [7.0]),
    ("wave", np.empty(0), []),
    ("image", np.full((2, 2), 4.0), [[4, 4], [4, 4]]),
    ("texts", np.array(["x", "yz"]), ["x", "yz"]),
]


def test_values_are_converted_to_the_type_of_the_attribute(server: Server) -> None:
    async def run() -> None:
        for name, value, expected in WRITES:
            async with started(Sink(server.url, a=name)) as sink:
                left = await sink(Data({"a": value, "b": 1}), {})
                assert dict(left) == {"b": 1}
                assert sink.figures() == {"written": 1, "failures": 0}, name
            got = await asyncio.to_thread(server.device().read_attribute, name)
            found = got.value.tolist() if isinstance(got.value, np.ndarray) else got.value
            assert list(found) == expected if isinstance(found, tuple) else found == expected

    asyncio.run(run())


REFUSED: list[tuple[str, Any, str]] = [
    ("voltage", 1e9, "above the maximum"),
    ("voltage", "much", "it takes a number, not the text 'much'"),
    ("voltage", np.arange(3.0), "it is a scalar, and this is a array of shape (3,)"),
    ("short", 70000, "it takes -32768 to 32767"),
    ("short", 2.5, "it takes whole numbers"),
    ("gear", "FOURTH", "it takes PARK, DRIVE, REVERSE, or a number"),
    ("gear", 3, "it takes 0 to 2 (PARK, DRIVE, REVERSE)"),
    ("current", 1.0, "not writable"),
    ("nosuch", 1.0, "nosuch attribute not found"),
    ("Nosuch()", 1.0, "Nosuch"),
]


@pytest.mark.errors_expected
def test_what_does_not_suit_is_said_and_counted(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    async def run(target: str, value: Any) -> None:
        async with started(Sink(server.url, a=target)) as sink:
            for _ in range(3):
                await sink(Data({"a": value}), {})
            await sink(Data(), {})
            assert sink.figures() == {"written": 0, "failures": 4}

    for target, value, reason in REFUSED:
        caplog.clear()
        asyncio.run(run(target, value))
        [line] = [record.getMessage() for record in caplog.records]
        assert f'msg="not written" device={server.url} attribute={target} tag=a value=' in line
        assert reason in line
        assert "\n" not in line


def test_a_command_without_argument_is_run_where_the_value_is_true(server: Server) -> None:
    write(Sink(server.url, r="Reset()"), {"r": 1})
    before = once(Source(server.url, "count"))["count"]
    write(Sink(server.url, r="Reset()"), {"r": 0}, {"r": "off"})
    assert once(Source(server.url, "count"))["count"] == before + 1, "it was not run"
    write(Sink(server.url, r="Reset()"), {"r": np.array([0.0])}, {"r": 1})
    assert once(Source(server.url, "count"))["count"] == before


@pytest.mark.errors_expected
def test_a_device_that_hangs_blocks_nothing(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> int:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0.01)
                ticks += 1

        async with started(Sink(server.url, timeout=0.2, s="Hang()")) as sink:
            ticking = asyncio.get_running_loop().create_task(tick())
            await sink(Data({"s": 0.5}), {})
            ticking.cancel()
        return ticks

    assert asyncio.run(run()) > 2, "the event loop went on"
    assert 'reason="no answer within 0.2 s"' in caplog.text
    server.wait()


def test_a_device_that_comes_back(caplog: pytest.LogCaptureFixture) -> None:
    with device() as server:
        asyncio.run(_killed_once(server, caplog))
        assert server.device().setpoint == 2.0, "what was handed over meanwhile has arrived"
    lines = [record.getMessage().partition(" device=")[0] for record in caplog.records]
    assert sorted(lines) == ['msg="device connected again"'] * 3 + ['msg="device lost"'] * 3


async def _killed_once(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    async with (
        started(Source(server.url, x="polled")) as polling,
        started(Source(server.url, x="polled", t="Temperature()", mode="event")) as listening,
        started(Sink(server.url, v="setpoint")) as sink,
    ):
        await polling()
        await listening()
        await sink(Data({"v": 1.0}), {})
        server.kill()
        waiting = asyncio.get_running_loop().create_task(sink(Data({"v": 2.0}), {}))
        reading = [asyncio.get_running_loop().create_task(polling())]
        reading += [asyncio.get_running_loop().create_task(_events_of(listening, time.time()))]
        await asyncio.to_thread(until, lambda: caplog.text.count("device lost") == 3)
        await asyncio.to_thread(server.start)
        async with asyncio.timeout(RECOVERED):
            await asyncio.wait([waiting, *reading], return_when=asyncio.FIRST_EXCEPTION)
            waiting.result()
        for task in reading:
            task.result()


async def _events_of(source: Any, begin: float) -> None:
    """Read until there are several events of the new server."""
    for _ in range(3):
        got = Data.of(await source())
        while got.attributes("x")["timestamp"] < begin:
            got = Data.of(await source())


def test_no_value_is_empty_or_nothing() -> None:
    for layout, shape in (("SPECTRUM", (0,)), ("IMAGE", (0, 0))):
        assert incoming(None, Form.of("DevShort", layout)).shape == shape
    assert incoming(None, Form.of("DevShort")) is None
    assert incoming(("jpeg", b"ab"), Form.of("DevEncoded")).tolist() == [97, 98]
    with pytest.raises(ValueError, match="DevVarDoubleStringArray are not supported"):
        Form.of_command("DevVarDoubleStringArray")
    assert Form.of_command("DevVarCharArray") == Form("DevUChar", 1)


def _dbase(url: str) -> dict[str, Any]:
    """Return a name as the command line hands it over."""
    return {url.removesuffix("=no"): "no"}


def test_the_name_without_a_database_as_the_command_line_reads_it(server: Server) -> None:
    assert once(Source("voltage", **_dbase(server.url))).keys() == {"voltage"}
    write(Sink(v="voltage", **_dbase(server.url)), {"v": 12.0})
    assert once(Source(dev=server.url, v="voltage"))["v"] == 12.0


BAD: list[tuple[Callable[[], object], str]] = [
    (lambda: Source(), "needs a device"),
    (lambda: Source("a/b/c"), "needs an attribute"),
    (lambda: Source("a/b", x="y"), "a/b: the name of a device is domain/family/member"),
    (lambda: Source("a/b/c/d", x="y"), "the name of a device is"),
    (lambda: Source("a/b/c#dbase=no", x="y"), "needs the server, too"),
    (lambda: Source("tango://h:1/a/b/c#base=no", x="y"), "there is only dbase=no"),
    (lambda: Source("a/b/c", x="a b"), "neither an attribute"),
    (lambda: Source("a/b/c", "x", x="y"), "tag 'x' comes twice"),
    (lambda: Source("a/b/c", "x", mode="push"), "mode=push: there is poll, event"),
    (lambda: Source("a/b/c", "x", event="user"), "event=user: there is change"),
    (lambda: Source("a/b/c", "x", enums="label"), "there is number, text"),
    (lambda: Source("a/b/c", "x", Hz=0), "Hz=0 is not a number above 0"),
    (lambda: Sink(x="y"), "--to-tango needs a device"),
    (lambda: Sink("a/b/c"), "--to-tango needs an attribute"),
    (lambda: Sink("a/b/c", x="y", timeout=-1), "timeout=-1 is not"),
    (lambda: Sink("a/b/c", x="y", patience=math.nan), "patience=nan is not"),
]


@pytest.mark.parametrize(("make", "message"), BAD)
def test_bad_options(make: Callable[[], object], message: str) -> None:
    with pytest.raises(BadOption) as caught:
        make()
    assert message in str(caught.value)


@pytest.mark.parametrize("cls", [Source, Sink], ids=["source", "sink"])
def test_where_no_database_is_named(
    cls: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    check_class(cls)
    monkeypatch.delenv("TANGO_HOST", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(tango_options, "_RC", ("~/.tangorc",))  # whatever this machine has
    with pytest.raises(BadOption, match="Set TANGO_HOST=host:port, or write tango://host:port/a/b"):
        asyncio.run(cls("a/b/c", x="y").startup())
