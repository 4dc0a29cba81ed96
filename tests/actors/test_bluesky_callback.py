"""Callback: a real RunEngine with simulated hardware, into a flow here and on the bus."""

from __future__ import annotations

import asyncio
import signal
import socket
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import caspy
from camagick.bluesky import Callback, FlowFailed
from camagick.data import Data
from camagick.flow.chain import Processor as Chain
from camagick.pipe.npfun import Processor as Npfun
from camagick.processor import EndOfData
from camagick.service.bluesky_documents import Documents, Row
from camagick.service.bluesky_feed import Piped, send
from camagick.sink.summary import Processor as Summary
from tests.buses import wait_for
from tests.servers import scan

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("bluesky")
scan.without_channel_access()


class Kept:
    """A flow that keeps what comes."""

    def __init__(self) -> None:
        self.rows: list[tuple[dict[str, Any], dict[str, Any]]] = []

    def __call__(self, data: Any, context: Any) -> dict[str, Any]:
        self.rows.append((dict(data), dict(context)))
        return {}


def test_each_event_is_an_iteration() -> None:
    kept = Kept()
    with Callback(Chain(kept)) as callback:
        uids = [scan.scan(3, callback, last=2.0), scan.scan(2, callback)]
    assert [float(data["motor"]) for data, _ in kept.rows] == [0, 1, 2, 0, 1]
    assert [context["seq_num"] for _, context in kept.rows] == [1, 2, 3, 1, 2]
    assert [context["uid"] for _, context in kept.rows] == [uids[0]] * 3 + [uids[1]] * 2
    assert kept.rows[1][0]["img"].tolist() == np.ones((8, 6)).tolist()


def test_streams_are_told_apart() -> None:
    from bluesky.plan_stubs import close_run, create, open_run, read, save
    from ophyd.sim import motor

    def plan() -> Any:
        yield from open_run()
        for stream in ("baseline", "primary"):
            yield from create(stream)
            yield from read(motor)
            yield from save()
        yield from close_run()

    found = {}
    for stream in ("primary", "baseline", "all"):
        kept = Kept()
        with Callback(kept, stream=stream) as callback:
            scan.engine()(plan(), callback)
        found[stream] = [context["stream"] for _, context in kept.rows]
    assert found == {
        "primary": ["primary"], "baseline": ["baseline"], "all": ["baseline", "primary"],
    }  # fmt: skip


def test_frames_in_files_are_named_or_read(tmp_path: Path) -> None:
    from bluesky.plans import count
    from ophyd.sim import NumpySeqHandler, hw

    detector = hw(save_path=str(tmp_path)).img
    found = []
    for handlers in (None, {"NPY_SEQ": NumpySeqHandler}):
        kept = Kept()
        with Callback(kept, handlers=handlers) as callback:
            scan.engine()(count([detector], num=2), callback)
        found.append([data["img"] for data, _ in kept.rows])
    named, read = found
    assert all(text.startswith(str(tmp_path)) for text in named)
    assert [text.rpartition("?")[2] for text in named] == ["index=0", "index=1"]
    assert [frame.shape for frame in read] == [(10, 10)] * 2


@pytest.mark.errors_expected
def test_a_flow_that_fails_never_ends_a_measurement(caplog: pytest.LogCaptureFixture) -> None:
    def breaks(data: Any, context: Any) -> Any:
        raise ValueError("too much light")

    callback = Callback(breaks)
    points: list[str] = []

    def both(name: str, document: Any) -> None:
        points.append(name)
        callback(name, document)

    for _ in range(3):
        scan.scan(5, both)
    assert points.count("event") == 15
    with pytest.raises(FlowFailed, match="too much light"):
        callback.close()
    errors = [r.getMessage() for r in caplog.records if r.levelname == "ERROR"]
    assert errors == ['msg="the flow has failed: too much light"',
                      'msg="the flow has ended: events go nowhere"']  # fmt: skip


def test_a_flow_that_cannot_start_says_so() -> None:
    with pytest.raises(FlowFailed, match="fnord"):
        Callback(Summary(path="/fnord/x"))


def test_a_slow_flow_loses_nothing() -> None:
    import time

    kept = Kept()

    def slow(data: Any, context: Any) -> Any:
        time.sleep(0.002)
        return data

    with Callback(Chain(slow, kept), size=2) as callback:
        scan.scan(30, callback)
    assert [context["seq_num"] for _, context in kept.rows] == list(range(1, 31))


def test_on_the_bus_where_an_actor_may_be_killed(tmp_path: Path) -> None:
    import psutil

    out = tmp_path / "out"
    flow = Chain(Npfun("sum"), Summary(fmt="{tag} {} {seq_num}", path=str(out)))

    def written() -> list[str]:
        if not out.exists():
            return []
        return [line for line in out.read_text().splitlines() if line.startswith("motor ")]

    with Callback(flow, run=caspy.run) as callback:
        scan.scan(3, callback, last=2.0)
        wait_for(lambda: len(written()) == 3, "the first scan")
        below = psutil.Process().children(recursive=True)
        living = [one for one in below if one.status() != psutil.STATUS_ZOMBIE]
        [source] = [one for one in living if "piped" in "".join(one.cmdline())]
        source.send_signal(signal.SIGKILL)
        scan.scan(3, callback, last=2.0)
    assert written() == ["motor 0.0 1", "motor 1.0 2", "motor 2.0 3"] * 2
    images = [line for line in out.read_text().splitlines() if line.startswith("img ")]
    assert images == ["img 0.0 1", "img 48.0 2", "img 96.0 3"] * 2


