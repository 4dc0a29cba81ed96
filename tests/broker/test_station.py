"""Real stations in threads, over real sockets."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zmq

from camagick_broker import address
from camagick_broker.control import say
from camagick_broker.port import Port
from camagick_broker.protocol import Permit
from camagick_broker.station import Station
from camagick_broker.wire import Head, Kind, pack, unpack
from tests import hostile
from tests.asking import ask
from tests.broker.actors import Actor, frames_of, wirings
from tests.broker.conftest import DEADLINE_S, RUN, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CHAIN = {1: (2,), 2: (3,)}
DIAMOND = {1: (2, 3), 2: (4,), 3: (4,)}
BYPASS = {1: (2, 3), 2: (3,)}
HEADS = {1: (3,), 2: (3,)}
APART = {1: (3,), 2: (4,)}


class Bus:
    """Actors on a bus, cut at the end of the test if they still live."""

    def __init__(self, folder: str, serve: Callable[[dict[int, str]], Any]) -> None:
        self.folder, self._serve = folder, serve
        self.actors: dict[int, Actor] = {}

    def start(self, edges: Any, only: Any = None, *, serve: bool = True, **options: Any) -> None:
        made = wirings(self.folder, edges, **options)
        if serve:
            self.serve(made)
        self.actors = {n: Actor(made[n]) for n in made if only is None or n in only}

    def serve(self, made: Any) -> Any:
        return self._serve({n: f"a.{n}" for n in made})

    def join(self) -> None:
        for one in self.actors.values():
            one.join()
            assert one.error is None

    def __getitem__(self, number: int) -> Actor:
        return self.actors[number]


@pytest.fixture
def bus(bus_dir: str, serve: Callable[[dict[int, str]], Any]) -> Iterator[Bus]:
    made = Bus(bus_dir, serve)
    yield made
    for one in made.actors.values():
        one.cut()


@pytest.mark.parametrize("lockstep", [False, True], ids=["window", "lockstep"])
@pytest.mark.parametrize("edges", [CHAIN, DIAMOND, BYPASS, HEADS, APART], ids=str)
def test_everything_arrives_in_order_and_all_end(bus, edges, lockstep):
    bus.start(edges, lockstep=lockstep, window=3)
    for one in bus.actors.values():
        one.play(lambda seq: seq, end_after=40 if one.wiring.is_head else None)
    bus.join()
    for one in bus.actors.values():
        assert one.seen == list(range(40))
        out = one.station._protocol.out
        assert out is None or out.kept == 0


def test_large_arrays_travel(bus):
    made = [np.full((64, 300), n, ">f4") for n in range(10)]
    bus.start(DIAMOND)
    for one in bus.actors.values():
        one.play(lambda seq: made[seq], end_after=10 if one.wiring.is_head else None)
    bus.join()
    for got, sent in zip(bus[4].seen, made, strict=True):
        assert got.dtype == sent.dtype
        assert np.array_equal(got, sent)
        assert not got.flags.writeable


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_an_actor_that_ends_ends_the_pipe(bus, number):
    bus.start(DIAMOND)
    for n, one in bus.actors.items():
        one.play(lambda seq: seq, end_after=7 if n == number else None)
    bus.join()
    assert bus[number].seen == list(range(7))


@pytest.mark.parametrize("number", [1, 2, 3])
def test_an_actor_that_cannot_start_ends_the_pipe(bus, number):
    bus.start(CHAIN)
    for n, one in bus.actors.items():
        if n == number:
            one.end(0)
        else:
            one.play(lambda seq: seq)
    bus.join()
    assert not any(one.seen for one in bus.actors.values())


def test_a_stop_ends_the_pipe_and_what_was_begun_arrives(bus):
    bus.start(CHAIN)
    for one in bus.actors.values():
        one.play(lambda seq: seq)
    until(lambda: len(bus[3].seen) > 20, "data")
    bus[1].station.call("stop")
    bus.join()
    assert bus[3].seen == bus[1].seen == list(range(len(bus[3].seen)))


def test_the_broker_may_come_last_and_everybody_before_it_be_in_a_hurry(bus):
    bus.start(HEADS, serve=False)
    for one in bus.actors.values():
        one.play(lambda seq: seq, end_after=5 if one.wiring.is_head else None)
    # By now the heads are armed, and have nobody to tell it to yet.
    until(lambda: not any(one.station._calls for one in bus.actors.values()), "the calls")
    bus.serve(bus.actors)
    bus.join()
    assert bus[3].seen == list(range(5))


def test_nothing_starts_before_everybody_is_ready(bus):
    bus.start(CHAIN)
    bus[1].play(lambda seq: seq, end_after=3)
    bus[3].play()
    until(lambda: bus[1].station._said_ready and bus[3].station._said_ready, "two to be ready")
    assert ask(RUN, bus.folder)["ready"] is False
    assert not bus[1].seen
    bus[2].play()
    bus.join()
    assert bus[3].seen == [0, 1, 2]


def test_the_broker_hears_the_figures(bus):
    bus.start({1: (2,)})
    for one in bus.actors.values():
        one.play(lambda seq: seq, end_after=5 if one.wiring.is_head else None)
    bus.join()

    def figures() -> dict[int, dict[str, Any]]:
        return dict(ask(RUN, bus.folder)["statistics"])

    until(lambda: {1, 2} <= figures().keys() and figures()[2]["seq"] == 5, "the last figures")
    told = figures()
    assert told[1]["out"]["messages"] == 6  # and the end
    assert told[2]["in"][1]["messages"] == 6
    assert told[2]["in"][1]["bytes"] == told[1]["out"]["bytes"]
    assert told[2]["refused"] == {}


def test_a_call_is_never_overlooked(bus, monkeypatch):
    """Another thread calls just when the station has seen that there is nothing to do."""
    bus.start({1: ()}, only=())
    station = Station(wirings(bus.folder, {1: ()})[1], lambda _: None)

    class Calls(deque[Any]):
        def __bool__(self) -> bool:
            empty = len(self) == 0
            if empty:
                monkeypatch.setattr(Calls, "__bool__", lambda self: len(self) > 0)
                station.call("started")
            return not empty

    station._calls = Calls()
    station._going, station._report_at = True, time.monotonic() + 3600
    waiter = threading.Thread(target=station.turn, daemon=True)
    waiter.start()
    waiter.join(DEADLINE_S)
    overlooked = waiter.is_alive()
    station._port.ring()
    waiter.join(DEADLINE_S)
    station._port.close()
    assert not overlooked


def _counted(wait: Callable[[int], Any], waits: list[int]) -> Callable[[int], Any]:
    def counted(timeout_ms: int) -> Any:
        waits.append(timeout_ms)
        return wait(timeout_ms)

    return counted


def test_an_idle_station_sleeps(bus, monkeypatch):
    bus.start(CHAIN)
    for one in bus.actors.values():
        one.station.call("started")
    assert isinstance(bus[1].get(), Permit)
    for seq in range(3):  # and something to be acknowledged
        bus[1].station.call("sent", seq, frames_of(1, seq, seq))
    for _ in range(3):
        bus[2].get()
    waits: list[int] = []
    for one in bus.actors.values():
        port = one.station._port
        monkeypatch.setattr(port, "wait", _counted(port.wait, waits))
    rung = time.monotonic()
    until(lambda: time.monotonic() > rung + 0.5, "half a second to pass")
    assert len(waits) < 20


@pytest.mark.parametrize("failure", [RuntimeError("odd"), KeyError("k")], ids=str)
def test_a_fault_of_the_program_is_raised_and_everything_closed(bus, failure):
    def deliver(_: Any) -> None:
        raise failure

    bus.start({1: ()}, only=())
    station = Station(wirings(bus.folder, {1: ()})[1], deliver)
    station.call("started")
    raised: list[BaseException] = []

    def run() -> None:
        try:
            station.run()
        except Exception as error:  # noqa: BLE001 - looked at below
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(DEADLINE_S)
    assert raised == [failure]
    station.call("ended", 0)  # the processor does not know yet
    station.cut()


def test_a_station_without_a_folder_says_where(nothing_left):
    with pytest.raises(OSError, match=r"/nowhere/1\.d"):
        Station(wirings("/nowhere", CHAIN)[1], lambda _: None)


# Strangers


class Stranger:
    """Somebody with sockets of his own, who says what he likes."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.port = Port()
        self.heard: list[Head] = []

    def register(self, number: int, *, multicast: bool = False) -> None:
        """Be actor `number`, for the broker."""
        dealer = self.port.connect_dealer(address.broker_address(self.folder), b"%d.1" % number)
        folder = self.folder
        entry = {
            "op": "register", "name": f"a.{number}", "pid": 1, "incarnation": 1,
            "data": address.data_address(folder, number),
            "back": address.back_address(folder, number),
            "loop": address.loop_address(folder, number), "multicast": multicast,
            "ready": False, "going": False,
        }  # fmt: skip
        dealer.send([say(RUN, number, entry)])
        dealer.send([say(RUN, number, {"op": "ready"})])

    def listen(self, kind: Kind) -> bool:
        """Tell whether a message of a kind has come."""
        for source in self.port.wait(20):
            for frames in self.port.receive(source):
                prefixes = [part.bytes for part in frames if part.bytes[:4] == b"CSPY"]
                self.heard += [unpack(prefix)[0] for prefix in prefixes]
        return any(head.kind is kind for head in self.heard)


