"""--from-ioc, written to by a real caput."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from camagick.errors import BadOption
from camagick.sink.epics import Processor as EpicsSink
from camagick.source.ioc import Processor
from tests.servers import ioc as servers
from tests.servers.ioc import caget, caput

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

# Fixtures
ca = servers.ca


@contextlib.asynccontextmanager
async def running(**kwargs: Any) -> AsyncIterator[Processor]:
    source = Processor(**kwargs)
    try:
        await source.startup()
        async with asyncio.timeout(60):
            yield source
    finally:
        await source.shutdown()


async def waits(source: Processor) -> bool:
    try:
        async with asyncio.timeout(0.3):
            await source.ready()
    except TimeoutError:
        return True
    return False


async def put(env: dict[str, str], *words: str) -> int:
    return (await asyncio.to_thread(caput, env, *words)).returncode


def test_as_in_the_document(ca: dict[str, str]) -> None:
    async def run() -> list[Any]:
        async with running(var="ene(0.0)", prefix="EXAMPLE:") as source:
            seen = [await source()]
            for value in ("3.14", "6.28", "6.28"):
                assert await waits(source)
                assert await put(ca, "EXAMPLE:ene", value) == 0
                seen.append(await source())
            assert await waits(source)
            return seen

    rows = asyncio.run(run())
    assert [row["var"] for row in rows] == [0.0, 3.14, 6.28, 6.28]
    assert str(rows[1]["var"]) == "3.14"


def test_types_and_order(ca: dict[str, str]) -> None:
    async def run() -> dict[str, Any]:
        async with running(
            name="name(sample 1)", scan="scan(7)", mark="mark", empty="empty()", rate="rate(1.5)"
        ) as source:
            first = await source()
            assert await put(ca, "scan", "12") == 0
            assert await put(ca, "name", "other") == 0
            second = await source()
            assert list(second) == list(first)
            assert (second["scan"], second["name"]) == (12, "other")
            assert await asyncio.to_thread(caget, ca, "-t", "rate") == "1.5"
            return first

    row = asyncio.run(run())
    assert list(row.items()) == [
        ("name", "sample 1"),
        ("scan", 7),
        ("mark", 0.0),
        ("empty", 0.0),
        ("rate", 1.5),
    ]
    assert f"{row['scan']:03d}" == "007"
    assert isinstance(row["mark"], np.float64)


@pytest.mark.parametrize("hang", [False, 0, "No"])
def test_without_hang_nothing_waits(ca: dict[str, str], hang: Any) -> None:
    async def run() -> None:
        async with running(scan="scan(0)", hang=hang) as source:
            assert [(await source())["scan"] for _ in range(3)] == [0, 0, 0]

    asyncio.run(run())


def test_suppress(ca: dict[str, str]) -> None:
    async def run() -> None:
        async with running(scan="scan(1)", suppress="initial,same") as source:
            assert await waits(source)
            assert await put(ca, "scan", "1") != 0  # refused, as it is equal
            assert await waits(source)
            assert await put(ca, "scan", "2") == 0
            assert (await source())["scan"] == 2

    asyncio.run(run())


@pytest.mark.errors_expected
def test_our_own_bad_put_is_told_at_once(
    ca: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        async with running(scan="scan(1)") as source:
            await source()
            sink = EpicsSink(a="scan", timeout=15.0)
            await sink.startup()
            async with asyncio.timeout(10):
                for value in (2**40, "many"):  # too large for a LONG; no number
                    await sink({"a": value})
                assert sink.failures == 2
                assert await waits(source)
                await sink({"a": 4})
                assert (await source())["scan"] == 4
            await sink.shutdown()

    asyncio.run(run())
    assert "refused it (ECA_PUTFAIL)" in caplog.text


def test_a_bad_put_harms_nobody(ca: dict[str, str]) -> None:
    async def run() -> None:
        async with running(scan="scan(1)") as source:
            await source()
            assert await put(ca, "scan", "many") != 0
            assert await waits(source)
            assert await put(ca, "scan", "3") == 0
            assert (await source())["scan"] == 3

    asyncio.run(run())


def test_arrays_images_and_enums(ca: dict[str, str]) -> None:
    async def run() -> None:
        async with running(
            spec="spec(ones:4)", image="image(uint16:2x3)", mode="mode(off|on|auto)",
            note="note(text:300)", bytes="bytes(uint8:3)", suppress="initial",
        ) as source:  # fmt: skip
            for words in (
                ("-a", "spec", "3", "1.5", "nan", "-inf"),
                ("-a", "image", "6", "1", "2", "3", "4", "5", "65535"),
                ("mode", "auto"),
                ("-S", "note", "x" * 299),
                ("-a", "bytes", "2", "7", "255"),
            ):
                assert await put(ca, *words) == 0, words
            row = await source()
            np.testing.assert_array_equal(row["spec"], [1.5, np.nan, -np.inf])
            assert (row["image"].dtype, row["image"].shape) == (np.uint16, (2, 3))
            assert row["image"].tolist() == [[1, 2, 3], [4, 5, 65535]]
            assert (row["mode"], row["note"], row["bytes"].tolist()) == (2, "x" * 299, [7, 255])
            assert row.attributes("mode")["enum_strings"] == ("off", "on", "auto")
            assert abs(row.attributes("spec")["timestamp"] - time.time()) < 60
            for bad in (
                ("-a", "image", "5", "1", "2", "3", "4", "5"),  # not a whole image
                ("-a", "image", "6", "1", "2", "3", "4", "5", "65536"),  # no uint16
                ("mode", "3"), ("mode", "open"),
            ):  # fmt: skip
                assert await put(ca, *bad) != 0, bad
            assert await waits(source)
            seen = await asyncio.to_thread(caget, ca, "-a", "image", "mode")
            assert "MAJOR" not in seen, "what was refused leaves no alarm"

    asyncio.run(run())


def test_every_write_is_an_iteration_and_too_many_are_refused(
    ca: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        async with running(
            n="n(0)", other="other(5)", every=1, queue=6, suppress="initial"
        ) as source:
            codes = [await put(ca, "n", str(number)) for number in range(1, 10)]
            assert codes == [0] * 6 + [1] * 3
            assert source.figures() == {"queued": 6, "merged": 0, "overruns": 3}
            assert [(await source())["n"] for _ in range(6)] == [1, 2, 3, 4, 5, 6]
            assert await waits(source)
            assert await put(ca, "n", "10") == 0
            assert dict(await source()) == {"n": 10, "other": 5}

    asyncio.run(run())
    assert caplog.text.count("the queue is full (said once)") == 1


def test_merged_writes_are_counted(ca: dict[str, str]) -> None:
    async def run() -> None:
        async with running(n="n(0)", other="other(5)", suppress="initial") as source:
            for words in (("n", "1"), ("other", "2"), ("n", "3")):
                assert await put(ca, *words) == 0
            assert dict(await source()) == {"n": 3, "other": 2}
            assert source.figures()["merged"] == 1

    asyncio.run(run())


@pytest.mark.parametrize("every", [0, 1])
def test_a_put_is_complete_when_its_iteration_has_ended(ca: dict[str, str], every: int) -> None:
    async def run() -> None:
        async with (
            running(n="n(0)", complete=1, every=every, suppress="initial") as source,
            asyncio.TaskGroup() as group,
        ):
            first = group.create_task(put(ca, "n", "1"))
            assert (await source())["n"] == 1
            # Others are served meanwhile.
            assert await asyncio.to_thread(caget, ca, "-t", "n") == "1"
            assert not first.done(), "its iteration has not ended"
            second = group.create_task(put(ca, "n", "2"))
            assert (await source())["n"] == 2  # by this call, the first one has ended
            assert await first == 0
            assert not second.done()
            await source.shutdown()  # before it could say that the second one has ended
            assert await second != 0

    asyncio.run(run())


@pytest.mark.parametrize(
    ("kwargs", "text"),
    [
        ({}, "needs a PV"),
        ({"a": "x(1"}, "PV\\(initial\\)"),
        ({"a": "x", "hang": "maybe"}, "yes or no"),
        ({"a": "x", "suppress": "all"}, "initial, same"),
        ({"a": "x", "b": "x"}, "two tags"),
        ({"a": "x(float:0)"}, "1 to"),
        ({"a": "x(a|b|a)"}, "comes twice"),
        ({"a": "x(" + "|".join("abcdefghijklmnopq") + ")"}, "17 states"),
        ({"a": "x(a||b)"}, "needs 1 to 25 bytes"),
        ({"a": "x", "queue": 0}, "queue=0"),
        ({"a": "x", "every": "some"}, "every=some: yes or no"),
    ],
)
def test_bad_options(kwargs: Any, text: str) -> None:
    with pytest.raises(BadOption, match=text):
        Processor(**kwargs)
