"""Sockets that leave the host: who has the right key comes in, all else is refused and seen."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest
import zmq

from camagick_broker import keys
from camagick_broker.admission import NO_KEY, Callers, Doorman, pid_of
from camagick_broker.door import _host_at
from camagick_broker.endpoints import candidates, host_of, stays_here
from camagick_broker.errors import AddressError, LocalProtocolError
from camagick_broker.keys import Key, Keys, Lock, checked, fresh, key_id
from camagick_broker.port import Port, endpoint_of, sender, sender_name
from camagick_broker.refusals import Refusals
from tests.broker.conftest import until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.usefixtures("nothing_left")
SERVER, FRIEND, OTHER = fresh(), fresh(), fresh()
HERE = "tcp://127.0.0.1:*"
PLACE = "connections to back"


class Bed:
    """A PULL with a lock, and peers that connect to it."""

    def __init__(self) -> None:
        self.refusals = Refusals("me")
        self.admitted = {FRIEND.public: "actor 3"}
        self.server = Port(Doorman(self.refusals))
        self.pull = self.server.bind_pull(HERE, lock=Lock(SERVER, self.admitted))
        self.endpoint = endpoint_of(self.pull)
        self.peers: list[Port] = []

    def connect(self, own: Keys = FRIEND, server: bytes = SERVER.public) -> Any:
        self.peers.append(Port())
        return self.peers[-1].connect_push(self.endpoint, Key(own, server))

    def turn(self) -> list[tuple[bytes, str]]:
        """Let everybody do what there is to do; return what has come, and from whom."""
        for one in self.peers:
            one.wait(0)
        return [
            (frames[0].bytes, sender_name(frames))
            for one in self.server.wait(5)
            for frames in self.server.receive(one)
        ]

    def hear(self, count: int) -> list[tuple[bytes, str]]:
        got: list[tuple[bytes, str]] = []

        def enough() -> bool:
            got.extend(self.turn())
            return len(got) >= count

        until(enough, "the messages")
        return got

    def refused(self, count: int = 1) -> None:
        def enough() -> bool:
            assert not self.turn(), "somebody got in"
            return self.refusals.counts[PLACE] >= count

        until(enough, "the refusal")

    def close(self) -> None:
        for one in (self.server, *self.peers):
            one.close()


@pytest.fixture
def bed(
    nothing_left: None, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Bed]:
    caplog.set_level(logging.WARNING)
    monkeypatch.setattr("camagick_broker.door._AGAIN_S", 0.1)
    one = Bed()
    yield one
    friend = one.connect()  # whatever has happened: data flow
    friend.send([b"still here"])
    assert one.hear(1) == [(b"still here", "actor 3")]
    one.close()
    assert all(key.secret.decode() not in caplog.text for key in (SERVER, FRIEND, OTHER))


def lines(caplog: pytest.LogCaptureFixture, *words: str) -> int:
    messages = [one.getMessage() for one in caplog.records]
    return sum(all(word in message for word in words) for message in messages)


def test_who_has_the_key_comes_in_and_has_a_name(bed: Bed) -> None:
    bed.connect().send([b"hello"])
    assert bed.hear(1) == [(b"hello", "actor 3")]
    assert not bed.refusals.counts


def test_an_unknown_key_is_refused_by_both_ends_and_may_be_admitted_later(bed, caplog):
    outlet = bed.connect(OTHER)
    outlet.send([b"let me in"])
    bed.refused()
    until(lambda: bed.turn() or bed.peers[0].refused_by, "the peer to see it")
    assert bed.peers[0].refused_by == {bed.endpoint: "wrong or revoked key"}
    bed.refused(2)  # it tries again
    assert lines(caplog, "unknown key", key_id(OTHER.public), "127.0.0.1", PLACE) == 1
    assert lines(caplog, f"refused by {bed.endpoint}", "wrong or revoked key") == 1
    bed.admitted[OTHER.public] = "late"
    assert bed.hear(1) == [(b"let me in", "late")]
    assert not bed.peers[0].refused_by


def test_who_expects_another_server_does_not_talk_to_this_one(bed, caplog):
    bed.connect(server=OTHER.public).send([b"psst"])
    bed.refused(5)
    until(lambda: bed.turn() or bed.peers[0].refused_by, "the peer to see it")
    assert lines(caplog, "wrong handshake", "127.0.0.1") == 1
    assert lines(caplog, f"refused by {bed.endpoint}", "another key than expected") == 1


def test_a_number_that_is_no_connection_any_more_leaves_nothing_open(nothing_left: None) -> None:
    other = os.eventfd(0)
    assert _host_at(other) == ""
    os.close(other)
    assert _host_at(other) == ""


@pytest.mark.parametrize("kind", [zmq.PUSH, zmq.DEALER], ids=["push", "dealer"])
def test_a_peer_without_a_key_is_refused(bed: Bed, caplog, kind: int) -> None:
    bed.peers.append(Port())
    plain = bed.peers[0]._socket(kind)
    plain.connect(bed.endpoint)
    bed.refused()
    bed.peers[0].drop(plain)
    assert lines(caplog, "no key was shown") in (1, 2)  # it may be gone too soon to be named


@pytest.mark.parametrize(
    "words",
    [b"", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"],
    ids=["scan", "http", "tls"],
)  # fmt: skip
def test_noise_is_counted_and_named_once(bed: Bed, caplog, words: bytes) -> None:
    address = bed.endpoint.removeprefix("tcp://").split(":")
    for n in range(3):
        with socket.create_connection((address[0], int(address[1]))) as one:
            one.recv(1)  # it is greeted
            bed.turn()
            one.sendall(words)
        bed.refused(n + 1)
    assert bed.refusals.counts == {PLACE: 3}
    assert lines(caplog, "no key was shown", "127.0.0.1", PLACE) == 1


class Relay:
    """Stands between a peer and a server, and writes down what the peer says."""

    def __init__(self, endpoint: str) -> None:
        host, port = endpoint.removeprefix("tcp://").split(":")
        self.there = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"
        self.said = b""
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        here = self._listener.accept()[0]
        with here, socket.create_connection(self.there) as there:
            back = threading.Thread(target=self._pump, args=(there, here))
            back.start()
            while words := here.recv(65536):
                self.said += words
                there.sendall(words)
            there.shutdown(socket.SHUT_RDWR)
            back.join()

    def _pump(self, source: socket.socket, to: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while words := source.recv(65536):
                to.sendall(words)

    def close(self) -> None:
        self._thread.join()
        self._listener.close()


def test_a_handshake_that_was_recorded_opens_nothing(bed: Bed, caplog) -> None:
    relay = Relay(bed.endpoint)
    recorded = Port()
    recorded.connect_push(relay.endpoint, Key(FRIEND, SERVER.public)).send([b"once"])
    bed.peers.append(recorded)
    assert bed.hear(1) == [(b"once", "actor 3")]
    bed.peers.remove(recorded)
    recorded.close()
    relay.close()
    assert b"once" not in relay.said, "it was readable on the way"
    assert FRIEND.secret not in relay.said
    with socket.create_connection(relay.there) as one:
        one.recv(1)
        bed.turn()
        one.sendall(relay.said)
        bed.refused()
    assert lines(caplog, "wrong handshake", "127.0.0.1") == 1


def test_every_kind_of_socket_takes_a_lock_and_a_key(nothing_left: None) -> None:
    port, peer = Port(Doorman(Refusals("me"))), Port()
    lock, key = Lock(SERVER, {FRIEND.public: "friend"}), Key(FRIEND, SERVER.public)
    data, many = port.bind_data(HERE, 1, lock), port.bind_data(HERE, 2, lock)
    router = port.bind_router(HERE, lock=lock)
    tap = port.bind_tap(HERE, 10, lock)
    peer.connect_data(data.endpoint, multicast=False, identity=b"", key=key)
    peer.connect_data(many.endpoint, multicast=True, identity=b"~1", key=key)
    peer.connect_tap(tap.endpoint, b"t", key)
    peer.connect_dealer(router.endpoint, b"d", key).send([b"hi"])
    data.send([b"one"])
    got: dict[bytes, str] = {}

    def served() -> bool:
        for source in port.wait(5):
            for frames in port.receive(source):
                got[frames[-1].bytes] = sender_name(frames)
                assert sender(frames) == "127.0.0.1"
        for source in (many.socket, tap.socket):
            for frames in port.receive(source):
                got.setdefault(frames[0].bytes, "subscription")
        many.offer([b"D", b"two"])
        tap.offer([b"t", b"three"])
        for source in peer.wait(5):
            for frames in peer.receive(source):
                got[frames[-1].bytes] = "data"
        return {b"one", b"two", b"three", b"hi"} <= set(got)

    until(served, f"all of them: {got}")
    assert got[b"hi"] == "friend"
    port.close()
    peer.close()


def test_without_anybody_who_decides_nobody_gets_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("camagick_broker.port._HANDSHAKE_MS", 200)
    port = Port()
    with pytest.raises(LocalProtocolError, match="doorman"):
        port.bind_pull(HERE, lock=Lock(SERVER, {FRIEND.public: "friend"}))
    port.close()
    # Were the handler of ZAP lost, libzmq would have to refuse everybody.
    bed = Bed()
    door = bed.server._door
    answers = next(one for one in door.handlers if one.type == zmq.REP)
    bed.server._poller.forget(answers)
    del door.handlers[answers]
    answers.close(0)
    bed.connect().send([b"hello"])
    bed.refused()
    bed.close()


def test_nothing_is_open_to_strangers_unless_that_is_said_aloud(nothing_left: None) -> None:
    port, open_port = Port(Doorman(Refusals("me"))), Port(Doorman(Refusals("me")), insecure=True)
    for there in ("tcp://0.0.0.0:*", "tcp://*:*", "tcp://192.0.2.1:5000", "tcp://host.example:1"):
        with pytest.raises(AddressError, match="without keys"):
            port.bind_pull(there)
        with pytest.raises(AddressError, match="without keys"):
            port.connect_push(there)
    pull = open_port.bind_pull("tcp://0.0.0.0:*")
    here = "tcp://127.0.0.1:" + endpoint_of(pull).rpartition(":")[2]
    port.connect_push(here).send([b"plain"])
    got: list[bytes] = []

    def heard() -> bool:
        port.wait(0)
        for source in open_port.wait(20):
            got.extend(frames[0].bytes for frames in open_port.receive(source))
        return bool(got)

    until(heard, "the message")
    port.close()
    open_port.close()


def test_the_first_free_port_of_a_range_is_taken(nothing_left: None) -> None:
    port, lock = Port(Doorman(Refusals("me"))), Lock(SERVER, {})
    low = int(endpoint_of(taken := port.bind_pull(HERE, lock=lock)).rpartition(":")[2])
    high = min(low + 20, 65535)
    got = port.bind_data(f"tcp://127.0.0.1:{low}-{high}", 1, lock).endpoint
    assert low < int(got.rpartition(":")[2]) <= high
    with pytest.raises(OSError, match=f"127.0.0.1:{low}-{low}"):
        port.bind_pull(f"tcp://127.0.0.1:{low}-{low}", lock=lock)
    port.drop(taken)

    def free() -> bool:
        with contextlib.suppress(OSError):  # libzmq closes it in its own time
            port.bind_pull(f"tcp://127.0.0.1:{low}-{low}", lock=lock)
            return True
        return False

    until(free, "the port to be free again")
    port.close()


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
def test_ipv6(nothing_left: None) -> None:
    port, peer = Port(Doorman(Refusals("me"))), Port()
    lock, key = Lock(SERVER, {FRIEND.public: "six"}), Key(FRIEND, SERVER.public)
    try:
        pull = port.bind_pull("tcp://[::1]:20000-60000", lock=lock)
    except OSError:
        port.close()
        peer.close()
        pytest.skip("no IPv6 address here")
    peer.connect_push(endpoint_of(pull), key).send([b"hello"])
    got: list[tuple[str, str]] = []

    def heard() -> bool:
        peer.wait(0)
        for source in port.wait(5):
            got.extend((sender_name(one), sender(one)) for one in port.receive(source))
        return bool(got)

    until(heard, "the message")
    assert got == [("six", "::1")]
    port.close()
    peer.close()


@pytest.mark.parametrize("text", ["tcp://h:0-5", "tcp://h:9-5", "tcp://h:1-70000"])
def test_a_range_without_ports(text: str) -> None:
    with pytest.raises(AddressError, match="no ports"):
        candidates(text)


def test_addresses() -> None:
    assert candidates("tcp://[::1]:5-7") == ["tcp://[::1]:5", "tcp://[::1]:6", "tcp://[::1]:7"]
    assert candidates("ipc:///a:1-2") == ["ipc:///a:1-2"]
    assert host_of("tcp://[fe80::1]:5") == "fe80::1"
    assert host_of("tcp://daq1:5-9") == "daq1"
    here = ["ipc:///x", "tcp://127.3.4.5:1", "tcp://localhost:1-2", "tcp://[::1]:*", "inproc://x"]
    assert all(map(stays_here, here))
    there = ["tcp://*:1", "tcp://eth0:1", "tcp://localhost.example:1", "tcp://[::]:1", "tcp://::1:1",
             "tcp://10.0.0.1:1", "tcp://127.0.0.1.example:1", "udp://127.0.0.1:1", ""]  # fmt: skip
    assert not any(map(stays_here, there))


def test_an_address_of_ipv6_is_no_process() -> None:
    for peer in ("fe80::1:2:3:4", "::1:2:3:4", "::2:3:4", "1:2:3:4:5:6:7:8", "0::1:2:3"):
        assert not pid_of(peer)


def test_keys_are_checked_and_never_shown() -> None:
    assert checked(*FRIEND) == FRIEND
    for bad in ((b"x", FRIEND.secret), (FRIEND.public, OTHER.secret), (b" " * 40, b" " * 40)):
        with pytest.raises(AddressError, match="not a pair") as caught:
            checked(*bad)
        assert FRIEND.secret.decode() not in str(caught.value)
    shown = f"{FRIEND} {Lock(FRIEND, {})} {Key(FRIEND, b'')!r} {[FRIEND]}"
    assert FRIEND.secret.decode() not in shown
    assert key_id(FRIEND.public) in shown
    assert fresh() != fresh()
    assert len(keys.key_id(OTHER.public)) == 8


def test_callers_are_named_and_none_is_accused_wrongly() -> None:
    callers = Callers()
    callers.came(5, "a")
    callers.succeeded()
    assert callers.went(5) is None
    callers.came(5, "b")
    callers.failed("no key")
    assert callers.went(5) == ("no key", "b")
    callers.came(5, "c")
    assert callers.went(5) == (NO_KEY, "c")
    callers.came(5, "d")
    callers.excused()
    assert callers.went(5) is None