@pytest.fixture
def stranger(bus_dir: str, nothing_left: None) -> Iterator[Stranger]:
    made = Stranger(bus_dir)
    yield made
    made.port.close()


def knock(path: str) -> None:
    """Do to a socket what scanners, browsers and broken programs do."""
    for words in (b"", b"GET / HTTP/1.1\r\n\r\n", bytes(1000), b"\xff" * 10 + b"\x7f" * 100):
        with socket.socket(socket.AF_UNIX) as one:
            one.settimeout(DEADLINE_S)
            one.connect(path)
            try:
                one.sendall(words)
            except (BrokenPipeError, ConnectionResetError):  # it has had enough already
                continue


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    found = [r.getMessage() for r in caplog.records if "refused" in r.getMessage()]
    assert all("actor=a." in line and 'from="' in line for line in found)
    assert all(len(line) < 500 for line in found)
    assert len(found) == len(set(found))
    return found


@pytest.mark.parametrize("multicast", [False, True], ids=["PULL", "SUB"])
def test_hostile_data_are_refused_and_the_next_good_frame_arrives(bus, stranger, caplog, multicast):
    edges = {1: (2, 3)} if multicast else {1: (2,)}
    consumers = len(edges[1])
    outlet = stranger.port.bind_data(address.data_address(bus.folder, 1), consumers)
    stranger.port.bind_pull(address.back_address(bus.folder, 1))
    bus.start(edges, only=(2,))
    stranger.register(1, multicast=multicast)
    if multicast:
        stranger.register(3)
    until(lambda: stranger.listen(Kind.HELLO), "the hello")
    corpus = hostile.corpus(RUN, 1, 0)
    topic = [b"D"] if multicast else []
    with caplog.at_level(logging.WARNING):
        for seq in range(2):
            for _, frames in hostile.corpus(RUN, 1, seq):
                outlet.send([*topic, *frames])
            if multicast:
                outlet.send(topic)
            outlet.send([*topic, *frames_of(1, seq, f"good {seq}")])
        for seq in range(2):
            joined = bus[2].get()
            assert joined.seq == seq
            assert joined.messages[0].body.data["tag"].value == f"good {seq}"
    counters = bus[2].station._protocol.inputs[1].counters
    assert counters.refused == 2 * (len(corpus) + multicast)
    assert counters.messages == 2
    assert bus[2].station._refusals.counts == {"input 1": counters.refused}
    found = lines(caplog)
    assert len(found) < 20
    assert sum("unreadable body" in line for line in found) == 1
    assert not hostile.DETONATED


