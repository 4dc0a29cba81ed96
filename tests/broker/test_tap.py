"""A tap and its listeners, on real sockets."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from camagick_broker.address import broker_address, bus_folder, tap_address
from camagick_broker.control import say
from camagick_broker.events import ToConsumers
from camagick_broker.inquiry import Inquiry
from camagick_broker.listener import BusKilled, Heard, Listener
from camagick_broker.port import Port
from camagick_broker.refusals import Refusals
from camagick_broker.running import Card, Member, write
from camagick_broker.sizes import size_of
from camagick_broker.tap import Tap
from camagick_broker.tapping import Tally, stamped, topic_of
from camagick_broker.wire import Head, Kind, pack
from tests import hostile
from tests.asking import ask
from tests.broker.actors import Actor, frames_of, wirings
from tests.broker.conftest import RUN, Served, until

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMES = {1: "a.1", 2: "a.2"}
ACTORS = (Member(1, "a.1", (), 0), Member(2, "a.2", (1,), 0))


@pytest.fixture
def card() -> Iterator[Card]:
    """Give a bus that runs, as far as its folder tells."""
    card = Card("b", RUN, 1, "here", 1.0, ("caspy",), "0.1.0", ACTORS)
    with bus_folder("b") as folder:
        write(folder, card)
        yield card


@pytest.fixture
def broker(card: Card) -> Iterator[Served]:
    served = Served(str(card.folder), NAMES)
    yield served
    if served.alive:
        served.stop()


def to_consumers(frames: list[Any]) -> ToConsumers:
    return ToConsumers(frames, size_of(frames))


class Tapped:
    """An actor that is nothing but a tap."""

    def __init__(self, card: Card) -> None:
        self.port = Port()
        self.refusals = Refusals("a.1")
        self.wiring = wirings(str(card.folder), {1: (2,)})[1]
        self.tap = Tap(self.port, self.wiring, self.refusals)
        self.tap.open()

    def send(self, seq: int, value: Any = 0.0) -> None:
        self.tap.offer(to_consumers(frames_of(1, seq, value)))

    def end(self, seq: int) -> None:
        self.tap.offer(to_consumers([pack(Head(Kind.END, RUN, 1, 1, seq))]))

    def closes(self) -> bool:
        self.tap.watch(time.monotonic())
        return not self.tap.is_open

    def close(self) -> None:
        self.port.close()


@pytest.fixture
def tapped(card: Card) -> Iterator[Tapped]:
    made = Tapped(card)
    yield made
    made.close()


class Listening:
    """A listener that takes what comes when the test says so."""

    def __init__(self, card: Card, rate: float | None = None) -> None:
        self.listener = Listener(card, ACTORS[0], rate)
        self.heard: list[Heard] = []
        self.tally = Tally()

    def step(self) -> None:
        for one in self.listener.step(5):
            self.heard.append(one)
            if one.body is None:
                self.tally.end(one.seq, one.stamp)
            elif one.stamp is not None:
                self.tally.take(one.seq, one.stamp)

    def drain(self) -> None:
        """Take all that has come, until nothing comes for a while."""
        quiet = 0
        while quiet < 10:
            before = len(self.heard)
            self.step()
            quiet = 0 if len(self.heard) > before else quiet + 1

    @property
    def seqs(self) -> list[int]:
        return [one.seq for one in self.heard]


@pytest.fixture
def listen(card: Card) -> Iterator[Any]:
    made: list[Listening] = []

    def start(rate: float | None = None) -> Listening:
        made.append(Listening(card, rate))
        return made[-1]

    yield start
    for one in made:
        one.listener.close()


def attached(tapped: Tapped, listening: Listening, first: int = 0, value: Any = 0.0) -> int:
    """Send until the listener hears something; return the next iteration."""
    seq = first
    before = len(listening.heard)

    def hears() -> bool:
        nonlocal seq
        tapped.send(seq, value)
        seq += 1
        listening.step()
        return len(listening.heard) > before

    until(hears, "the first message")
    return seq


def test_values_arrive_as_they_were(tapped: Tapped, listen: Any) -> None:
    one = listen()
    image = np.arange(40_000.0).reshape(200, 200)
    attached(tapped, one, value=image)
    np.testing.assert_array_equal(one.heard[-1].body.data["tag"].value, image)
    assert not one.heard[-1].body.data["tag"].value.flags.writeable


def test_what_lies_in_slots_is_copied_for_a_tap(card: Card, tapped: Tapped, listen: Any) -> None:
    far = replace(tapped.wiring, far=frozenset(tapped.wiring.consumers))
    tapped.tap = Tap(tapped.port, far, tapped.refusals, slots=lambda _: np.zeros(1))
    tapped.tap.open()
    one, image = listen(), np.ones((1000, 1000))
    seq = attached(tapped, one, value=image)
    one.drain()
    tapped.send(seq, image)
    image[:] = -1  # the slot is used again
    until(lambda: one.step() or one.seqs[-1] == seq, "the last one")
    assert one.heard[-1].body.data["tag"].value.min() == 1


def test_a_slow_listener_loses_and_knows_how_much(tapped: Tapped, listen: Any) -> None:
    slow, fast = listen(), listen()
    first = attached(tapped, slow)
    first = attached(tapped, fast, first)
    slow.drain()
    start = slow.tally.received + slow.tally.missed
    for seq in range(first, first + 500):
        tapped.send(seq, np.zeros(20_000))
        until(lambda: fast.step() or fast.seqs[-1] >= seq - 2, "the fast one")  # noqa: B023
    tapped.end(first + 500)
    until(lambda: fast.step() or fast.listener.ended, "the end")
    slow.drain()
    slow.tally.end(first + 500, None)  # its own end has found no room
    assert slow.tally.missed > 100
    assert slow.tally.received + slow.tally.missed - start == 500
    assert slow.seqs == sorted(set(slow.seqs))
    assert fast.tally.skipped == 0


def test_a_rate_leaves_out_and_says_so(tapped: Tapped, listen: Any) -> None:
    every, some = listen(), listen(20.0)
    seq = attached(tapped, some)
    seq = attached(tapped, every, seq)
    begin = time.monotonic()
    while time.monotonic() < begin + 0.5:
        tapped.send(seq)
        seq += 1
        every.step()
        some.step()
    tapped.end(seq)
    until(lambda: (every.step(), some.step(), every.listener.ended, some.listener.ended)[2:]
          == (True, True), "the end")  # fmt: skip
    for one in (every, some):
        assert one.tally.received + one.tally.missed + one.tally.skipped == seq - one.seqs[0]
    assert some.tally.skipped > some.tally.received
    assert (some.tally.missed, every.tally.skipped) == (0, 0)


def test_it_closes_when_everybody_has_left(
    card: Card, tapped: Tapped, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("camagick_broker.booth.QUIET_S", 0.2)
    path = card.folder / "1.t"
    for _ in range(3):
        tapped.tap.open()
        one = Listening(card)
        attached(tapped, one)
        tapped.tap.watch(time.monotonic() + 100)
        assert tapped.tap.is_open, "somebody listens"
        one.listener.close()
        until(tapped.closes, "the end")
        assert not path.exists()
        tapped.send(0)  # to nobody


def test_a_restarted_actor_is_found_again(card: Card, tapped: Tapped, listen: Any) -> None:
    one = listen()
    seq = attached(tapped, one)
    one.drain()
    tapped.close()
    again = Tapped(card)  # its predecessor's file is still there
    try:
        attached(again, one, seq - 1)  # and it makes its last message once more
        one.drain()
    finally:
        again.close()
    assert one.tally.received == len(set(one.seqs))
    assert one.tally.received + one.tally.missed == max(one.seqs) - one.seqs[0] + 1


def test_the_queue_is_bounded_in_bytes(tapped: Tapped, listen: Any) -> None:
    """One that was made for small messages is made anew for large ones, and nobody is lost."""
    one = listen()
    seq = attached(tapped, one)
    outlet, opened = tapped.tap._booth._outlet, one.heard[-1].stamp[0]
    assert outlet is not None
    assert outlet.socket.sndhwm == 256
    tapped.send(seq, np.zeros(1 << 19))  # 4 MiB
    outlet = tapped.tap._booth._outlet
    assert outlet is not None
    assert outlet.socket.sndhwm == 4 - 1
    attached(tapped, one, seq + 1)
    one.drain()
    assert one.heard[-1].stamp[0] > opened
    assert one.tally.received + one.tally.missed == max(one.seqs) - one.seqs[0] + 1


def test_who_is_there_before_the_first_message_has_a_queue_that_fits(
    tapped: Tapped, listen: Any
) -> None:
    one = listen()

    def has_come() -> bool:
        tapped.tap.watch(time.monotonic())
        return bool(tapped.tap._booth.topics)

    until(has_come, "the listener")
    outlet = tapped.tap._booth._outlet
    for seq in range(2000):
        tapped.send(seq)
        if seq % 100 == 99:
            until(lambda: one.step() or len(one.heard) == seq + 1, f"{seq}")  # noqa: B023
    assert tapped.tap._booth._outlet is outlet
    assert one.seqs == list(range(2000))


def test_a_topic_that_all_had_left_begins_anew(tapped: Tapped, listen: Any) -> None:
    """Its ordinals do, and tell nothing of what somebody missed who comes back."""
    stays, first = listen(10.0), listen()
    seq = attached(tapped, first, attached(tapped, stays))
    first.drain()
    opened = first.heard[-1].stamp[0]
    first.listener.close()

    def has_left() -> bool:
        tapped.send(seq)
        return topic_of(None) not in tapped.tap._booth.topics

    until(has_left, "its leave")
    again = listen()
    attached(tapped, again, seq)
    assert again.heard[-1].stamp[0] > opened
    assert again.heard[0].stamp[1] < 2


def test_nothing_is_opened_where_nothing_is_handed_on(card: Card) -> None:
    port = Port()
    tap = Tap(port, wirings(str(card.folder), {1: (2,)})[2], Refusals("a.2"))
    tap.open()
    assert not tap.is_open
    port.close()


def test_a_tap_that_cannot_be_opened_hurts_nobody(
    card: Card, caplog: pytest.LogCaptureFixture
) -> None:
    (card.folder / "1.t").mkdir()
    tapped = Tapped(card)
    tapped.send(0)
    assert not tapped.tap.is_open
    assert "cannot be tapped" in caplog.text
    tapped.close()


def test_garbage_from_a_listener_is_refused_and_bounded(card: Card, tapped: Tapped) -> None:
    port = Port()
    address = tap_address(str(card.folder), 1)
    topics = [b"", b"D", b"x" * 5000, b"tnan\0", *(b"t%d\0" % n for n in range(1, 200))]
    for topic in topics:
        port.connect_tap(address, topic)

    def refused() -> int:
        port.wait(1)  # which lets subscriptions leave
        tapped.send(0)
        return tapped.refusals.counts["tap"]

    until(lambda: refused() >= len(topics) - 64, "the refusals")
    assert len(tapped.tap._booth.topics) == 64
    port.close()
    until(lambda: refused() and not tapped.tap._booth.topics, "their end")


def garbage() -> list[list[bytes]]:
    topic = topic_of(None)
    good = stamped(topic, 1, 0)
    found = [[good, *frames] for _, frames in hostile.corpus(RUN, 1, 1)]
    wrong_kind = pack(Head(Kind.STATE, RUN, 1, 1, 5), hostile.body_of(1.0))
    return [
        *found, [good], [topic], [topic + b"short", *frames_of(1, 5, 1)], [good, wrong_kind]
    ]  # fmt: skip


def test_garbage_from_a_tap_is_refused_like_on_the_bus(
    card: Card, listen: Any, caplog: pytest.LogCaptureFixture
) -> None:
    port = Port()
    outlet = port.bind_tap(tap_address(str(card.folder), 1), 3)
    one = listen()
    good = [stamped(topic_of(None), 1, 0), *frames_of(1, 0, 1.5)]

    def offer(frames: list[Any]) -> None:
        list(port.receive(outlet.socket))  # or libzmq does not see at once that there is room
        outlet.offer(frames)

    def hears() -> bool:
        offer(good)
        one.step()
        return bool(one.heard)

    until(hears, "the first message")
    one.drain()
    bad = garbage()
    for refused, frames in enumerate(bad, 1):
        offer(frames)
        until(lambda: one.step() or one.listener.refused >= refused, f"{frames[1:]!r:.80}")  # noqa: B023
    one.heard.clear()
    until(hears, "the next good message")
    assert one.listener.refused == len(bad)
    assert len(caplog.records) < len(bad)
    port.close()


def test_a_station_opens_its_tap_when_the_broker_asks(
    card: Card, broker: Served, listen: Any
) -> None:
    wired = wirings(str(card.folder), {1: (2,)})
    head, sink = Actor(wired[1]), Actor(wired[2])
    head.play(value=float)
    sink.play()
    try:
        until(lambda: len(sink.seen) > 50, "a start")
        assert not (card.folder / "1.t").exists()
        assert ask(RUN, str(card.folder))["ready"]
        one = listen()
        until(lambda: one.step() or len(one.heard) > 20, "messages")
        assert [entry.body.data["tag"].value for entry in one.heard] == [float(n) for n in one.seqs]
        head.station.call("stop")
        until(lambda: one.step() or one.listener.ended, "the end")
        head.join()
        sink.join()
        assert one.tally.received + one.tally.missed == len(head.seen) - one.seqs[0]
        assert sink.seen == [float(n) for n in range(len(head.seen))]
    finally:
        head.cut()
        sink.cut()


def test_without_an_end_the_broker_tells_it(card: Card, broker: Served, listen: Any) -> None:
    one = listen()
    until(lambda: one.step() or one.listener._heard_at > one.listener._looked_at, "an answer")
    broker.stop()
    until(lambda: one.step() or one.listener.ended, "the end")


def test_a_bus_that_goes_without_a_word(listen: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    one = listen()
    monkeypatch.setattr("camagick_broker.listener.fate", lambda _: "killed")
    with pytest.raises(BusKilled, match="bus b was killed"):
        until(lambda: one.step() or one.listener.ended)


def test_a_folder_that_is_gone_is_an_end(listen: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    one = listen()
    monkeypatch.setattr("camagick_broker.listener.fate", lambda _: "ended")
    until(lambda: one.step() or one.listener.ended, "the end")


def test_who_asks_for_nobody_is_told(card: Card, broker: Served) -> None:
    with Inquiry(RUN, card.folder) as inquiry:
        strange: list[Any] = [9, -1, "1", None, [1], True, {}]
        for number in strange:
            broker.broker._desk.tap(b"nobody", number)
        assert not broker.broker._desk._watchers
        assert inquiry.status() is not None


def test_the_last_word_has_the_last_figures(card: Card, broker: Served) -> None:
    wired = wirings(str(card.folder), {1: (2,)})
    with Inquiry(RUN, card.folder) as inquiry:
        assert inquiry.status() is not None
        head, sink = Actor(wired[1]), Actor(wired[2])
        head.play(value=float, end_after=30)
        sink.play()
        head.join()
        sink.join()
        broker.stop()
        word = inquiry.last_word(5.0)
        assert word is not None
        assert {n: one["seq"] for n, one in word["statistics"].items()} == {1: 30, 2: 30}
        assert all(one["final"] for one in word["statistics"].values())


def test_the_last_word_waits_for_the_last_figures(card: Card, broker: Served) -> None:
    """They may still be under way when the broker is told to end."""
    folder = str(card.folder)
    with Inquiry(RUN, folder) as inquiry:
        assert inquiry.status() is not None
        port = Port()
        outlet = port.connect_dealer(broker_address(folder), b"actors")
        ending = threading.Thread(target=broker.stop)
        ending.start()
        for number in NAMES:
            assert inquiry.last_word(0.05) is None
            outlet.send([say(RUN, number, {"op": "statistics", "seq": 7, "final": True})])
        word = inquiry.last_word(5.0)
        ending.join(5.0)
        port.close()
    assert word is not None
    assert [one["seq"] for one in word["statistics"].values()] == [7, 7]


def test_nobody_answers_for_ever(card: Card) -> None:
    with Inquiry(RUN, card.folder) as inquiry:
        for _ in range(3):
            assert inquiry.status(0.05) is None
        assert inquiry.last_word(0.05) is None


def test_watchers_are_not_remembered_for_ever(
    card: Card, broker: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = broker.broker._desk
    for number in range(1000):
        desk.watch(b"w%d" % number)
    assert len(desk._watchers) == 256
    monkeypatch.setattr("camagick_broker.desk._LEASE_S", -1.0)
    assert desk.may_part
    assert not desk._watchers
