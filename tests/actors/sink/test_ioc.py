"""--to-ioc, read by real clients."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from camagick.data import Data
from camagick.errors import BadOption
from camagick.executor import PipeExecutor
from camagick.flow.chain import Processor as Chain
from camagick.sink.ioc import Processor
from camagick.source.epics import Processor as EpicsSource
from tests.servers import ioc as servers
from tests.servers.ioc import caget, camonitor, caput, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

# Fixtures
ca = servers.ca
softioc_c = servers.softioc_c


@contextlib.asynccontextmanager
async def running(**kwargs: Any) -> AsyncIterator[Processor]:
    sink = Processor(**kwargs)
    try:
        await sink.startup()
        async with asyncio.timeout(60):
            yield sink
    finally:
        await sink.shutdown()


async def get(env: dict[str, str], *words: str) -> str:
    return await asyncio.to_thread(caget, env, *words)


VALUES = [
    (np.float64(1.25), "DBF_DOUBLE", "1.25"),
    (np.float32(0.5), "DBF_FLOAT", "0.5"),
    (3, "DBF_LONG", "3"),
    (np.uint8(200), "DBF_SHORT", "200"),
    (np.uint32(4_000_000_000), "DBF_DOUBLE", "4e+09"),
    (np.bool_(True), "DBF_ENUM", "On"),
    ("short", "DBF_STRING", "short"),
    (np.array([0.25]), "DBF_DOUBLE", "0.25"),
    (np.array(["a", "bc"]), "DBF_STRING", "2 a bc"),
    ([1, 2, 3], "DBF_LONG", "3 1 2 3"),
    (np.arange(3, dtype=">i2"), "DBF_SHORT", "3 0 1 2"),
    (float("nan"), "DBF_DOUBLE", "nan"),
]


def test_each_value_has_its_type(ca: dict[str, str]) -> None:
    async def run() -> None:
        async with running(prefix="P:", suffix=".RBV") as sink:
            data = {f"v{number}": value for number, (value, _, _) in enumerate(VALUES)}
            for _ in range(2):  # what holds for the first turn holds for the second
                await sink(Data(data))
                names = [f"P:{tag}.RBV" for tag in data]
                read = (await get(ca, "-t", "-F", " ", *names)).splitlines()
                assert [line.strip() for line in read if line.strip()] == [
                    text for *_, text in VALUES
                ]
            info = (await asyncio.to_thread(servers.tool, ca, "cainfo", *names)).stdout
            kinds = [line.split()[-1] for line in info.splitlines() if "Native data type" in line]
            assert kinds == [kind for _, kind, _ in VALUES]

    asyncio.run(run())


def test_images_text_and_changing_sizes(ca: dict[str, str]) -> None:
    async def run() -> None:
        async with running() as sink:
            for shape, text in [((2, 3), "6 0 1 2 3 4 5"), ((2, 2), "4 0 1 2 3"), ((1, 1), "0")]:
                await sink({"image": np.arange(np.prod(shape), dtype=float).reshape(shape)})
                assert await get(ca, "-c", "-t", "image") == text
            await sink({"image": np.arange(6.0)[::-1]})
            assert await get(ca, "-c", "-t", "image") == "6 5 4 3 2 1 0"
            for text in ("x" * 100, "Gruss " * 10):
                await sink({"text": text})
                assert await get(ca, "-c", "-t", "-S", "text") == text.strip()
            await sink({"late": np.array([])})  # says nothing about its size
            await sink({"late": np.array([1.0, 2.0])})
            assert await get(ca, "-t", "late") == "2 1 2"

    asyncio.run(run())


@pytest.mark.errors_expected
def test_one_error_per_tag_and_the_rest_goes_on(
    ca: dict[str, str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def run() -> None:
        async with running() as sink:
            await sink({"a": 1, "grows": np.zeros(2), "odd": object(), "z": 1j, "int": 5})
            for value in (2, 3):
                await sink({"grows": np.ones(3), "int": 0.5, "odd": {}, "a": value})
            assert await get(ca, "-t", "a") == "3"

    asyncio.run(run())
    errors = [record.message for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 4
    assert any("tag=grows" in error and "3 elements" in error for error in errors)


def test_suppress_same_and_a_clients_put(ca: dict[str, str]) -> None:
    async def run() -> list[str]:
        async with running(suppress="same", writable=1) as sink:
            await sink({"a": 1.0})
            with camonitor(ca, "a") as monitor:
                await asyncio.to_thread(until, lambda: len(monitor.lines()) == 1)
                for value in (1.0, 2.0, 2.0, 3.0):
                    await sink({"a": value})
                await asyncio.to_thread(until, lambda: len(monitor.lines()) == 3)
                done = await asyncio.to_thread(caput, ca, "a", "9")
                assert done.returncode == 0
                await sink({"a": 4.0})
                await asyncio.to_thread(until, lambda: len(monitor.lines()) == 5)
                return [line.split()[-1] for line in monitor.lines()]

    assert asyncio.run(run()) == ["1", "2", "3", "9", "4"]


def test_units_and_severity_are_passed_on(ca: dict[str, str]) -> None:
    async def run() -> None:
        async with running() as sink:
            data = Data({"a": 1.0})
            data.describe("a", {"units": "mm", "precision": 2, "severity": 1, "status": 4})
            await sink(data)
            assert (await get(ca, "-a", "a")).split()[-2:] == ["HIGH", "MINOR"]
            shown = await get(ca, "-d", "DBR_CTRL_DOUBLE", "a")
            assert "mm" in shown

    asyncio.run(run())


def test_softioc_to_ioc_with_all_that_is_known(
    softioc_c: Callable[[str], servers.SoftIoc], ca: dict[str, str]
) -> None:
    softioc_c(
        """record(ao, "$(P)x") { field(VAL, "12") field(PINI, "YES") field(EGU, "mm")
               field(PREC, "3") field(HIGH, "10") field(HSV, "MINOR") }
           record(stringout, "$(P)s") { field(VAL, "blue") field(PINI, "YES") }
           record(mbbo, "$(P)e") { field(ONST, "one") field(TWST, "two") field(VAL, "2")
               field(PINI, "YES") }"""
    )

    async def run() -> None:
        flow = Chain(EpicsSource("TEST:x", "TEST:s", "TEST:e"), Processor(prefix="R:"))
        running = asyncio.get_running_loop().create_task(PipeExecutor(flow).run())
        try:
            assert (await get(ca, "-a", "R:TEST_x")).split()[-2:] == ["HIGH", "MINOR"]
            shown = (await get(ca, "-d", "DBR_CTRL_DOUBLE", "R:TEST_x")).split()
            assert shown[shown.index("Units:") + 1] == "mm"
            assert (await get(ca, "-t", "R:TEST_s", "R:TEST_e")).split() == ["blue", "two"]
            assert await get(ca, "-t", "R:TEST_x.VAL") == "12"
        finally:
            running.cancel()
            await asyncio.wait([running])

    asyncio.run(run())


def test_declared_pvs_are_there_from_the_start(ca: dict[str, str]) -> None:
    async def run() -> None:
        types = {
            "sum": "float", "name": "string", "mode": "off|on", "img": "uint8:2x3", "n": "int",
            "long": "text:500", "wave": "float32:3",
        }  # fmt: skip
        async with running(prefix="D:", **types) as sink:
            names = [f"D:{tag}" for tag in ("sum", "name", "mode", "img", "n", "img_shape")]
            seen = (await get(ca, "-a", *names)).splitlines()
            assert all(line.split()[-2:] == ["UDF", "INVALID"] for line in seen), seen
            await sink({"sum": 2, "name": "b", "mode": "on", "img": np.eye(3, dtype="u1")[:2]})
            await sink({"mode": 1, "n": 7, "long": "y" * 400, "wave": np.ones(2)})
            seen = (await get(ca, "-t", *names)).splitlines()
            assert seen == ["2", "b", "on", "6 1 0 0 0 1 0", "7", "10 2 3" + 8 * " 0"]
            assert await get(ca, "-t", "-S", "D:long") == "y" * 400
            assert await get(ca, "-c", "-t", "D:wave") == "2 1 1"

    asyncio.run(run())


def test_images_have_a_shape_and_arrays_grow_up_to_max(ca: dict[str, str]) -> None:
    async def run() -> None:
        async with running(max=12) as sink:
            for shape in ((2, 3), (3, 4), (1, 2, 2)):
                await sink({"i": np.zeros(shape), "w": np.ones(shape[0]), "s": 1.5})
                both = (await get(ca, "-c", "-t", "i_shape", "i")).splitlines()
                assert both[0].split() == [str(len(shape)), *map(str, shape)]
                assert both[1].split()[0] == str(np.prod(shape))
            await sink({"empty": np.array([]), "j": np.zeros((2, 2)), "j_shape": "of its own"})
            info = (await asyncio.to_thread(servers.tool, ca, "cainfo", "empty")).stdout
            assert "Element count:    12" in info
            assert await get(ca, "-t", "j_shape") == "of its own"
            assert await get(ca, "-t", "s") == "1.5"

    asyncio.run(run())


def test_images_as_area_detector_has_them(ca: dict[str, str]) -> None:
    async def run() -> None:
        async with running(prefix="P:", suffix=":image1", image=1) as sink:
            sink.seq = 41
            await sink({"c": np.arange(6, dtype=np.uint16).reshape(2, 3), "n": 1})
            await sink({"rgb": np.zeros((4, 5, 3), dtype=np.uint8)})
            parts = (
                "ArraySize0_RBV", "ArraySize1_RBV", "ArraySize2_RBV", "NDimensions_RBV",
                "ArraySize_RBV", "UniqueId_RBV", "ColorMode_RBV", "DataType_RBV", "ArrayData",
            )  # fmt: skip
            for tag, expected in (
                ("c", ["3", "2", "0", "2", "6", "41", "Mono", "UInt16", "6 0 1 2 3 4 5"]),
                ("rgb", ["3", "5", "4", "3", "60", "41", "RGB1", "UInt8", "60" + " 0" * 60]),
            ):
                seen = await get(ca, "-t", *(f"P:{tag}:image1:{part}" for part in parts))
                assert seen.splitlines() == expected
            assert await get(ca, "-c", "-t", "P:c:image1:Dimensions_RBV") == "2 3 2"
            assert await get(ca, "-t", "P:n:image1") == "1"

    asyncio.run(run())


def test_clients_may_not_write_unless_asked_for(ca: dict[str, str]) -> None:
    async def run() -> None:
        async with running() as sink, running(prefix="W:", writable=1) as other:
            await sink({"a": 1.0})
            await other({"a": 1.0})
            refused = await asyncio.to_thread(caput, ca, "a", "9")
            assert refused.returncode != 0
            assert "Write access denied" in refused.stderr
            assert (await get(ca, "-a", "a")).split()[-1] == "1", "no other value, and no alarm"
            assert (await asyncio.to_thread(caput, ca, "W:a", "9")).returncode == 0

    asyncio.run(run())


def test_stale_values_are_invalid_until_the_pipe_goes_on(
    ca: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        async with running(stale=0.3, suppress="same") as sink, running(prefix="E:") as other:
            data = Data({"a": 1.0, "b": 2.0})
            data.describe("b", {"severity": 1, "status": 4})
            await sink(data)
            await other({"a": 5.0})
            with camonitor(ca, "a", "b", "E:a") as monitor:
                stale = {"a": "TIMEOUT INVALID", "b": "TIMEOUT INVALID", "E:a": "5"}
                await asyncio.to_thread(until, lambda: dict(_alarms(monitor)) == stale, "stale")
                before = len(monitor.lines())
                await sink(data)  # nothing new, but a sign of life
                await asyncio.to_thread(until, lambda: len(monitor.lines()) >= before + 2, "back")
                back = {"a": "1", "b": "HIGH MINOR"}
                assert dict(_alarms(monitor)[before : before + 2]) == back
                assert sum("E:a" in line for line in monitor.lines()) == 1

    asyncio.run(run())
    assert "no new values, alarm INVALID" in caplog.text


def _alarms(monitor: servers.Camonitor) -> list[tuple[str, str]]:
    """Return the PV of each line, and its alarm; its value where there is none."""
    words = [line.split() for line in monitor.lines()]
    return [(one[0], " ".join(one[-2:]) if len(one) > 4 else one[-1]) for one in words]


def test_timestamps_are_those_of_the_source_or_now(ca: dict[str, str]) -> None:
    async def run() -> None:
        async with running() as sink, running(prefix="N:", stamp="now") as other:
            data = Data({"a": 1.0})
            data.describe("a", {"timestamp": 1_000_000_000.25})
            await sink(data)
            await other(data)
            assert "2001-09-09 " in await get(ca, "-a", "a")
            assert ":40.250000" in await get(ca, "-a", "a")
            assert "2001-09-09 " not in await get(ca, "-a", "N:a")

    asyncio.run(run())


@pytest.mark.parametrize(
    ("kwargs", "text"),
    [
        ({"suppress": "initial"}, "only 'same'"),
        ({"stamp": "then"}, "source, now"),
        ({"stale": -1}, "stale=-1"),
        ({"max": 1.5}, "max=1.5"),
        ({"a": "floaty"}, "neither an option nor a type"),
        ({"a": "float:0"}, "1 to"),
    ],
)
def test_bad_options(kwargs: Any, text: str) -> None:
    with pytest.raises(BadOption, match=text):
        Processor(**kwargs)
