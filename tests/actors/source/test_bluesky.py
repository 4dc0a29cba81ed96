"""Bluesky's documents through a real proxy, from a real RunEngine, and to a real dispatcher."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import json
import os
import pickle
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from camagick.data import Data
from camagick.errors import BadOption, CamagickError
from camagick.processor import EndOfData
from camagick.service.bluesky_codec import dumps, dumps_json
from camagick.sink.bluesky import Processor as Sink
from camagick.source.bluesky import Processor as Source
from tests.buses import Run
from tests.servers import ioc as servers
from tests.servers import scan
from tests.servers.ioc import caget, free_port, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

pytest.importorskip("bluesky")
scan.without_channel_access()

ca = servers.ca

#: An independent reader: bluesky's dispatcher with msgpack-numpy's own way to decode.
_READER = """
import functools, json, sys, msgpack, msgpack_numpy
from bluesky.callbacks.zmq import RemoteDispatcher
from event_model import DocumentNames, schema_validators

def show(name, doc):
    schema_validators[DocumentNames[name]].validate(doc)
    print(json.dumps([name, doc], default=lambda array: array.tolist()), flush=True)

read = functools.partial(msgpack.loads, object_hook=msgpack_numpy.decode, strict_map_key=False)
dispatcher = RemoteDispatcher(sys.argv[1], deserializer=read)
dispatcher.subscribe(show)
dispatcher.start()
"""


class Proxy:
    """A running bluesky-0MQ-proxy: `into` for publishers, `out` for listeners."""

    def __init__(self, into: int, out: int) -> None:
        self.into, self.out = f"127.0.0.1:{into}", f"127.0.0.1:{out}"
        command = [
            sys.executable, "-m", "bluesky.commandline.zmq_proxy",
            "--in-address", f"127.0.0.1:{into}", "--out-address", f"127.0.0.1:{out}",
        ]  # fmt: skip
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def proxy() -> Iterator[Proxy]:
    with free_port() as into, free_port() as out:
        found = Proxy(into, out)
        yield found
        found.process.kill()
        found.process.wait()


@contextlib.contextmanager
def publisher(proxy: Proxy, serializer: Callable[[Any], bytes], prefix: bytes = b"") -> Any:
    from bluesky.callbacks.zmq import Publisher

    found: Any = Publisher(proxy.into, serializer=serializer, prefix=prefix)
    try:
        yield found
    finally:
        found.close()


@contextlib.asynccontextmanager
async def listening(proxy: Proxy, **options: Any) -> AsyncIterator[Source]:
    source = Source("0MQ", proxy.out, **options)
    try:
        await source.startup()
        async with asyncio.timeout(30):
            yield source
    finally:
        await source.shutdown()


async def heard(source: Source, say: Callable[[], Any]) -> tuple[Data, Data]:
    """Say something again and again until it is heard: 0MQ tells nobody who listens."""
    context = Data()
    while True:
        await asyncio.to_thread(say)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.3):
                await source.ready()
                return await source({}, context), context


def test_a_roi_of_a_scan_is_a_pv(proxy: Proxy, ca: dict[str, str]) -> None:
    words = ["--from-bluesky", "0MQ", proxy.out, "--only", "img", "--slice", "2:4", "1:4"]
    with (
        Run(*words, "--sum", "--rename", "{}_roi", "--to-ioc", "prefix=LIVE:") as run,
        publisher(proxy, dumps) as say,
    ):

        def read() -> str:
            scan.scan(3, say, last=7.0)
            return caget(ca, "-t", "LIVE:img_roi", deadline=1.0) if run.running else "ended"

        def shows() -> bool:
            with contextlib.suppress(AssertionError):
                return read() == "42"
            return False

        until(shows, "7 times 6 pixels")
        run.interrupt()
        assert run.wait() == 0, run.log


@pytest.mark.parametrize("serializer", [dumps, dumps_json], ids=["msgpack", "json"])
def test_events_with_all_that_is_known(proxy: Proxy, serializer: Any) -> None:
    async def run() -> tuple[Data, Data]:
        async with listening(proxy, prefix="us") as source:
            with publisher(proxy, serializer, b"us") as say:
                return await heard(source, lambda: scan.scan(2, say))

    row, context = asyncio.run(run())
    assert list(row) == ["det", "img", "motor", "motor_setpoint"]
    assert row["img"].shape == (8, 6)
    assert row["det"] == 1.0
    assert row.attributes("motor")["precision"] == 3
    assert row.attributes("motor")["timestamp"] == pytest.approx(time.time(), abs=60)
    assert context["seq_num"] == 1
    assert context["plan_name"] == "scan"
    assert isinstance(context["scan_id"], int)
    assert len(context["uid"]) == 36


def test_the_end_of_a_run_may_be_the_end(proxy: Proxy) -> None:
    async def run() -> tuple[int, int]:
        async with listening(proxy, until="stop") as source:
            with publisher(proxy, dumps) as say:
                await heard(source, lambda: scan.scan(3, say))
                count = 1
                with contextlib.suppress(EndOfData):
                    while True:
                        await source({}, {})
                        count += 1
            return count, int(source.figures()["missed"])

    assert asyncio.run(run()) == (3, 0)


@pytest.mark.long
def test_an_actor_that_is_killed_goes_on_in_the_run(proxy: Proxy) -> None:
    points = 200
    words = ["--from-bluesky", "0MQ", proxy.out, "prefix=slow", "--only", "motor$"]
    with (
        Run(*words, "--to-summary", "fmt={scan_id} {seq_num}") as run,
        publisher(proxy, dumps, b"slow") as say,
        concurrent.futures.ThreadPoolExecutor(1) as pool,
    ):

        def one() -> int:
            scan.scan(1, say)
            return run.out.count("\n")

        until(one, "a first event")
        before = run.out.count("\n")
        long_scan = pool.submit(scan.slow_scan, points, say, 0.02)
        until(lambda: run.out.count("\n") > before + 5, "some events")
        run.actor("bluesky.1").kill()
        long_scan.result(60)
        until(lambda: run.out.rstrip().endswith(f" {points}"), "the last event")
        until(lambda: "did not come" in run.log, "how many were lost")
        run.interrupt()
        assert run.wait() == 0, run.log
        lines = [line.split() for line in run.out.splitlines()]
        numbers = [int(number) for scan_id, number in lines if scan_id == lines[-1][0]]
        assert numbers == sorted(set(numbers))
        # Who begins to listen while one of the first scans goes on says so, before the kill.
        assert "in the middle" not in run.log.partition("killed by")[2]
        assert f"missed={points - len(numbers)} " in run.log


class _Touch:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self._path,)


@pytest.mark.errors_expected
def test_strangers_are_not_unpickled(
    proxy: Proxy, tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: Any
) -> None:
    trap = tmp_path / "trap"
    nested = {b"nd": True, b"type": "O", b"kind": b"O", b"shape": [1]}
    evil = [
        pickle.dumps({"uid": _Touch(trap)}),
        pickle.dumps({"uid": _Touch(trap)}, protocol=0),
        dumps({"uid": {**nested, b"data": pickle.dumps(_Touch(trap))}}),
        b"\xff\xfe garbage",
        b"[1, 2]",
        b"{" * 100_000,
    ]

    async def run() -> dict[str, Any]:
        async with listening(proxy) as source:
            with publisher(proxy, dumps) as say:
                await heard(source, lambda: scan.scan(1, say))
                with publisher(proxy, lambda document: document) as stranger:
                    while source.figures()["refused"] < 3 * len(evil) + 3:
                        for body in evil:
                            stranger("start", body)
                            stranger("event", body)
                            stranger("nonsense", body)
                        stranger._socket.send(b"x")
                        stranger("event", dumps({"descriptor": 5}))  # of a run that nobody knows
                        stranger("start", dumps({"no": "uid"}))
                        await asyncio.sleep(0.05)
                assert not trap.exists()
                row, _ = await heard(source, lambda: scan.scan(1, say))
                assert list(row) == ["det", "img", "motor", "motor_setpoint"]
                return dict(source.figures())

    assert asyncio.run(run())["refused"] > 0
    refusals = [r.getMessage() for r in caplog.records if r.levelname == "ERROR"]
    assert len(refusals) == 1, refusals  # one line, however many they send
    assert "Publisher(address, serializer=camagick.bluesky.dumps)" in refusals[0]
    assert capsys.readouterr().out == ""


def test_published_runs_are_what_the_event_model_says(proxy: Proxy) -> None:
    reader = subprocess.Popen(
        [sys.executable, "-c", _READER, proxy.out], stdout=subprocess.PIPE, text=True
    )
    image = np.arange(6, dtype="u2").reshape(2, 3)
    rows: list[tuple[int, dict[str, Any]]] = [
        (1, {"x": np.float64(1.5), "text": "a", "image": image}),
        (1, {"x": np.float64(2.5), "text": "b", "image": image}),
        (2, {"x": np.float64(3.5), "text": "c", "image": image}),
        (2, {"x": np.int64(4)}),
    ]

    async def publish() -> None:
        sink = Sink("0MQ", proxy.into, sample="Au")
        await sink.startup()
        for number, row in rows:
            data = Data(row)
            data.describe("x", {"units": "mm", "precision": 2, "upper_ctrl_limit": 9.0,
                                "timestamp": 1e9 + 0.5})  # fmt: skip
            await sink(data, {"scan_id": number})
        await sink.shutdown()

    documents: list[Any] = []
    try:
        assert reader.stdout is not None
        os.set_blocking(reader.stdout.fileno(), False)

        def complete() -> bool:
            """Publish, and see whether the reader was there from the beginning."""
            assert reader.stdout is not None
            documents.clear()
            asyncio.run(publish())
            end = time.monotonic() + 1.0
            while time.monotonic() < end and [name for name, _ in documents].count("stop") < 2:
                with contextlib.suppress(TypeError):  # nothing there yet
                    documents.extend(json.loads(line) for line in iter(reader.stdout.readline, ""))
                time.sleep(0.01)
            return len(documents) == 11

        until(complete, "two runs")
    finally:
        reader.kill()
        reader.wait()
        if reader.stdout is not None:
            reader.stdout.close()
    kinds = [name for name, _ in documents]
    assert kinds == [
        "start", "descriptor", "event", "event", "stop",
        "start", "descriptor", "event", "descriptor", "event", "stop",
    ]  # fmt: skip
    (start, descriptor, event), (stop, *_) = [d for _, d in documents[:3]], [documents[-1][1]]
    assert (start["sample"], start["scan_id"]) == ("Au", 1)
    assert descriptor["data_keys"]["x"]["units"] == "mm"
    assert descriptor["data_keys"]["x"]["limits"]["control"] == {"low": None, "high": 9.0}
    assert descriptor["data_keys"]["image"] == {
        "source": "caspy:image", "dtype": "array", "dtype_numpy": "<u2", "shape": [2, 3],
    }  # fmt: skip
    assert event["data"] == {"x": 1.5, "text": "a", "image": image.tolist()}
    assert event["timestamps"]["x"] == 1e9 + 0.5
    assert stop["num_events"] == {"primary": 2}


def test_nobody_to_publish_to_is_said() -> None:
    with free_port() as port:
        sink = Sink("0MQ", f"127.0.0.1:{port}", timeout=0.2)
        with pytest.raises(CamagickError, match=rf"nobody listens at 127\.0\.0\.1:{port}: bluesky"):
            asyncio.run(sink.startup())


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Source("kafka", "a:1"), "documents travel by 0MQ"),
        (lambda: Source("0MQ", "localhost"), "'localhost' is not host:port"),
        (lambda: Source("0MQ", "a:1", prefix="a b"), "must not have a space"),
        (lambda: Source("0MQ", "a:1", until="noon"), "there is only until=stop"),
        (lambda: Sink("0MQ", "a:99999"), "'a:99999' is not host:port"),
        (lambda: Sink("0MQ", "a:1", format="pickle"), "there is msgpack and json"),
        (lambda: Sink("0MQ", "a:1", timeout=0), "timeout=0 is not a number"),
        (lambda: Sink("0MQ", "a:1", stream=""), "stream= must not be empty"),
    ],
)
def test_wrong_options(make: Callable[[], Any], text: str) -> None:
    with pytest.raises(BadOption, match=text):
        make()
