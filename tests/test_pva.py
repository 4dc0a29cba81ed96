"""PV Access through a whole run: a C IOC, caspy, and C clients behind it."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.buses import Run
from tests.pva_values import CASES, DATABASE
from tests.servers.ioc import until
from tests.servers.pva import SoftIocPva, pva_env, pvmonitor, search_port, structures

pytest.importorskip("p4p")

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

P = SoftIocPva.PREFIX


@pytest.fixture(scope="module")
def ioc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SoftIocPva]:
    with pva_env() as env:
        one = SoftIocPva(env, DATABASE, tmp_path_factory.mktemp("ioc"))
        one.start()
        for case in CASES:
            if case.put:
                one.put(case.name, *case.put)
        yield one
        one.close()


@pytest.fixture
def env(monkeypatch: pytest.MonkeyPatch, ioc: SoftIocPva) -> Iterator[dict[str, str]]:
    """Point this process, and runs of it, to a server of its own and to the IOC."""
    for key in [key for key in os.environ if key.startswith("EPICS_")]:
        monkeypatch.delenv(key)
    with pva_env(search_port(ioc.env)) as variables:
        for key, value in variables.items():
            monkeypatch.setenv(key, value)
        yield variables


def test_values_come_out_as_they_went_in(ioc: SoftIocPva, env: dict[str, str]) -> None:
    names = [case.name for case in CASES]
    with Run("--from-pva", f"prefix={P}", *names, "--to-pva", "prefix=OUT:") as run:
        sent = structures(ioc.env, *(f"{P}{name}" for name in names))
        got = structures(env, *(f"OUT:{name}" for name in names))
        run.interrupt()
        assert run.wait() == 0
    for name in names:
        assert _known(got[f"OUT:{name}"]) == _known(sent[f"{P}{name}"]), name


def _known(structure: dict[str, Any]) -> dict[str, Any]:
    """Return what an IOC says about a value, as far as a tag carries it."""
    display = structure.get("display", {})
    stamp = structure["timeStamp"]
    return {
        "value": structure["value"],
        "alarm": structure["alarm"],
        "seconds": round(stamp["secondsPastEpoch"] + 1e-9 * stamp["nanoseconds"], 5),
        "display": {key: display.get(key) for key in ("limitLow", "limitHigh", "units", "precision")},
        "control": [structure.get("control", {}).get(key) for key in ("limitLow", "limitHigh")],
    }


def test_types_and_attributes_of_every_kind_of_record(ioc: SoftIocPva, env: dict[str, str]) -> None:
    import asyncio

    from camagick.source.pva import Processor

    async def look() -> Any:
        node = Processor(*(case.name for case in CASES), prefix=P)
        await node.startup()
        try:
            async with asyncio.timeout(20):
                return await node()
        finally:
            await node.shutdown()

    row = asyncio.run(look())
    assert list(row) == [case.name for case in CASES]
    for case in CASES:
        value, known = row[case.name], row.attributes(case.name)
        dtype = "str" if isinstance(value, str) or value.dtype.kind == "U" else value.dtype.name
        assert dtype == case.dtype, case.name
        assert np.ndim(value) == (case.record[0] == "waveform"), case.name
        assert {key: known.get(key) for key in case.attributes} == case.attributes, case.name
        if case.put:
            assert known["timestamp"] > 1.7e9


def test_a_killed_server_comes_back_with_what_it_published(
    ioc: SoftIocPva, env: dict[str, str]
) -> None:
    words = ["--from-pva", f"x={P}double", "--to-pva", "prefix=K:", "later=int"]
    with Run(*words) as run, pvmonitor(env, "K:x") as (_, file):
        before = structures(env, "K:x")["K:x"]
        until(lambda: "K:x" in file.read_text(), "the first update")
        run.actor("pva.1").send_signal(signal.SIGKILL)
        until(lambda: "isconnect" in file.read_text(), "the monitor to notice")
        assert structures(env, "K:x")["K:x"] == before
        ioc.put("double", "77.25")
        until(lambda: "77.25" in file.read_text(), "the monitor to go on")
        assert structures(env, "K:later")["K:later"]["value"] == 0
        run.interrupt()
        assert run.wait() == 0
        assert "is started again" in run.log


def test_an_ioc_that_comes_back_is_read_again(
    ioc: SoftIocPva, env: dict[str, str], tmp_path: Path
) -> None:
    ioc.put("long", "7")
    with Run("--from-pva", f"x={P}long", "--to-summary") as run:
        until(lambda: run.out.split("\n")[:1] == ["x: 7"], "the first value")
        ioc.kill()
        until(lambda: "PV disconnected" in run.log, "the loss")
        ioc.start()
        ioc.put("long", "8")
        until(lambda: run.out.endswith("x: 8\n"), "the value after it")
        until(lambda: "PV connected again" in run.log, "the line about it")
        run.interrupt()
        assert run.wait() == 0
        assert run.log.count("PV disconnected") == run.log.count("PV connected again") == 1
