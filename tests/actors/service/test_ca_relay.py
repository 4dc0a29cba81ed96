"""A search for one address of a host reaches all servers there, and their answers come back."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING

from camagick.service import ca_relay
from tests.servers.ioc import free_port

if TYPE_CHECKING:
    import pytest

SEARCH = bytes(range(24))


def _socket(address: str, port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((address, port))
    sock.settimeout(10)
    return sock


def test_to_all_and_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ca_relay, "_addresses", lambda: {"127.0.0.1"})
    monkeypatch.setattr(ca_relay, "_MOST", 2)

    async def run(port: int) -> None:
        servers = [_socket("127.255.255.255", port) for _ in range(2)]
        clients = [_socket("127.0.0.1", 0) for _ in range(3)]
        task = asyncio.get_running_loop().create_task(ca_relay.Relay(port).run())
        await asyncio.sleep(0)
        try:
            for number, client in enumerate(clients):  # the first one is forgotten, later on
                client.sendto(b"junk", ("127.0.0.1", port))
                client.sendto(SEARCH, ("127.0.0.1", port))
                for name, server in enumerate(servers):
                    data, sender = await asyncio.to_thread(server.recvfrom, 1000)
                    assert data == SEARCH
                    server.sendto(b"found by %d for %d" % (name, number), sender)
                answers = {(await asyncio.to_thread(client.recvfrom, 1000))[0] for _ in servers}
                assert answers == {b"found by %d for %d" % (name, number) for name in range(2)}
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            for sock in (*servers, *clients):
                sock.close()

    with free_port() as port:
        asyncio.run(run(port))
