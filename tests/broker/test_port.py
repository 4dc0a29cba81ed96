"""Sockets: nothing blocks, nothing overtakes, nothing hangs."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest
import zmq

from camagick_broker.port import Port
from tests.broker.conftest import DEADLINE_S, until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.usefixtures("nothing_left")


@pytest.fixture
def ports(nothing_left: None) -> Iterator[list[Port]]:
    made = [Port(), Port()]
    yield made
    for one in made:
        one.close()


def receive(port: Port, most: int) -> list[list[bytes]]:
    got: list[list[bytes]] = []
    deadline = time.monotonic() + DEADLINE_S
    while len(got) < most and time.monotonic() < deadline:
        for socket in port.wait(100):
            got += [[part.bytes for part in frames] for frames in port.receive(socket)]
    return got


def test_what_cannot_be_sent_yet_keeps_its_order(ports, bus_dir):
    sender, receiver = ports
    outlet = sender.connect_push(f"ipc://{bus_dir}/x")
    for n in range(50):
        outlet.send([b"%d" % n, b"body"])
    assert len(outlet.waiting) == 50
    sender.wait(0)
    assert len(outlet.waiting) == 50
    receiver.bind_pull(f"ipc://{bus_dir}/x")
    until(lambda: outlet.socket.poll(20, zmq.POLLOUT), "room to send")
    outlet.send([b"50", b"body"])
    assert len(outlet.waiting) == 51

    def sent() -> bool:
        sender.wait(20)
        return not outlet.waiting

    until(sent, "everything to be sent")
    outlet.send([b"51", b"body"])
    assert receive(receiver, 52) == [[b"%d" % n, b"body"] for n in range(52)]


def test_flushing_has_a_deadline_and_an_effect(ports, bus_dir):
    sender, receiver = ports
    outlet = sender.connect_push(f"ipc://{bus_dir}/x")
    outlet.send([b"last words"])
    assert not sender.flush([outlet], 0.05)
    receiver.bind_pull(f"ipc://{bus_dir}/x")
    assert sender.flush([outlet], DEADLINE_S)
    assert receive(receiver, 1) == [[b"last words"]]


def test_a_bell_from_another_thread_ends_the_wait(ports):
    port = ports[0]
    returned: list[float] = []
    waiter = threading.Thread(target=lambda: returned.append(len(port.wait(600_000))))
    waiter.start()
    port.ring()
    waiter.join(DEADLINE_S)
    assert returned == [0]


def test_a_bell_before_the_wait_is_not_lost_and_rings_once(ports):
    port = ports[0]
    for _ in range(1000):
        port.ring()
    waiter = threading.Thread(target=port.wait, args=(600_000,))
    waiter.start()
    waiter.join(DEADLINE_S)
    assert not waiter.is_alive()
    assert port._poller.wait(0) == []


def test_ringing_and_closing_may_come_too_late_and_twice():
    port = Port()
    port.close()
    port.ring()
    port.close()


def test_closing_does_not_hang_on_an_absent_peer(bus_dir):
    port = Port()
    for outlet in (
        port.connect_push(f"ipc://{bus_dir}/x"),
        port.connect_dealer(f"ipc://{bus_dir}/y", b"me"),
        port.bind_data(f"ipc://{bus_dir}/z", 1),
        port.bind_data(f"ipc://{bus_dir}/w", 2),
    ):
        for _ in range(100):
            outlet.send([b"unheard"])
    closer = threading.Thread(target=port.close)
    closer.start()
    closer.join(DEADLINE_S)
    assert not closer.is_alive()


def test_what_waits_for_a_broker_that_has_gone_is_seen(ports, bus_dir):
    outlet = ports[0].connect_dealer(f"ipc://{bus_dir}/broker", b"me")
    for _ in range(3000):
        if outlet.waiting:
            break
        outlet.send([b"figures"])
    assert len(outlet.waiting) == 1


@pytest.mark.parametrize("place", ["/nowhere/at/all", "/tmp/" + "x" * 200], ids=["none", "long"])
def test_where_no_socket_can_be_the_path_is_named(ports, place):
    for bind in (ports[0].bind_pull, ports[0].bind_router, lambda a: ports[0].bind_data(a, 1)):
        with pytest.raises(OSError, match=place):
            bind(f"ipc://{place}")


def test_a_multicast_reaches_all_and_one(ports, bus_dir):
    publisher, both = ports
    outlet = publisher.bind_data(f"ipc://{bus_dir}/x", 2)
    sockets = [
        both.connect_data(f"ipc://{bus_dir}/x", multicast=True, identity=b"~%d\x001" % n)
        for n in (1, 12)
    ]
    seen: list[bytes] = []

    def subscribed() -> bool:
        both.wait(0)  # libzmq subscribes in the thread that uses the socket
        for socket in publisher.wait(20):
            seen.extend(frames[0].bytes for frames in publisher.receive(socket))
        return len(seen) == 4

    until(subscribed, "the subscriptions")
    assert seen.index(b"\x01D") < seen.index(b"\x01~1\x001")
    outlet.send([b"D", b"all"])
    outlet.send([b"~1\x001", b"one"])
    got: dict[int, list[bytes]] = {0: [], 1: []}

    def arrived() -> bool:
        for socket in both.wait(20):
            for frames in both.receive(socket):
                got[sockets.index(socket)].append(frames[-1].bytes)
        return sum(map(len, got.values())) == 3

    until(arrived, "the messages")
    assert got == {0: [b"all", b"one"], 1: [b"all"]}


def test_one_look_takes_no_more_than_it_should(ports, bus_dir):
    sender, receiver = ports
    socket = receiver.bind_pull(f"ipc://{bus_dir}/x")
    outlet = sender.connect_push(f"ipc://{bus_dir}/x")
    for _ in range(100):
        outlet.send([b"x"])
    assert sender.flush([outlet], DEADLINE_S)
    until(lambda: receiver.wait(20) == [socket], "something to read")
    assert len(list(receiver.receive(socket, most=7))) <= 7
    until(lambda: receiver.wait(20) == [socket], "the rest is still announced")
