"""A real broker on real sockets."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgpack
import pytest

from camagick_broker.address import broker_address
from camagick_broker.broker import Broker
from camagick_broker.control import hear, say
from camagick_broker.errors import RemoteProtocolError
from camagick_broker.port import Outlet, Port
from camagick_broker.wire import Head, Kind, pack
from tests import hostile
from tests.asking import ask
from tests.broker.conftest import DEADLINE_S, RUN, until
from tests.broker.test_directory import ENTRY

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMES = {1: "a.1", 2: "b.2"}


class Actor:
    """Somebody who talks to the broker."""

    def __init__(self, port: Port, outlet: Outlet, number: int) -> None:
        self.port, self.outlet, self.number = port, outlet, number
        self.heard: list[dict[str, Any]] = []

    def tell(self, **content: Any) -> None:
        self.outlet.send([say(RUN, self.number, content)])

    def listen(self, timeout_ms: int = 20) -> list[str]:
        """Return what was said so far."""
        for source in self.port.wait(timeout_ms):
            for frames in self.port.receive(source):
                self.heard.append(hear(frames[0].buffer, RUN)[1])
        return [content["op"] for content in self.heard]


@contextmanager
def actors(folder: str, *numbers: int) -> Iterator[list[Actor]]:
    made = []
    for number in numbers:
        port = Port()
        outlet = port.connect_dealer(broker_address(folder), b"%d.1" % number)
        made.append(Actor(port, outlet, number))
    yield made
    for one in made:
        one.port.close()


def test_the_barrier_opens_when_all_are_registered_and_ready(serve, bus_dir):
    serve(NAMES)
    with actors(bus_dir, 1, 2) as (one, two):
        one.tell(op="register", **ENTRY)
        assert ask(RUN, bus_dir)["ready"] is False
        assert one.listen() == []
        two.tell(op="register", **ENTRY)
        until(lambda: "directory" in one.listen() and "directory" in two.listen(), "the directory")
        assert all(one.heard[0]["actors"][number].items() <= ENTRY.items() for number in (1, 2))
        two.tell(op="ready")
        until(lambda: ask(RUN, bus_dir)["actors"], "an answer")
        assert "go" not in one.listen() + two.listen()
        one.tell(op="ready")
        until(lambda: "go" in one.listen() and "go" in two.listen(), "the start")
        assert ask(RUN, bus_dir)["ready"] is True


def test_it_knows_the_newest_figures(serve, bus_dir):
    serve(NAMES)
    with actors(bus_dir, 1) as (one,):
        one.tell(op="statistics", seq=1)
        one.tell(op="statistics", seq=2)
        until(lambda: ask(RUN, bus_dir)["statistics"].get(1, {}).get("seq") == 2, "the figures")


def garbage() -> list[list[bytes]]:
    deep = msgpack.packb({"op": "statistics"})
    nest = b"\x91" * 800 + b"\x01"
    control = Head(Kind.CONTROL, RUN, 0, 1, 0)
    found = [[frame] for _, frame in hostile.prefixes(RUN, 0, 0)]
    found += [[pack(control, body)] for _, body in hostile.bodies()]
    found += [
        [pack(control, b"\x82\xa2op\xaastatistics\xa1a" + nest)], [pack(control, deep), b"more"],
        [], [b"", b""], [say(RUN, 1, {"op": "register"})], [say(RUN, 9, {"op": "ready"})],
        [say(RUN, 9, {"op": "register", **ENTRY})], [say(RUN, 1, {"op": "no such"})],
        [say(RUN, 1, {"op": "tell"})], [say(RUN, 1, {"op": "x" * 100_000})],
        [say(RUN, 1, {"op": "statistics", "a": ["list"]})], [say(RUN, 1, {"no": "op"})],
        [say(RUN, 1, {"op": 5})], [pack(Head(Kind.DATA, RUN, 0, 1, 0))],
        [pack(control, b"\x81\x91\x01\x02")],
    ]  # fmt: skip
    return [frames for frames in found if frames]


def test_garbage_does_not_kill_it_and_is_logged_once_a_kind(serve, bus_dir, caplog):
    served = serve(NAMES)
    with actors(bus_dir, 1, 2) as (one, two), caplog.at_level(logging.WARNING):
        for _ in range(3):
            for frames in garbage():
                one.outlet.send(frames)
        one.tell(op="status")
        until(lambda: "status" in one.listen(), "an answer after the garbage")
        assert served.alive
        refusals = served.broker._refusals
        assert refusals.counts["broker"] == 3 * len(garbage())
        lines = [record.getMessage() for record in caplog.records]
        assert len(lines) == len(set(lines)) < len(garbage())
        assert all("reason=" in line and len(line) < 400 for line in lines)
        two.tell(op="register", **ENTRY)
        one.tell(op="register", **ENTRY)
        until(lambda: "directory" in two.listen(), "the directory")


def test_strangers_are_not_remembered(serve, bus_dir):
    served = serve(NAMES)
    with actors(bus_dir, 1) as (one,):
        for number in range(100, 400):
            one.outlet.send([say(RUN, number, {"op": "register", **ENTRY})])
        one.tell(op="status")
        until(lambda: "status" in one.listen(), "an answer")
        assert not served.broker._peers


def test_asking_nobody_takes_no_longer_than_agreed(bus_dir, nothing_left):
    since = time.monotonic()
    with pytest.raises(TimeoutError, match=bus_dir):
        ask(RUN, bus_dir, timeout_s=0.2)
    assert time.monotonic() - since < DEADLINE_S


def test_two_brokers_cannot_stand_where_there_is_no_folder(nothing_left):
    with pytest.raises(OSError, match=r"/nowhere/broker\.ctl"):
        Broker(RUN, "/nowhere", NAMES)


def test_waiting_is_complained_about_with_names(serve, bus_dir, caplog, monkeypatch):
    monkeypatch.setattr("camagick_broker.broker._PATIENCE_S", 0.0)
    with caplog.at_level(logging.WARNING):
        serve(NAMES)
        until(lambda: "for=a.1,b.2" in caplog.text, "the complaint")


@pytest.mark.parametrize(
    "body", [b"", b"\xc1", b"\x90", b"\x80", b"\x81\xa2op\x01", b"\x81\x91\x01\x02", b"\x91" * 9999]
)
def test_control_messages_that_are_none_are_refused(body):
    with pytest.raises(RemoteProtocolError):
        hear(pack(Head(Kind.CONTROL, RUN, 0, 1, 0), body), RUN)


def test_control_messages_of_another_kind_or_run_are_refused():
    with pytest.raises(RemoteProtocolError, match="where a control message belongs"):
        hear(pack(Head(Kind.GO, RUN, 0, 1, 0)), RUN)
    with pytest.raises(RemoteProtocolError, match="another run"):
        hear(say(b"another!", 1, {"op": "x"}), RUN)
    assert hear(say(RUN, 3, {"op": "x", "n": {1: None}}), RUN) == (3, {"op": "x", "n": {1: None}})


def test_it_stops_at_once_when_rung(serve):
    served = serve(NAMES)
    stopper = threading.Thread(target=served.stop)
    stopper.start()
    stopper.join(DEADLINE_S)
    assert not served.alive
    served.broker.ring()  # late, as a signal may be
