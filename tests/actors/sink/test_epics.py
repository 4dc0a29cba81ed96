"""--to-epics into a real C IOC."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from camagick.data import Data
from camagick.errors import BadOption
from camagick.sink.epics import Processor
from tests.servers import ioc as servers
from tests.servers.fastioc import FastIoc
from tests.servers.ioc import DEADLINE, SoftIoc, ca_env, caget, until

if TYPE_CHECKING:
    from pathlib import Path

# Fixtures
ca = servers.ca
softioc_c = servers.softioc_c

Start = Callable[[str], SoftIoc]

DB = """
record(ao, "$(P)x") { }
record(longout, "$(P)n") { }
record(bo, "$(P)mark") { field(ZNAM, "idle") field(ONAM, "busy") }
record(stringout, "$(P)s") { }
record(waveform, "$(P)text") { field(FTVL, "CHAR") field(NELM, "100") }
record(waveform, "$(P)w") { field(FTVL, "DOUBLE") field(NELM, "8") }
record(seq, "$(P)slow") { field(DLY1, "0.5") field(LNK1, "$(P)done PP") field(DO1, "1") }
record(longout, "$(P)done") { }
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SoftIoc]:
    with ca_env() as env:
        one = SoftIoc(env, DB, tmp_path_factory.mktemp("ioc"))
        one.start()
        yield one
        one.kill()


@pytest.fixture
def ioc(server: SoftIoc, monkeypatch: pytest.MonkeyPatch) -> SoftIoc:
    """Give a C IOC that the tests of this file share; clients of this process find it."""
    for key, value in server.env.items():
        monkeypatch.setenv(key, value)
    return server


@contextlib.asynccontextmanager
async def running(*args: Any, **kwargs: Any) -> AsyncIterator[Processor]:
    sink = Processor(*args, **kwargs)
    try:
        await sink.startup()
        async with asyncio.timeout(60):
            yield sink
    finally:
        await sink.shutdown()


@pytest.mark.parametrize(
    ("name", "value", "read"),
    [
        ("x", np.float64(2.5), "2.5"),
        ("x", np.array([0.5]), "0.5"),
        ("x", 3, "3"),
        ("n", np.int64(-7), "-7"),
        ("n", np.float64(4.0), "4"),
        ("n", np.bool_(True), "1"),
        ("mark", 1, "busy"),
        ("mark", np.zeros(1), "idle"),
        ("mark", "busy", "busy"),
        ("s", "Grün", r"Gr\xc3\xbcn"),
        ("w", np.arange(6).reshape(2, 3), "6 0 1 2 3 4 5"),
        ("w", np.arange(3, dtype=">f4"), "3 0 1 2"),
        ("text", "long " * 15, ("long " * 15).strip()),
    ],
)
def test_values(ioc: SoftIoc, name: str, value: Any, read: str) -> None:
    async def run() -> Data:
        async with running(a=f"TEST:{name}") as sink:
            return await sink(Data({"b": 1, "a": value, "c": 2}))

    assert dict(asyncio.run(run())) == {"b": 1, "c": 2}
    words = ["-S"] if name == "text" else []
    assert caget(ioc.env, "-c", "-t", *words, f"TEST:{name}") == read


@pytest.mark.errors_expected
def test_errors_name_pv_and_value_and_cost_little(
    ioc: SoftIoc,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def run() -> None:
        async with running(
            gone="TEST:nosuch", x="TEST:x", absent="TEST:n", s="TEST:s", timeout=1.0
        ) as sink:
            for number in (1, 2):
                await sink({"gone": 1.5, "x": number, "s": "y" * 60})
            assert dict(sink.figures()) == {"written": 2, "missed": 6, "disconnects": 0}
            async with asyncio.timeout(0.9):  # it was waited for: that is not done again
                await sink({"gone": 2.5, "x": 2})

    asyncio.run(run())
    assert caget(ioc.env, "-t", "TEST:x") == "2"
    errors = [record.message for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 3
    text = "\n".join(errors)
    assert 'pv=TEST:nosuch tag=gone value=1.5 reason="not connected"' in text
    assert 'pv=TEST:n tag=absent value=- reason="no such tag"' in text
    assert "pv=TEST:s" in text


@pytest.mark.errors_expected
def test_a_pv_that_appears_later_is_written(
    softioc_c: Start,
    ca: dict[str, str],
) -> None:
    ioc = softioc_c(DB)
    ioc.kill()

    async def run() -> None:
        async with running(x="TEST:x", timeout=0.3) as sink:
            await sink({"x": 1.0})
            await asyncio.to_thread(ioc.start)
            while sink.failures:
                sink.failures = 0
                await sink({"x": 2.0})

    asyncio.run(run())
    assert caget(ioc.env, "-t", "TEST:x") == "2"


def test_what_is_written_meanwhile_waits_for_the_ioc(
    softioc_c: Start, ca: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    ioc = softioc_c(DB)

    async def run() -> None:
        async with running(x="TEST:x", n="TEST:n", timeout=DEADLINE) as sink:
            await sink({"x": 1.0, "n": 1})
            ioc.kill()
            waiting = asyncio.get_running_loop().create_task(sink({"x": 2.0, "n": 2}))
            await asyncio.to_thread(until, lambda: "disconnected" in caplog.text)
            await asyncio.to_thread(ioc.start)
            await waiting
            await asyncio.to_thread(until, lambda: "again" in caplog.text)
            assert dict(sink.figures()) == {"written": 4, "missed": 0, "disconnects": 2}

    asyncio.run(run())
    assert caget(ioc.env, "-t", "TEST:x", "TEST:n") == "2\n2"
    assert [record.message for record in caplog.records] == [
        f'msg="PV {what}" pv=TEST:x,TEST:n' for what in ("disconnected", "connected again")
    ]


def test_who_does_not_wait_goes_on_at_once(ioc: SoftIoc) -> None:
    async def run() -> None:
        async with (
            running(go="TEST:slow.PROC", wait="no") as hasty,
            running(go="TEST:slow.PROC", timeout=5.0) as patient,
        ):
            await hasty({"go": 1})
            assert caget(ioc.env, "-t", "TEST:done") == "0"
            await asyncio.to_thread(until, lambda: caget(ioc.env, "-t", "TEST:done") == "1")
            await asyncio.to_thread(ioc.put, "done", 0)
            await patient({"go": 1})
            assert caget(ioc.env, "-t", "TEST:done") == "1"

    asyncio.run(run())


@pytest.mark.errors_expected
def test_who_may_not_write_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "acf").write_text("ASG(DEFAULT) { RULE(1, READ) }")
    with ca_env() as env:
        server = FastIoc(env, DB, tmp_path)
        server.command += ["-a", str(tmp_path / "acf")]
        server.start()
        for key, value in env.items():
            monkeypatch.setenv(key, value)

        async def run() -> None:
            async with running(x="TEST:x", timeout=20.0) as sink:
                await sink({"x": 1.5})
                assert dict(sink.figures()) == {"written": 0, "missed": 1, "disconnects": 0}

        try:
            asyncio.run(run())
        finally:
            server.kill()
    assert 'pv=TEST:x tag=x value=1.5 reason="the server lets nobody write it"' in caplog.text


def test_bad_options() -> None:
    with pytest.raises(BadOption, match="yes or no"):
        Processor(wait="perhaps", a="b")
    with pytest.raises(BadOption, match="needs a tag"):
        Processor()
    with pytest.raises(BadOption, match="0 or more"):
        Processor(timeout=-1, a="b")
