"""PV Access through a whole run: a C IOC, caspy, and C clients behind it."""

from __future__ import annotations

import asyncio
import os
import shlex
import subprocess
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pytest

from camagick.source.pva import Processor
from tests.buses import CASPY, Run, caspy
from tests.pva_values import CASES, DATABASE
from tests.servers.ioc import full, tools, until
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
        try:
            one.start()
            for case in CASES:
                if case.put:
                    one.put(case.name, *case.put)
            yield one
        finally:
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


@pytest.mark.usefixtures("env")
def test_a_file_has_what_the_records_had(ioc: SoftIocPva, tmp_path: Path) -> None:
    names = [case.name for case in CASES]
    sink = ["--to-hdf5", str(tmp_path / "v.h5") + "#{tag}", "stamp=1"]
    done = caspy("-count", "1", "--from-pva", f"prefix={P}", *names, *sink)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    sent = structures(ioc.env, *(f"{P}{name}" for name in names))
    with h5py.File(tmp_path / "v.h5") as file:
        for case in CASES:
            dataset, expected = file[case.name], case.stored
            value = dataset.asstr()[0] if case.dtype == "str" else dataset[0]
            assert np.array_equal(value, expected, equal_nan=case.dtype[:5] == "float"), case.name
            assert dataset.shape == (1, *np.shape(expected)), case.name
            if case.dtype != "str" and "enum_strings" not in case.attributes:
                assert dataset.dtype == case.dtype, case.name
            for key in case.attributes.keys() - {"severity", "status"}:
                assert np.array_equal(dataset.attrs[key], case.attributes[key]), (case.name, key)
            stamp = sent[f"{P}{case.name}"]["timeStamp"]
            taken = stamp["secondsPastEpoch"] + 1e-9 * stamp["nanoseconds"]
            assert abs(file[f"{case.name}_timestamp"][0] - taken) < 1e-5, case.name
            assert file[f"{case.name}_severity"][0] == case.attributes.get("severity", 0), case.name


def test_a_run_survives_what_happens_around_it(ioc: SoftIocPva, env: dict[str, str]) -> None:
    _values_have_types_and_attributes()
    names = [case.name for case in CASES]
    sinks = ["{", "--to-pva", "prefix=OUT:", "later=int", "--to-pva", "prefix=TOO:", "}"]
    with Run("--from-pva", f"prefix={P}", *names, *sinks) as run:
        before = _values_come_out_as_they_went_in(ioc, env, names)
        # Two servers with one port for searches: both are found.
        assert structures(env, "TOO:double")["TOO:double"] == before["OUT:double"]
        with pvmonitor(env, "OUT:double") as monitor:
            # By its value: seldom pvmonitor forgets the name of a PV before it prints it.
            until(lambda: "12.3" in monitor.text(), "the monitor")
            run.actor("pva.2").kill()
            until(lambda: "<Disconnect>" in monitor.text(), "the monitor to notice")
            after = structures(env, "OUT:later", *before)
            assert after.pop("OUT:later")["value"] == 0
            assert after == before, "a new server has what the killed one had"
            ioc.put("double", "77.25")
            until(lambda: "77.25" in monitor.text(), "the monitor to go on")
            ioc.kill()
            until(lambda: "PV disconnected" in run.log, "the loss of the IOC")
            ioc.start()
            ioc.put("double", "66.25")
            until(lambda: "66.25" in monitor.text(), "the new IOC's value")
        until(lambda: "PV connected again" in run.log, "the line about it")
        run.interrupt()
        assert run.wait() == 0
    ioc.kill()  # no test leaves a process behind that it has started


def _values_come_out_as_they_went_in(
    ioc: SoftIocPva, env: dict[str, str], names: list[str]
) -> dict[str, Any]:
    sent = structures(ioc.env, *(f"{P}{name}" for name in names))
    got = structures(env, *(f"OUT:{name}" for name in names))
    for name in names:
        assert _known(got[f"OUT:{name}"]) == _known(sent[f"{P}{name}"]), name
    return got