def test_rows_after_a_kill_begin_with_a_whole_one(caplog: pytest.LogCaptureFixture) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    async def run() -> list[Any]:
        source = Piped(theirs)
        await source.startup()
        source.recall([{"number": 3}])
        ours.send(b"\x02the end of a row whose beginning was read by a predecessor")
        data = Data({"x": np.arange(9_000)})
        data.describe("x", {"units": "mm"})
        for number in (6, 7):
            send(ours, number, Row(data, {"scan_id": number}))
        context: dict[str, Any] = {}
        found = [await source({}, context), await source({}, context)]
        assert context == {"scan_id": 7}
        assert source.remember() == {"number": 7}
        ours.close()
        with pytest.raises(EndOfData):
            await source({}, context)
        await source.shutdown()
        return found

    first, _ = asyncio.run(run())
    assert first["x"].shape == (9_000,)
    assert first.attributes("x") == {"units": "mm"}
    assert "events were lost with a process that was killed" in caplog.text
    assert "missed=2" in caplog.text


def _run_of(*, data_keys: dict[str, Any]) -> Any:
    from event_model import compose_run

    run = compose_run(metadata={"scan_id": 7})
    return run, run.compose_descriptor(
        name="primary", data_keys=data_keys, object_keys={}, hints={}, configuration={}
    )


KEY = {"source": "X", "dtype": "number", "shape": [], "units": "mm", "precision": 2,
       "limits": {"alarm": {"low": -1, "high": 1}}}  # fmt: skip


def test_event_pages_are_several_events() -> None:
    run, stream = _run_of(data_keys={"a-x": KEY})
    page = stream.compose_event_page(
        data={"a-x": [1.5, 2.5]}, timestamps={"a-x": [10.0, 20.0]}, seq_num=[1, 2]
    )
    documents = Documents()
    documents.feed("start", run.start_doc)
    documents.feed("descriptor", stream.descriptor_doc)
    rows = documents.feed("event_page", page)
    documents.feed("stop", run.compose_stop())
    assert [(dict(row.data), row.context["seq_num"]) for row in rows] == [
        ({"a_x": 1.5}, 1), ({"a_x": 2.5}, 2),
    ]  # fmt: skip
    known = rows[1].data.attributes("a_x")
    assert known == {
        "units": "mm", "precision": 2, "source": "X", "timestamp": 20.0,
        "lower_alarm_limit": -1.0, "upper_alarm_limit": 1.0,
    }  # fmt: skip
    assert documents.missed == 0


def test_a_successor_goes_on_in_the_middle_of_a_run() -> None:
    run, stream = _run_of(data_keys={"x": KEY})
    documents = Documents()
    documents.feed("start", run.start_doc)
    documents.feed("descriptor", stream.descriptor_doc)
    documents.feed("event", stream.compose_event(data={"x": 1.0}, timestamps={"x": 0.0}))
    successor = Documents()
    successor.restore(documents.state())
    stream.compose_event(data={"x": 2.0}, timestamps={"x": 0.0})  # came while nobody was there
    [row] = successor.feed("event", stream.compose_event(data={"x": 3.0}, timestamps={"x": 0.0}))
    assert (row.data["x"], row.context["seq_num"], row.context["scan_id"]) == (3.0, 3, 7)
    assert row.data.attributes("x")["units"] == "mm"
    successor.feed("stop", run.compose_stop())
    assert (successor.stopped, successor.missed) == (1, 1)
    assert documents.state() != successor.state()


def test_stream_documents_say_where_frames_are() -> None:
    run, stream = _run_of(data_keys={"det": {**KEY, "external": "STREAM:"}})
    resource = run.compose_stream_resource(
        mimetype="application/x-hdf5", uri="file://localhost/data/my%20file.h5", data_key="det",
        parameters={"dataset": "/entry/data"},
    )  # fmt: skip
    datum = resource.compose_stream_datum(
        indices={"start": 3, "stop": 5}, seq_nums={"start": 4, "stop": 6},
        descriptor=stream.descriptor_doc,
    )  # fmt: skip
    documents = Documents()
    for name, document in (
        ("start", run.start_doc),
        ("descriptor", stream.descriptor_doc),
        ("stream_resource", resource.stream_resource_doc),
    ):
        assert documents.feed(name, document) == []
    [row] = documents.feed("stream_datum", datum)
    assert dict(row.data) == {"det": "/data/my file.h5#entry/data[3:5]"}
    assert row.context["seq_num"] == 4
    stop = {**run.compose_stop(), "num_events": {"primary": 5}}
    documents.feed("stop", stop)
    assert documents.missed == 0


def test_events_that_did_not_come_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    run, stream = _run_of(data_keys={"x": KEY})
    documents = Documents()
    documents.feed("start", run.start_doc)
    documents.feed("descriptor", stream.descriptor_doc)
    for number in range(5):
        event = stream.compose_event(data={"x": 1.0}, timestamps={"x": 0.0})
        if number != 3:
            documents.feed("event", event)
    documents.feed("stop", run.compose_stop())
    assert documents.missed == 1
    assert 'msg="events of a run did not come" missed=1 scan_id=7' in caplog.text


def test_a_run_that_began_before_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    run, stream = _run_of(data_keys={"x": KEY})
    documents = Documents()
    for _ in range(2):
        event = stream.compose_event(data={"x": 1.0}, timestamps={"x": 0.0})
        assert documents.feed("event", event) == []
    documents.feed("stop", run.compose_stop())
    assert caplog.text.count("in the middle of a run") == 1
