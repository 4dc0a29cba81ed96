"""Taps between hosts, without hosts: both ends on real sockets, with a pipe between them."""

from __future__ import annotations

import os
import tempfile
from typing import TYPE_CHECKING, Any

import pytest

from camagick_broker.address import tap_address
from camagick_broker.booth import Booth
from camagick_broker.control import say
from camagick_broker.errors import RemoteProtocolError
from camagick_broker.port import Port
from camagick_broker.refusals import Refusals
from camagick_broker.tapping import stamp_of, stamped, topic_of
from caspy.hosts.channel import Channel
from caspy.hosts.overhearing import Overhearing
from caspy.hosts.pieces import PIECE_BYTES
from caspy.hosts.retelling import Retelling
from tests.buses import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

RUN = b"any run!"
ALL = topic_of(None)


class Pair:
    """A far host with one actor, this host with one link; both in one process."""

    def __init__(self, there: str, here: str) -> None:
        self.far, self.home, self.ears = Port(), Port(), Port()
        up, down = os.pipe(), os.pipe()
        self.gate, self.link = Channel(down[0], up[1]), Channel(up[0], down[1])
        self.actor = Booth(self.far, tap_address(there, 1), "actor", Refusals("actor"))
        self.actor.open()
        self.overhearing = Overhearing(self.far, self.gate, there)
        self.retelling = Retelling(self.home, self.link, here, RUN, [1])
        self.here = here
        self.said = 0
        self.heard: list[tuple[int, int]] = []  # ordinals and sizes
        self.listener: Any = None

    def listen(self) -> None:
        self.retelling.note(1, say(RUN, 0, {"op": "tap"}))
        self.listener = self.ears.connect_tap(tap_address(self.here, 1), ALL)
        self.until(lambda: ALL in self.actor.topics, "the subscription to arrive")

    def say(self, size: int) -> None:
        """Let the actor say something, and the gate hear it."""
        self.actor.attend(size)
        self.actor.offer([stamped(ALL, 1, self.said), bytes(size)])
        self.said += 1
        self.gate_turn()

    def gate_turn(self) -> None:
        for source in self.far.wait(1):
            self.overhearing.hear(source)
        self.gate.flush()
        self.overhearing.tell()

    def turn(self) -> None:
        """Let all of them do what there is to do."""
        self.actor.attend()
        for message in received(self.gate):
            if message["op"] == "listen":
                self.overhearing.listen_to((one, topic) for one, topic in message["wanted"])
            else:
                self.overhearing.taken(message["bytes"])
        self.gate_turn()
        for message in received(self.link):
            self.retelling.take(message)
        self.home.wait(0)
        self.retelling.tend()
        for source in self.ears.wait(1):
            for frames in self.ears.receive(source):
                self.heard.append((stamp_of(frames[0].bytes)[1], len(frames[1])))

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Let all of them work until something is so."""

        def look() -> bool:
            self.turn()
            return condition()

        wait_for(look, what)

    def close(self) -> None:
        for port in (self.far, self.home, self.ears):
            port.close()
        self.gate.close()
        self.link.close()


def received(channel: Channel) -> list[dict[str, Any]]:
    found = []
    while messages := channel.receive():
        found += messages
    return found


@pytest.fixture
def pair() -> Iterator[Pair]:
    with tempfile.TemporaryDirectory(prefix="co") as there, tempfile.TemporaryDirectory() as here:
        made = Pair(there, here)
        yield made
        made.close()


def test_what_is_said_there_is_heard_here(pair: Pair) -> None:
    pair.listen()
    sizes = [5 << 20, 1, 1000, 0, PIECE_BYTES, 9 << 20, 3]
    for size in sizes:
        pair.say(size)
        pair.until(lambda: len(pair.heard) == pair.said, "the message")
    assert pair.heard == list(enumerate(sizes))


def test_no_more_is_under_way_than_is_confirmed(pair: Pair) -> None:
    """However much is said, and though the pipe takes all of it; what control says passes."""
    pair.listen()
    came = []
    for _ in range(200):
        pair.say(1 << 20)
        came += received(pair.link)
    size = sum(len(message["data"]) for message in came)
    assert PIECE_BYTES < size <= 16 * PIECE_BYTES
    pair.gate.send("ping")
    assert received(pair.link)[-1]["op"] == "ping"
    for message in came:
        pair.retelling.take(message)
    pair.until(lambda: len(pair.heard) > 2, "more, when that is confirmed")
    ordinals = [ordinal for ordinal, _ in pair.heard]
    assert ordinals == sorted(set(ordinals))
    assert ordinals[-1] > 190  # not what was said long ago


def test_a_pipe_that_takes_nothing_lets_nothing_grow(pair: Pair) -> None:
    pair.listen()
    for _ in range(50):
        pair.say(1 << 20)
    assert len(pair.gate._out) < 2 * PIECE_BYTES
    (ear,) = pair.overhearing._ears.values()
    assert len(ear._waiting) <= 2


def test_small_messages_wait_for_their_turn(pair: Pair) -> None:
    """They all find room where one large message would."""
    pair.listen()
    for _ in range(200):
        pair.say(1000)
    pair.until(lambda: len(pair.heard) == 200, "all of them")


def test_nobody_listens_any_more(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("camagick_broker.booth.QUIET_S", 0.2)
    pair.listen()
    pair.ears.drop(pair.listener)
    pair.until(lambda: not pair.actor.topics, "the actor to hear of it")
    pair.until(lambda: not os.listdir(pair.here), "the socket to be removed")
    pair.say(5)
    pair.turn()
    assert not received(pair.link)


def test_what_a_killed_link_left_is_removed(pair: Pair, tmp_path: Path) -> None:
    stale = tmp_path / "1.t"
    stale.touch()
    Retelling(pair.home, pair.link, str(tmp_path), RUN, [1])
    assert not stale.exists()


def test_an_actor_that_is_not_there_says_nothing(pair: Pair) -> None:
    with pytest.raises(RemoteProtocolError, match="not there: 2"):
        pair.retelling.take({"op": "piece", "actor": 2, "sizes": [1], "data": b"x"})


def test_who_asks_for_anything_else_opens_nothing(pair: Pair) -> None:
    for frame in (b"", b"x" * 70, say(b"another!", 0, {"op": "tap"}), say(RUN, 0, {"op": "go"})):
        pair.retelling.note(1, frame)
    pair.turn()
    assert not os.listdir(pair.here)


def test_control_comes_between_pieces(pair: Pair) -> None:
    """What is sent while a large message is under way does not wait for its end."""
    pair.listen()
    pair.say(20 << 20)

    def begins() -> bool:
        pair.gate_turn()
        return pair.overhearing._credit._sent > 0

    wait_for(begins, "the first piece")
    pair.gate.send("ping")
    came: list[str] = []

    def look() -> bool:
        came.extend(message["op"] for message in received(pair.link))
        pair.gate.flush()
        return "ping" in came

    wait_for(look, "the ping")
    assert 1 <= came.index("ping") <= 4
