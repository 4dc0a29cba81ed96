"""--from-ophyd with devices of ophyd.sim, of one's own, and of ophyd-async, without EPICS."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest

from camagick.data import Data
from camagick.errors import BadOption, CamagickError, DuplicateTag
from camagick.processor import Placement
from camagick.service.ophyd_thread import Thread
from camagick.sink.ophyd import Processor as Sink
from camagick.source.ophyd import Processor
from tests.buses import Run, card_of
from tests.servers import scan

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

DEVICES = "tests.servers.ophyd_devices"


scan.without_channel_access()


@pytest.fixture
def happened() -> list[str]:
    from tests.servers.ophyd_devices import HAPPENED

    HAPPENED.clear()
    return HAPPENED


@contextlib.asynccontextmanager
async def running(node: Any, alone: bool = True) -> AsyncIterator[Any]:
    node.placement = Placement(alone=alone)
    try:
        await node.startup()
        async with asyncio.timeout(20):
            yield node
    finally:
        await node.shutdown()


async def rows(count: int, *args: Any, alone: bool = True, **kwargs: Any) -> list[Data]:
    async with running(Processor(*args, **kwargs), alone) as source:
        return [await source() for _ in range(count)]


def test_a_device_triggers_waits_and_reads(happened: list[str]) -> None:
    first, second = asyncio.run(
        rows(2, f"{DEVICES}:MyDevice", "BL:", name="det", trigger=True, Hz=0)
    )
    assert list(first) == ["det_sum", "det_raw"]
    assert (first["det_sum"], second["det_sum"]) == (1, 2)
    assert first["det_raw"].tolist() == [1.5, 2.5]
    assert happened == ["trigger", "trigger"]
    known = first.attributes("det_sum")
    assert known["units"] == "counts"
    assert known["precision"] == 1
    assert (known["lower_ctrl_limit"], known["upper_ctrl_limit"]) == (0.0, 9.0)
    assert known["source"] == "SIM:det_sum"
    assert known["timestamp"] == pytest.approx(time.time(), abs=60)


@pytest.mark.parametrize(
    ("kinds", "tags"),
    [
        ("hinted", ["det_sum"]),
        ("normal", ["det_raw"]),
        ("config", ["det_gain"]),
        ("hinted,normal,config", ["det_sum", "det_raw", "det_gain"]),
    ],
)
def test_kinds(kinds: str, tags: list[str]) -> None:
    [row] = asyncio.run(rows(1, f"{DEVICES}:make_device", name="det", kinds=kinds))
    assert list(row) == tags


@pytest.mark.parametrize(
    ("stage", "expected"),
    [
        ("never", ["trigger", "trigger"]),
        ("run", ["stage", "trigger", "trigger", "unstage"]),
        ("iteration", ["stage", "trigger", "unstage", "stage", "trigger", "unstage"]),
    ],
)
def test_staging(stage: str, expected: list[str], happened: list[str]) -> None:
    asyncio.run(rows(2, f"{DEVICES}:MyDevice", stage=stage, trigger=1, Hz=0))
    assert happened == expected


def test_a_measurement_that_fails_leaves_nothing_staged(happened: list[str]) -> None:
    with pytest.raises(Exception, match="det: trigger: RuntimeError: no photons"):
        asyncio.run(rows(1, f"{DEVICES}:Failing", name="det", trigger=1, stage="iteration"))
    assert happened == ["stage", "unstage"]


@pytest.mark.parametrize("name", ["Hanging", "Blocking"])
def test_a_measurement_that_never_ends_is_named(name: str) -> None:
    with pytest.raises(Exception, match=r"det is not done with its trigger within timeout=0\.1 s"):
        asyncio.run(rows(1, f"{DEVICES}:{name}", name="det", trigger=1, timeout=0.1))


def test_calls_that_block_leave_the_loop_free(happened: list[str]) -> None:
    async def run() -> None:
        async with running(Processor(f"{DEVICES}:Blocking", trigger=True)) as source:
            call = asyncio.ensure_future(source())
            await asyncio.wait([call], timeout=0.05)
            assert not call.done()
            call.cancel()
            await asyncio.wait([call])

    asyncio.run(run())


@pytest.mark.long
@pytest.mark.parametrize("stage", ["never", "run", "iteration"])
def test_ctrl_c_does_not_wait_for_a_driver(stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPHYD_CONTROL_LAYER", "dummy")
    words = ["--from-ophyd", f"{DEVICES}:Blocking", "trigger=1", f"stage={stage}", "timeout=100"]
    with Run("-bus", "stuck", *words, "--to-summary") as run:
        card_of("stuck")
        run.interrupt()
        assert run.process.wait(20) == 0, run.log


def test_threads_that_were_not_inherited_are_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    dispatcher = SimpleNamespace(threads={"monitor": threading.Thread()})
    layer = SimpleNamespace(get_dispatcher=lambda: dispatcher, thread_class=threading.Thread)
    monkeypatch.setitem(sys.modules, "ophyd", SimpleNamespace(get_cl=lambda: layer))
    with pytest.raises(CamagickError, match="imported before this process was forked"):
        asyncio.run(rows(1, f"{DEVICES}:MyDevice"))


def test_a_signal_hands_on_each_change() -> None:
    from ophyd import Signal

    signal = Signal(name="a:b", value=1)

    async def run() -> tuple[list[Any], list[Any]]:
        async with running(Processor(signal)) as source, running(Processor(signal), False) as other:
            found = [(await source())["a_b"]]
            await other()
            for value in (2, 3, 3, 4):
                signal.put(value)
            last = [(await source())["a_b"] for _ in range(4)]
            return found + last, [(await other())["a_b"]]

    every, newest = asyncio.run(run())
    assert every == [1, 2, 3, 3, 4]
    assert newest == [4]


def test_a_device_can_be_subscribed_to() -> None:
    from tests.servers.ophyd_devices import MyDevice

    device = MyDevice(name="det")

    async def run() -> list[Data]:
        async with running(Processor(device, mode="subscribe")) as source:
            first = await source()
            device.raw.put([3.5])
            device.sum.put(5)
            return [first, await source(), await source()]

    found = [(int(row["det_sum"]), row["det_raw"].tolist()) for row in asyncio.run(run())]
    assert found == [(0, [1.5, 2.5]), (0, [3.5]), (5, [3.5])]


@pytest.mark.parametrize(
    ("name", "tags"),
    [
        ("det", ["det"]),
        ("motor", ["motor", "motor_setpoint"]),
        ("direct_img", ["img"]),
        ("sig", ["sig"]),
        ("det_with_conf", ["det_a", "det_b"]),
        ("motor.velocity", ["motor_velocity"]),
    ],
)
def test_the_simulated_hardware_works_as_it_is(name: str, tags: list[str]) -> None:
    [row] = asyncio.run(rows(1, f"ophyd.sim:{name}", trigger=name == "direct_img"))
    assert list(row) == tags


def test_values_are_what_the_bus_can_carry(caplog: pytest.LogCaptureFixture) -> None:
    one, _ = asyncio.run(rows(2, f"{DEVICES}:Odd", Hz=0))
    assert list(one) == ["odd_fine"]
    assert isinstance(one["odd_fine"], np.float64)
    assert caplog.text.count("dict is neither a number, nor text") == 1
    assert caplog.text.count("failed to describe") == 1
    with pytest.raises(DuplicateTag, match="a_b"):
        asyncio.run(rows(1, f"{DEVICES}:Twice"))


def test_a_device_of_ophyd_async() -> None:
    pytest.importorskip("ophyd_async")

    async def run() -> tuple[list[Data], list[Data]]:
        what = "tests.servers.ophyd_async_devices:AsyncDet"
        triggered = await rows(2, what, name="det", trigger=1, Hz=0, stage="run")
        async with running(Processor(what, mode="subscribe")) as source:
            first = await source()
            await source._device.thing.count.set(5)
            return triggered, [first, await source()]

    triggered, followed = asyncio.run(run())
    assert [row["det_count"] for row in triggered] == [1, 2]
    assert triggered[0]["det_mode"] == "fast"
    assert triggered[0].attributes("det_count")["units"] == "photons"
    assert triggered[0].attributes("det_mode")["enum_strings"] == ("fast", "slow")
    assert [row["asyncdet_count"] for row in followed] == [0, 5]


def test_setting_waits_and_names_what_fails(caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("ophyd_async")
    from ophyd.sim import motor, motor1, motor2

    async def run() -> Data:
        async with running(Sink("ophyd.sim:motor", tag="x")) as sink:
            rest: Data = await sink(Data({"x": np.array([2.5]), "y": 1}))
        what = "tests.servers.ophyd_async_devices:AsyncDet"
        async with running(Sink(what, name="det")) as sink:
            await sink({"det": 3})
            assert await sink._device.thing.count.get_value() == 3
            await sink({"det": 101})
            await sink({"det": 102})
            await sink({"other": 1})
            assert sink.figures() == {"failures": 3}
        import tests.servers.ophyd_devices as devices

        device = devices.MyDevice(name="det")
        async with running(Sink(device, tag={"a": "sum", "b": "raw", "c": "none"})) as sink:
            await sink({"a": 4, "b": np.array([1.0, 2.0]), "c": 1})
        assert device.sum.get() == 4
        assert device.raw.get().tolist() == [1.0, 2.0]
        return rest

    assert asyncio.run(run()) == {"y": 1}
    assert motor.position == 2.5
    assert motor1.position == motor2.position == 0
    errors = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert len(errors) == 2, errors
    assert 'tag=det value=101 reason="det: set: too far"' in errors[0]
    assert 'tag=c value=1 reason="det.none is nothing that can be set"' in errors[1]


test_setting_waits_and_names_what_fails = pytest.mark.errors_expected(
    test_setting_waits_and_names_what_fails
)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Processor("det"), "'det' is not module:Class"),
        (lambda: Processor(5), "5 is not module:Class"),
        (lambda: Processor("a:b", mode="fast"), "mode=fast: there is subscribe and poll"),
        (lambda: Processor("a:b", mode="subscribe", trigger=True), "it has no mode=subscribe"),
        (lambda: Processor("a:b", stage="maybe"), "stage=maybe: there is never, run, iteration"),
        (lambda: Processor("a:b", kinds="hot"), "kinds=hot: there is hinted, normal, config"),
        (lambda: Processor("a:b", Hz=-1), "Hz=-1 is not a number"),
        (lambda: Processor("a:b", timeout=cast(Any, "x")), "timeout='x' is not a number"),
        (lambda: Sink("a:b", timeout=0), "timeout=0 is not a number"),
        (lambda: Sink("a:b", tag=cast(Any, 5)), "neither a tag nor"),
    ],
)
def test_wrong_options(make: Callable[[], Any], text: str) -> None:
    with pytest.raises(BadOption, match=text):
        make()


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("nosuch.module:X",), "there is no module 'nosuch'"),
        (("ophyd.sim:nosuch",), "there is no 'nosuch' in it"),
        (("ophyd.sim:det", "BL:"), "this is an object already"),
        (("ophyd:EpicsSignalRO",), "TypeError: .*read_pv"),
        (("os:environ",), "_Environ is no device"),
    ],
)
def test_what_cannot_be_made(words: tuple[str, ...], text: str) -> None:
    with pytest.raises(BadOption, match=text):
        asyncio.run(rows(1, *words))


def test_a_thread_that_is_left_behind_holds_nobody_up() -> None:
    gate = threading.Event()

    async def run() -> Any:
        thread = Thread()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await thread(gate.wait, 60)
        with pytest.raises(ZeroDivisionError):
            await thread(lambda: 1 / 0)
        found = await thread(threading.current_thread)
        thread.close()
        return found

    thread = asyncio.run(run())
    gate.set()
    thread.join(5)
    assert not thread.is_alive()