def _values_have_types_and_attributes() -> None:
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


def _known(structure: dict[str, Any]) -> dict[str, Any]:
    """Return what an IOC says about a value, as far as a tag carries it."""
    stamp, display = structure["timeStamp"], structure.get("display", {})
    control, limits = structure.get("control", {}), structure.get("valueAlarm", {})
    return {
        "value": str(structure["value"]),  # NaN is not equal to NaN
        "alarm": structure["alarm"],
        "seconds": round(stamp["secondsPastEpoch"] + 1e-9 * stamp["nanoseconds"], 5),
        "units": display.get("units", ""),
        "precision": display.get("precision", 0),
        "limits": [
            np.nan_to_num(float(group.get(field, 0)))  # integers of a PV have no NaN
            for group, names in (
                (display, ("limitLow", "limitHigh")),
                (control, ("limitLow", "limitHigh")),
                (
                    limits,
                    ("lowAlarmLimit", "lowWarningLimit", "highWarningLimit", "highAlarmLimit"),
                ),
            )
            for field in names
        ],
    }


@pytest.mark.long
def test_nothing_is_read_twice_whoever_is_killed(env: dict[str, str], tmp_path: Path) -> None:
    with pva_env() as variables:
        ioc = SoftIocPva(variables, 'record(longout, "$(P)n") {}', tmp_path)
        port = search_port(variables)
        os.environ["EPICS_PVA_ADDR_LIST"] = f"127.0.0.1:{port}"  # put back by the fixture
        try:
            ioc.start()
            ioc.put("n", "7")
            _restarted(ioc)
        finally:
            ioc.close()


def _restarted(ioc: SoftIocPva) -> None:
    with Run("--from-pva", f"x={P}n", "--to-summary") as run:
        until(lambda: "x: 7" in run.out, "the first value")
        run.actor("pva.1").kill()
        until(lambda: "is started again" in run.log, "a new source")
        ioc.put("n", "9")
        until(lambda: "x: 9" in run.out, "what it reads")
        ioc.kill()
        until(lambda: "PV disconnected" in run.log, "the loss")
        ioc.start()
        until(lambda: "x: 0" in run.out, "its first value")
        ioc.put("n", "8")
        until(lambda: "PV connected again" in run.log and "x: 8" in run.out, "the rest")
        run.interrupt()
        assert run.wait() == 0
        assert run.out.split("\n") == ["x: 7", "x: 9", "x: 0", "x: 8", ""]
        assert run.log.count("PV disconnected") == run.log.count("PV connected again") == 1


_NETWORK = """
ip link set lo up
ip link add name wire0 type veth peer name wire1
ip addr add 10.77.0.1/24 brd + dev wire0
ip link set wire0 up
ip link set wire1 up
"""


@pytest.mark.long
@pytest.mark.skipif(os.getuid() != 0, reason="network namespaces need root")
def test_servers_of_one_host_are_found_with_default_settings() -> None:
    source = ["--from-scratch", "ones", "x=1", "rate=10"]
    runs = [[*CASPY, *source, "--to-pva", f"prefix={name}:"] for name in "ABC"]
    asked = [*CASPY, "--from-pva", "A:x", "B:x", "C:x", "--to-summary", "-count", "1"]
    lines = [
        "set -e", _NETWORK,
        *(f"{shlex.join(words)} & " for words in runs),
        f"timeout 20 {shlex.join(asked)}",
        *(f"timeout 20 {tools() / 'pvget'} -w 5 {name}:x" for name in "ABC"),
        "kill -INT $(jobs -p)", "wait",
    ]  # fmt: skip
    done = subprocess.run(
        ["unshare", "-n", "bash", "-c", "\n".join(lines)],
        env=full({}), capture_output=True, text=True, timeout=90, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[:3] == ["A_x: [1.]", "B_x: [1.]", "C_x: [1.]"]
    assert done.stdout.count("[1]") == 3