def _backward() -> list[list[bytes]]:
    own = " where data belongs"  # not hostile in the name of an actor that may say such
    found = [frames for name, frames in hostile.corpus(RUN, 1, 0) if not name.endswith(own)]
    for kind in Kind:
        for sender, edge in ((9, 1), (2, 9), (2**32 - 1, 2**32 - 1)):
            found.append([pack(Head(kind, RUN, edge, sender, 2**64 - 1))])
    found += [[pack(Head(Kind.HELLO, RUN, 1, 2, 0)), b"and more"], [b"", b"", b""]]
    return found


@pytest.mark.parametrize("multicast", [False, True], ids=["PUSH", "XPUB"])
def test_hostile_words_to_a_producer_are_refused_and_it_starts(bus, stranger, caplog, multicast):
    edges = {1: (2, 3)} if multicast else {1: (2,)}
    bus.start(edges, only=(1,))
    bus[1].station.call("started")
    back = stranger.port.connect_push(address.back_address(bus.folder, 1))
    loop = stranger.port.connect_push(address.loop_address(bus.folder, 1))
    counts = bus[1].station._refusals.counts
    with caplog.at_level(logging.WARNING):
        for outlet in (back, loop):
            for frames in _backward():
                outlet.send(frames)
        for ending in "adl":
            knock(f"{bus.folder}/1.{ending}")
        assert stranger.port.flush([back, loop], DEADLINE_S)
        many = len(_backward())
        until(lambda: counts["back"] == many and counts["loop"] == many, "the refusals")
    assert len(lines(caplog)) < 30
    for number in edges[1]:
        data = stranger.port.connect_data(
            address.data_address(bus.folder, 1), multicast=multicast,
            identity=b"~%d\0%d" % (number, 1),
        )  # fmt: skip
        assert data is not None
        back.send([pack(Head(Kind.HELLO, RUN, 1, number, 0))])
        stranger.register(number)
    # libzmq subscribes in the thread that uses the socket: listen.
    until(lambda: stranger.listen(Kind.DATA) or bus[1].inbox.qsize(), "the start")
    assert bus[1].get() == Permit(0)
    bus[1].station.call("sent", 0, frames_of(1, 0, "good"))
    until(lambda: stranger.listen(Kind.DATA), "the data")


