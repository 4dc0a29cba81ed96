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


def test_bad_options() -> None:
    with pytest.raises(BadOption, match="only 'same'"):
        Processor(suppress="initial")
