"""Strangers at the ports of a run over several hosts: refused, counted, named, while data flow."""

from __future__ import annotations

import contextlib
import signal
import socket
from typing import TYPE_CHECKING

import psutil
import pytest
import zmq

from camagick_broker.inquiry import Inquiry
from camagick_broker.keys import Key, fresh
from camagick_broker.port import Port
from tests import assault
from tests.buses import Run, card_of, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HOSTS = '[hosts.a]\nengine = "local"\n'
LINE = ["--from-scratch", "counter", "n=1", "rate=300", "@a", "--to-summary", "mode=table"]
SCANS = 30


class Target:
    """A run whose source is on another host, and the ports where that one listens."""

    def __init__(self, run: Run, name: str) -> None:
        self.run, self.card = run, card_of(name)
        wait_for(lambda: self.rows > 5, "rows")
        self.ports = sorted(
            one.laddr.port
            for child in psutil.Process(run.process.pid).children(recursive=True)
            for one in child.net_connections("tcp")
            if one.status == psutil.CONN_LISTEN
        )

    @property
    def rows(self) -> int:
        """How many lines have come."""
        return self.run.out.count("\n")

    def refused(self) -> int:
        """Return how many connections all actors have refused."""
        with Inquiry(self.card.run, self.card.folder) as inquiry:
            reports = (inquiry.status(5.0) or {}).get("statistics", {}).values()
        return sum(sum(one.get("refused", {}).values()) for one in reports)

    def goes_on(self) -> None:
        """Wait for more data."""
        before = self.rows
        wait_for(lambda: self.rows > before + 100, "more rows")


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Target]:
    (tmp_path / "hosts.toml").write_text(HOSTS)
    with Run("-bus", "strange", "-hosts", str(tmp_path / "hosts.toml"), *LINE) as run:
        made = Target(run, "strange")
        assert made.ports, "data, acknowledgements, and the loop"
        yield made
        made.goes_on()
        run.process.send_signal(signal.SIGINT)
        assert run.wait() == 0, run.log
        numbers = [float(row.strip("[]")) for row in run.out.splitlines() if row[0] != "#"]
        assert numbers == list(range(len(numbers)))


def test_a_port_scan_and_other_noise(target: Target) -> None:
    for port in target.ports:
        for _ in range(SCANS):
            socket.create_connection(("127.0.0.1", port)).close()
        with socket.create_connection(("127.0.0.1", port)) as one:
            with contextlib.suppress(ConnectionError):  # it may have had enough of it already
                one.sendall(b"GET / HTTP/1.1\r\n\r\n")
            assert assault.hangs_up(one)
    wait_for(lambda: target.refused() >= len(target.ports), "refusals")
    assert "no key was shown" in target.run.log
    # Once for each address; that of who leaves at once cannot be asked for any more.
    assert target.run.log.count("no key was shown") <= 2 * len(target.ports)


@pytest.mark.parametrize("kind", [zmq.PULL, zmq.PUSH])
def test_peers_without_a_key(target: Target, kind: int) -> None:
    before = target.refused()
    with zmq.Context() as context, contextlib.ExitStack() as stack:
        for port in target.ports:
            peer = stack.enter_context(context.socket(kind))
            peer.linger = 0
            peer.connect(f"tcp://127.0.0.1:{port}")
        wait_for(lambda: target.refused() > before, "a refusal")
        target.goes_on()
    assert "no key was shown" in target.run.log


def test_peers_with_keys_of_their_own(target: Target) -> None:
    before = target.refused()
    for port in target.ports:
        stranger = Port()
        try:
            key = Key(fresh(), fresh().public)
            address = f"tcp://127.0.0.1:{port}"
            stranger.connect_data(address, multicast=False, identity=b"x", key=key)
            wait_for(lambda p=stranger: p.wait(50) or p.refused_by, "the refusal")  # type: ignore[misc]
        finally:
            stranger.close()
    wait_for(lambda: target.refused() > before, "a refusal that is counted")
    assert "wrong handshake" in target.run.log