def test_hostile_subscriptions_are_refused(bus, stranger):
    bus.start({1: (2, 3)}, only=(1,))
    context: zmq.Context[Any] = zmq.Context()
    with context.socket(zmq.XSUB) as one:
        one.linger = 0
        one.connect(address.data_address(bus.folder, 1))
        for frame in (b"", b"hello", b"\1", b"\1~9\x001", b"\1" + bytes(5000), b"\1D"):
            one.send(frame)
        counts = bus[1].station._refusals.counts
        # libzmq itself drops an empty one; the last is a good one.
        until(lambda: counts["data"] >= 4, "the refusals")
    context.destroy(0)
    assert bus[1].station._links.subscriptions.topics(9) == []


def test_a_hostile_broker_is_refused_and_a_good_one_obeyed(bus_dir, nothing_left, caplog):
    port = Port()
    router = port.bind_router(address.broker_address(bus_dir))
    actor = Actor(wirings(bus_dir, {1: (2,)})[2])
    try:
        peers: list[bytes] = []

        def registered() -> bool:
            for source in port.wait(20):
                peers.extend(frames[0].bytes for frames in port.receive(source))
            return bool(peers)

        until(registered, "the registration")
        entry = {"data": "ipc:///x", "back": "ipc:///x", "loop": "ipc:///x", "multicast": False}
        words: list[Any] = [
            {"op": "directory"}, {"op": "directory", "actors": 5},
            {"op": "directory", "actors": {1: 5}}, {"op": "directory", "actors": {1: {}}},
            {"op": "directory", "actors": {1: {**entry, "data": 7}}},
            {"op": "directory", "actors": {1: {**entry, "back": "smb://x"}}},
            {"op": "directory", "actors": {1: {**entry, "multicast": "yes"}}},
        ]  # fmt: skip
        garbage = [frame for _, frame in hostile.prefixes(RUN, 0, 0)]
        with caplog.at_level(logging.WARNING):
            for frame in [*garbage, *(say(RUN, 0, word) for word in words)]:
                router.send([peers[0], frame])
            counts = actor.station._refusals.counts
            many = len(garbage) + len(words)
            until(lambda: counts["broker"] == many, "the refusals")
        router.send([peers[0], say(RUN, 0, {"op": "directory", "actors": {1: entry}})])
        until(lambda: actor.station._links.connected, "the connection")
    finally:
        actor.cut()
        port.close()
    assert actor.error is None


def test_an_idle_station_reports_now_and_then(bus):
    bus.start({1: ()}, only=())
    station = Station(wirings(bus.folder, {1: ()})[1], lambda _: None)
    try:
        assert [station._has_news() for _ in range(7)] == [
            True,
            False,
            True,
            False,
            False,
            True,
            False,
        ]
        station._row.made += 1
        assert [station._has_news() for _ in range(4)] == [True, True, False, True]
    finally:
        station._port.close()
