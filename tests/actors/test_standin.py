"""Who serves the sockets while a processor computes."""

from __future__ import annotations

import math
import threading
import time
from typing import TYPE_CHECKING

import pytest

from camagick.actor.standin import StandIn

if TYPE_CHECKING:
    from collections.abc import Iterator

DEADLINE_S = 20.0


class Sockets:
    """Something to serve: notes who does, and that it is one at a time."""

    def __init__(self) -> None:
        self.bell = threading.Event()
        self.turns: list[str] = []
        self.let_out_by: list[str] = []
        self.busy = threading.Lock()
        self.crowded = False

    def turn(self, until: float) -> None:
        if not self.busy.acquire(blocking=False):
            self.crowded = True
            return
        self.turns.append(threading.current_thread().name)
        self.bell.wait(min(until, time.monotonic() + DEADLINE_S) - time.monotonic())
        self.bell.clear()
        self.busy.release()

    def let_out(self) -> None:
        if not self.busy.acquire(blocking=False):
            self.crowded = True
            return
        self.let_out_by.append(threading.current_thread().name)
        self.busy.release()

    def ring(self) -> None:
        self.bell.set()

    @property
    def stood_in(self) -> int:
        return self.turns.count("stand-in")


def until(true: object) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not true():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.fixture
def sockets() -> Sockets:
    return Sockets()


@pytest.fixture
def stand_in(sockets: Sockets) -> Iterator[StandIn]:
    one = StandIn(sockets.turn, sockets.ring, sockets.let_out)
    one.start()
    yield one
    one.stop()
    assert not sockets.crowded


def test_a_long_call_is_served_beside_and_the_first_thread_gets_the_sockets_back(
    sockets: Sockets, stand_in: StandIn
) -> None:
    for round_ in range(1, 4):
        stand_in.serve(0)
        stand_in.leave()
        until(lambda number=round_: sockets.stood_in >= number)  # a long computation
        began = time.monotonic()
        stand_in.serve(0)
        assert time.monotonic() - began < 0.4  # far less than a turn of the second thread lasts
        assert sockets.turns[-1] == "MainThread"


def test_short_calls_are_not_disturbed(sockets: Sockets, stand_in: StandIn) -> None:
    for _ in range(2000):
        stand_in.serve(0)
        stand_in.leave()
    stand_in.serve(0)
    assert sockets.stood_in <= 2  # a busy machine may have held one of them up


def test_it_sleeps_while_nothing_happens_and_wakes_when_something_does(
    sockets: Sockets, stand_in: StandIn
) -> None:
    stand_in.leave()
    waiter = threading.Thread(target=stand_in.serve, args=(math.inf,))
    waiter.start()
    until(lambda: not stand_in._awake.is_set())
    sockets.ring()
    waiter.join(DEADLINE_S)
    before = sockets.stood_in
    stand_in.leave()
    until(lambda: sockets.stood_in > before)
    stand_in.serve(0)


def test_what_was_made_is_let_out_but_not_while_the_second_thread_serves(
    sockets: Sockets, stand_in: StandIn
) -> None:
    stand_in.serve(0)
    stand_in.let_out()
    assert sockets.let_out_by == ["MainThread"]
    stand_in.leave()
    until(lambda: sockets.stood_in > 0 and sockets.busy.locked())
    stand_in.let_out()
    assert sockets.let_out_by == ["MainThread"]
    stand_in.serve(0)
    stand_in.let_out()
    assert len(sockets.let_out_by) == 2


def test_it_ends_whatever_it_is_at(sockets: Sockets) -> None:
    for served in (False, True):
        one = StandIn(sockets.turn, sockets.ring, sockets.let_out)
        one.start()
        if served:
            before = sockets.stood_in
            one.leave()
            until(lambda number=before: sockets.stood_in > number)
        one.stop()
        assert not one._thread.is_alive()
