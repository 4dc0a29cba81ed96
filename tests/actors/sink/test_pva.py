"""--to-pva, seen by the C clients pvget, pvput and pvmonitor, and by p4p's own client."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
import pytest

from camagick.data import Data
from camagick.errors import BadOption
from camagick.sink.pva import Processor
from camagick.testing import check_processor
from tests.servers.ioc import until
from tests.servers.pva import pva_env, pvget, pvmonitor, structures, tool

pytest.importorskip("p4p")

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.servers.pva import Pvmonitor


@pytest.fixture
def env(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    for key in [key for key in os.environ if key.startswith("EPICS_")]:
        monkeypatch.delenv(key)
    with pva_env() as variables:
        for key, value in variables.items():
            monkeypatch.setenv(key, value)
        yield variables


@contextmanager
def serving(**options: Any) -> Iterator[Any]:
    """Give a function that publishes tags, each a value or (value, attributes)."""
    node = Processor(prefix="T:", **options)
    asyncio.run(node.startup())

    def post(**tags: Any) -> None:
        data = Data()
        for tag, value in tags.items():
            data[tag], known = value if isinstance(value, tuple) else (value, {})
            data.describe(tag, known)
        node.process(data, Data())
        node.seq += 1

    post.node = node  # type: ignore[attr-defined]
    try:
        yield post
    finally:
        asyncio.run(node.shutdown())


def test_contract(env: dict[str, str]) -> None:
    check_processor(Processor, {"x": np.arange(6.0), "y": 1, "z": "text"}, {"x": np.eye(2)})


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"suppress": "all"}, "only 'same'"),
        ({"stamp": "then"}, "source, now"),
        ({"x": "complex"}, "x=complex is no type"),
        ({"x": "off|"}, "no type"),
        ({"x": "string:2x2"}, "no type"),
        ({"x": "double[3]"}, "no type"),
        ({"image": "perhaps"}, "image=perhaps: yes or no"),
    ],
)
def test_bad_options_are_named(options: Any, why: str) -> None:
    with pytest.raises(BadOption, match=why):
        Processor(**options)


def test_values_arrive_with_what_is_known_about_them(env: dict[str, str]) -> None:
    known = {
        "units": "mm", "precision": 3, "timestamp": 1700000000.25, "severity": 2, "status": 3,
        "lower_disp_limit": -1.0, "upper_disp_limit": 9.0, "lower_ctrl_limit": -2.0,
        "upper_ctrl_limit": 8.0, "lower_alarm_limit": -5.0, "upper_alarm_limit": 5.0,
        "lower_warning_limit": -4.0, "upper_warning_limit": float("nan"),
    }  # fmt: skip
    with serving() as post:
        post(
            d=(np.float64(1.5), known), i=(np.int64(-(2**63)), known), u=np.uint64(2**64 - 1),
            b=np.bool_(True), s="hällo" * 200, e=(np.int32(1), {"enum_strings": ("off", "on")}),
            a=np.array([1, 65535], np.uint16), texts=np.array(["a", ""]), none=np.empty(0),
            h=np.float16(0.5), raw=b"bytes",
        )  # fmt: skip
        names = [f"T:{name}" for name in ("d", *"iubsea", "texts", "none", "h", "raw")]
        seen = structures(env, *names)
        unsigned = pvget(env, "T:u")
    d = seen["T:d"]
    assert d["value"] == 1.5
    assert d["alarm"] == {"severity": 2, "status": 1, "message": "HIHI"}
    assert d["timeStamp"]["secondsPastEpoch"] == 1700000000
    assert d["timeStamp"]["nanoseconds"] == 250000000
    assert (d["display"]["units"], d["display"]["precision"]) == ("mm", 3)
    assert (d["display"]["limitLow"], d["display"]["limitHigh"]) == (-1, 9)
    assert (d["control"]["limitLow"], d["control"]["limitHigh"]) == (-2, 8)
    assert (d["valueAlarm"]["lowAlarmLimit"], d["valueAlarm"]["highAlarmLimit"]) == (-5, 5)
    assert d["valueAlarm"]["lowWarningLimit"] == -4
    # pvget says unsigned numbers in JSON as if they had a sign.
    assert unsigned.split()[-1] == str(2**64 - 1)
    values = [seen[name]["value"] for name in names[1:]]
    assert values == [
        -(2**63), -1, True, "hällo" * 200, {"index": 1, "choices": ["off", "on"]},
        [1, 65535], ["a", ""], [], 0.5, "bytes",
    ]  # fmt: skip
    assert seen["T:i"]["display"]["units"] == "mm"
    assert seen["T:u"]["alarm"]["severity"] == 0


def test_images_are_what_areadetector_sends(env: dict[str, str]) -> None:
    from p4p.client.thread import Context

    mono = np.arange(12, dtype=np.uint16).reshape(3, 4)
    colour = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    with serving() as post, Context("pva") as client:
        post(mono=mono[:, ::-1], colour=(colour, {"uniqueId": 77}))
        post(mono=mono[:, ::-1])
        seen = client.get("T:mono", timeout=10)
        np.testing.assert_array_equal(seen, mono[:, ::-1])
        assert seen.raw["uniqueId"] == 1
        assert seen.attrib["ColorMode"] == 0
        seen = client.get("T:colour", timeout=10)
        np.testing.assert_array_equal(seen, colour)
        assert [one.size for one in seen.raw.dimension] == [3, 4, 2]
        assert (seen.raw["uniqueId"], seen.attrib["ColorMode"]) == (77, 2)
        assert seen.raw["compressedSize"] == seen.raw["uncompressedSize"] == 24
    with serving(image=False) as post:
        post(mono=mono)
        assert structures(env, "T:mono")["T:mono"]["value"] == list(range(12))


@pytest.mark.errors_expected
def test_declared_pvs_are_there_from_the_start_and_keep_their_type(
    env: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    types = {"x": "int", "v": "float32[]", "m": "off|on", "s": "string", "i": "uint8:64x32"}
    with serving(**types) as post:
        seen = structures(env, "T:x", "T:v", "T:m", "T:s", "T:i")
        assert {name: one["alarm"]["severity"] for name, one in seen.items()} == dict.fromkeys(
            seen, 3
        )
        post(x=5.0, v=np.array([1.5, 2]), m="on", s="text", i=np.full((2, 2), 200.0))
        post(x=5.5, v=1.0, m=2, s=3, i=np.full((2, 2), 300))
        post(x=6.5)
        seen = structures(env, "T:x", "T:v", "T:m", "T:s", "T:i")
    assert [seen[name]["value"] for name in ("T:x", "T:v", "T:s")] == [5, [1.5, 2], "text"]
    assert seen["T:m"]["value"]["index"] == 1
    assert seen["T:i"]["uncompressedSize"] == 4
    said = [record.getMessage() for record in caplog.records if "cannot publish" in record.msg]
    assert len(said) == 5


@pytest.mark.errors_expected
def test_a_pv_follows_the_type_of_its_tag(
    env: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    with serving() as post:
        post(x=1)
        with pvmonitor(env, "T:x") as file:
            until(_lines(file, 1), "the first value")
            for value in (2.5, "text", np.arange(3), np.eye(2), object()):
                post(x=value)
            assert "NTNDArray" in pvget(env, "-v", "T:x")
            until(lambda: "NTNDArray" in file.text(), "the monitor to come back")
    assert "PV Access has no type for object" in caplog.text


def test_clients_write_only_where_they_may(env: dict[str, str]) -> None:
    with serving() as post:
        post(x=1.5)
        done = tool(env, "pvput", "-w", "2", "T:x", "7")
        assert "reading only" in done.stdout + done.stderr
        assert structures(env, "T:x")["T:x"]["value"] == 1.5
    with serving(writable=True) as post:
        post(x=1.5)
        done = tool(env, "pvput", "-w", "2", "T:x", "7")
        assert done.returncode == 0, done.stderr
        seen = structures(env, "T:x")["T:x"]
        assert seen["value"] == 7
        assert seen["timeStamp"]["secondsPastEpoch"] > 1.7e9


def test_what_is_the_same_is_not_sent_again(env: dict[str, str]) -> None:
    with serving(suppress="same", stamp="now") as post:
        post(n=0, x=np.nan)
        with pvmonitor(env, "T:n", "T:x") as file:
            # By lines: seldom pvmonitor forgets the name of a PV before it prints it.
            until(_lines(file, 2), "the first values")
            for number in range(1, 4):
                post(n=number, x=np.nan)
                until(_lines(file, number + 2), "an update")
            post(n=3, x=1.0)
            until(_lines(file, 6), "the change")
            post(n=4, x=1.0)
            until(lambda: " 4 " in file.text(), "the last")
            assert _lines(file, 7)(), file.text()


def _lines(file: Pvmonitor, count: int) -> Callable[[], bool]:
    return lambda: file.text().count("\n") == count


def test_a_stopped_client_hurts_nobody(env: dict[str, str]) -> None:
    frame = np.zeros((1000, 2000), np.uint16)
    process = psutil.Process()
    with serving() as post, pvmonitor(env, "T:img") as file:
        post(img=frame, n=0)
        until(lambda: "\n" in file.text(), "the first image")
        file.process.send_signal(signal.SIGSTOP)
        post(img=frame, n=0)
        before = process.memory_info().rss
        with pvmonitor(env, "T:n") as other:
            for number in range(100):  # 400 MB
                post(img=frame, n=number)
            until(lambda: "99" in other.text(), "the last number")
            assert process.memory_info().rss - before < 60e6
        file.process.send_signal(signal.SIGCONT)
