"""Waiting for sockets: what is there to be read is never overlooked, and costs nothing else."""

from __future__ import annotations

import contextlib
import os
import random
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
import zmq

from camagick_broker.poller import Poller
from camagick_broker.port import Port
from tests.broker.conftest import DEADLINE_S

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.usefixtures("nothing_left")
#: Whoever waits so long has overlooked something.
_LONG_MS = int(DEADLINE_S * 1000)


@pytest.fixture
def pair(nothing_left: None) -> Iterator[tuple[Any, Any]]:
    """Return two sockets that are connected, in one process."""
    with zmq.Context() as context:
        one, other = context.socket(zmq.DEALER), context.socket(zmq.DEALER)
        one.linger = other.linger = 0
        one.bind("inproc://pair")
        other.connect("inproc://pair")
        yield one, other
        one.close()
        other.close()


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reads, writes = os.pipe()
    yield reads, writes
    for handle in (reads, writes):
        with contextlib.suppress(OSError):
            os.close(handle)


def test_what_is_not_read_is_named_again(pair: tuple[Any, Any]) -> None:
    one, other = pair
    poller = Poller()
    poller.watch(one)
    assert poller.wait(0) == []
    for n in range(3):
        other.send(b"%d" % n)
    for n in range(3):
        assert poller.wait(_LONG_MS) == [one]
        assert poller.wait(_LONG_MS) == [one]
        assert one.recv(zmq.NOBLOCK) == b"%d" % n
    assert poller.wait(0) == []


def test_sending_overlooks_nothing_that_has_come_meanwhile(pair: tuple[Any, Any]) -> None:
    one, other = pair
    poller = Poller()
    poller.watch(one)
    assert poller.wait(0) == []
    other.send(b"hello")
    one.get(zmq.EVENTS)  # as sending may do it: the descriptor says nothing any more
    poller.touched(one)
    assert poller.wait(_LONG_MS) == [one]


def test_room_to_send_ends_the_wait_and_is_not_named(pair: tuple[Any, Any]) -> None:
    one, _ = pair
    poller = Poller()
    poller.watch(one, reads=False, writes=True)
    began = time.monotonic()
    assert poller.wait(_LONG_MS) == []
    assert time.monotonic() < began + DEADLINE_S / 2
    poller.watch(one, reads=False)
    assert not poller._wanted
    assert not poller._sources


def test_files_are_named_when_they_can_be_read_and_when_they_end(pipe: tuple[int, int]) -> None:
    reads, writes = pipe
    poller = Poller()
    poller.watch(reads)
    poller.watch(writes, reads=False, writes=True)
    assert poller.wait(_LONG_MS) == [writes]
    os.write(writes, b"x")
    assert set(poller.wait(_LONG_MS)) == {reads, writes}
    poller.watch(writes, reads=False)
    os.read(reads, 1)
    assert poller.wait(0) == []
    os.close(writes)
    assert poller.wait(_LONG_MS) == [reads]
    poller.forget(reads)
    poller.forget(reads)
    assert poller.wait(0) == []


def talk(port: Port, socket: Any, outlet: Any, seed: int, faults: list[str]) -> None:
    """Say and hear 4000 messages, in bursts of any length, reading as many at once as it likes."""
    dice, said, heard, name = random.Random(seed), 0, 0, b""  # noqa: S311
    while said < 4000 or heard < 4000:
        burst = min(dice.randrange(4), 4000 - said, heard + 8 - said)
        for _ in range(max(0, burst)):
            if seed or name:
                outlet.send([name, b"x"] if name else [b"x"])
                said += 1
        idle = said == 4000 or said >= heard + 8 or not (seed or name)
        began = time.monotonic()
        found = port.wait(_LONG_MS if idle and heard < 4000 else 0)
        if time.monotonic() > began + DEADLINE_S / 2:
            faults.append(f"overlooked something after {heard}")
            return
        if socket in found:
            for frames in port.receive(socket, dice.randrange(1, 5)):
                name = frames[0].bytes if not seed else b""
                heard += 1
    while outlet.waiting:
        port.wait(10)


def test_two_that_talk_in_bursts_never_wait_for_one_another(bus_dir: Any) -> None:
    faults: list[str] = []
    here, there = Port(), Port()
    router = here.bind_router(f"ipc://{bus_dir}/x")
    dealer = there.connect_dealer(f"ipc://{bus_dir}/x", b"me")
    talks = [
        threading.Thread(target=talk, args=(here, router.socket, router, 0, faults)),
        threading.Thread(target=talk, args=(there, dealer.socket, dealer, 1, faults)),
    ]
    for one in talks:
        one.start()
    for one in talks:
        one.join(4 * DEADLINE_S)
    assert not faults
    assert not any(one.is_alive() for one in talks)
    here.close()
    there.close()
