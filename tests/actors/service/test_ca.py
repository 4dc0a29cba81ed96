"""The Channel Access server of a run: order, floods, slow clients, and the service on a bus."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from camagick.data import Data
from camagick.errors import BadOption, CamagickError
from camagick.flow.chain import Processor as Chain
from camagick.processor import Placement
from camagick.service import ca_wire
from camagick.service.ca import Port, Rules, Update, Wanted, Write, connect
from camagick.sink.epics import Processor as EpicsSink
from camagick.sink.ioc import Processor as IocSink
from camagick.source.ioc import Processor as IocSource
from camagick.tools.ca_declared import with_initial
from camagick.walk import leaves
from tests.servers import ioc as servers
from tests.servers.ioc import caget, camonitor, caput, full, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

# Fixtures
ca = servers.ca

ACTORS = Path(__file__).parents[3] / "actors"


class Service:
    """The real service in a process of its own."""

    def __init__(self, env: dict[str, str], folder: str) -> None:
        self.env, self.folder = env, folder
        self.start()

    def start(self) -> None:
        code = "import asyncio, sys; from camagick.service.ca import serve as run;"
        code += "asyncio.run(run(sys.argv[1]))"
        env = {**full(self.env), "PYTHONPATH": str(ACTORS)}
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, self.folder], env=env, stderr=subprocess.PIPE, text=True
        )

    def stop(self, number: int = signal.SIGINT) -> str:
        self.process.send_signal(number)
        return self.process.communicate(timeout=20)[1]


@pytest.fixture
def service(ca: dict[str, str]) -> Iterator[Service]:
    with tempfile.TemporaryDirectory(prefix="caspy-") as folder:  # short: it holds a unix socket
        running = Service(ca, folder)
        try:
            yield running
        finally:
            running.process.kill()
            running.process.communicate()


@contextlib.asynccontextmanager
async def port(run_dir: str = "") -> AsyncIterator[Port]:
    opened = await connect(run_dir)
    try:
        async with asyncio.timeout(90):
            yield opened
    finally:
        await opened.close()


async def thread(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    return await asyncio.to_thread(function, *args, **kwargs)


async def ad_hoc(env: dict[str, str], run_dir: str, rounds: int) -> list[str]:
    """Run the document's ad-hoc IOC without a pause, and return what a client sees of it."""
    marks = Chain(
        IocSource(prefix="E:", mark="mark", hang=False),
        lambda data, context: {"idle": np.zeros(1)},
        EpicsSink(idle="E:mark"),
        lambda data, context: {"busy": np.ones(1)},
        EpicsSink(busy="E:mark"),
    )
    data = IocSink(prefix="E:")
    for node in (*leaves(marks), data):
        node.placement = Placement(False, "", run_dir)
    try:
        await data.startup()
        await marks.startup()
        await data({"iffy": -1})
        with camonitor(env, "E:iffy", "E:mark") as monitor:
            await thread(until, lambda: len(monitor.lines()) >= 2)
            for number in range(rounds):
                await data({"iffy": number})
                await marks({}, Data())
            await thread(until, lambda: len(monitor.lines()) >= 2 + 3 * rounds)
            return [line.split()[0] + line.split()[-1] for line in monitor.lines()[2:]]
    finally:
        await marks.shutdown()
        await data.shutdown()


def in_order(rounds: int) -> list[str]:
    """Return what a client has to see of so many rounds."""
    rows = [[f"E:iffy{number}", "E:mark0", "E:mark1"] for number in range(rounds)]
    return [line for row in rows for line in row]


def test_clients_see_what_was_done_in_that_order(ca: dict[str, str]) -> None:
    assert asyncio.run(ad_hoc(ca, "", 1000)) == in_order(1000)


def test_a_flood_kills_nothing(ca: dict[str, str]) -> None:
    async def run() -> None:
        async with port() as server:
            await server.post([Update("w", np.zeros(2048)), Update("last", 0)])
            for _ in range(3):
                with camonitor(ca, "w", "last") as monitor:
                    await thread(until, lambda: len(monitor.lines()) >= 2)
                    for number in range(1, 1500):
                        wave = np.full(2048, float(number))
                        await server.post([Update("w", wave), Update("last", number)])
                    last = await thread(until, lambda: _last(monitor.lines(), "last") == 1499)
                    assert last
                # It leaves in the middle of a flood: that used to end the server.
                for number in range(300):
                    await server.post([Update("w", np.full(2048, float(number)))])
            assert await thread(caget, ca, "-t", "last") == "1499"

    asyncio.run(run())


def _last(lines: list[str], name: str) -> int:
    values = [line.split()[-1] for line in lines if line.startswith(f"{name} ")]
    return int(values[-1]) if values else -1


def test_no_update_is_lost_for_a_client_that_keeps_up(ca: dict[str, str]) -> None:
    count = 5000

    async def run() -> list[str]:
        async with port() as server:
            await server.post([Update("n", 0)])
            with camonitor(ca, "n") as monitor:
                await thread(until, lambda: len(monitor.lines()) >= 1)
                for number in range(1, count):
                    await server.post([Update("n", number)])
                await thread(until, lambda: _last(monitor.lines(), "n") == count - 1)
                return monitor.lines()

    assert [int(line.split()[-1]) for line in asyncio.run(run())] == list(range(count))


def test_a_stopped_client_holds_up_nobody(
    ca: dict[str, str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    count = 3000

    async def run() -> None:
        async with port() as server:
            await server.post([Update("w", np.zeros(2048)), Update("n", 0)])
            with camonitor(ca, "w") as stopped, camonitor(ca, "n") as good:
                await thread(until, lambda: stopped.lines() and good.lines())
                stopped.process.send_signal(signal.SIGSTOP)
                for number in range(1, count):
                    wave = np.full(2048, float(number))
                    await server.post([Update("w", wave), Update("n", number)])
                await thread(until, lambda: _last(good.lines(), "n") == count - 1)
                assert len(good.lines()) == count
                stopped.process.send_signal(signal.SIGCONT)
                await thread(until, lambda: f" {count - 1} " in stopped.lines()[-1][:200])

    asyncio.run(run())
    assert "too slow" in caplog.text


def test_incompatible_subscribers_do_not_disturb(ca: dict[str, str]) -> None:
    async def run() -> None:
        async with port() as server:
            await server.post([Update("text", "7"), Update("n", 1)])
            with camonitor(ca, "text") as monitor:
                await thread(until, monitor.lines)
                await thread(servers.tool, ca, "caget", "-d", "DBR_DOUBLE", "text")
                assert await server.post([Update("text", "no number")]) == [""]
                await thread(until, lambda: "no number" in monitor.lines()[-1])

    asyncio.run(run())


def test_a_client_is_told_when_it_may_write(ca: dict[str, str]) -> None:
    """One processor publishes a PV, then another one wants it to be written."""
    from caproto import AccessRights
    from caproto.asyncio.client import Context

    async def run() -> None:
        written: list[Any] = []
        async with port() as one, port() as two:
            await one.post([Update("n", 1)])
            client = Context()
            (pv,) = await client.get_pvs("n")
            await pv.wait_for_connection()
            channel = pv.channel
            assert AccessRights.WRITE not in channel.access_rights
            kept = [Wanted.of("n", with_initial("0"))]
            assert await two.receive(kept, Rules(), written.append) == [1]
            await thread(until, lambda: AccessRights.WRITE in channel.access_rights, "the right")
            await pv.write([5], wait=True, timeout=10)
            assert [write.value for write in written] == [5]
            await one.post([Update("n", 6)])
            assert [write.value for write in written] == [5, 6], "what a pipe writes counts, too"
            with pytest.raises(BadOption, match="serves it, as LONG, not DOUBLE"):
                await two.receive([Wanted.of("n", with_initial("0.0"))], Rules(), written.append)
            await client.disconnect()

    asyncio.run(run())


def test_strangers_packets_do_not_end_the_server(ca: dict[str, str]) -> None:
    async def run() -> None:
        async with port() as server:
            await server.post([Update("n", 1)])
            address = "127.0.0.1", int(ca["EPICS_CAS_SERVER_PORT"])
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                for junk in (b"\0", b"\xff" * 100, os.urandom(1000), b"\0\6" + b"\xff" * 30):
                    sock.sendto(junk, address)
            with socket.create_connection(address) as stream:
                stream.sendall(os.urandom(4000))
            assert await thread(caget, ca, "-t", "n") == "1"

    logging.getLogger("caproto").setLevel("CRITICAL")
    try:
        asyncio.run(run())
    finally:
        logging.getLogger("caproto").setLevel("NOTSET")


def test_nothing_is_left_of_clients_that_have_gone(ca: dict[str, str]) -> None:
    async def run() -> None:
        async with port() as server:
            await server.post([Update("n", 1)])
            circuits = server._host._context.all_circuits  # type: ignore[attr-defined]
            address = "127.0.0.1", int(ca["EPICS_CAS_SERVER_PORT"])
            for words in (b"", b"\x33\x65\0\x10" + bytes(4000)):  # no such command
                with socket.create_connection(address) as stream:
                    await thread(until, lambda: len(circuits) == 1)
                    (stranger,) = circuits
                    stream.sendall(words)
                await thread(until, lambda one=stranger: not one.tasks.tasks)
                del stranger
                assert await thread(caget, ca, "-t", "n") == "1"
                await thread(until, lambda: not any(one.tasks.tasks for one in tuple(circuits)))
                gc.collect()

    logging.getLogger("caproto").setLevel("CRITICAL")
    try:
        asyncio.run(run())
    finally:
        logging.getLogger("caproto").setLevel("NOTSET")


def test_the_server_closes_with_its_last_user(ca: dict[str, str]) -> None:
    async def run() -> None:
        for _ in range(3):
            async with port() as one:
                async with port() as two:
                    await one.post([Update("n", 1)])
                    assert await two.post([Update("n", 2)]) == [""]
                assert await thread(caget, ca, "-t", "n") == "2"
            with socket.socket() as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sock.bind(("127.0.0.1", int(ca["EPICS_CAS_SERVER_PORT"])))

    asyncio.run(run())


def test_nothing_leaves_loopback(ca: dict[str, str]) -> None:
    from camagick.service.ca_server import Context

    async def sockets() -> list[Any]:
        async with port() as server:
            await server.post([Update("n", 1)])
            context = server._host._context  # type: ignore[attr-defined]
            await thread(until, lambda: context.beacon_count > 2)
            assert isinstance(context, Context)
            return [*context.beacon_socks, *context.udp_socks, *context.tcp_sockets]

    sink = int(ca["EPICS_CAS_BEACON_ADDR_LIST"].rpartition(":")[2])
    assert asyncio.run(sockets()) == [("127.0.0.1", sink), "127.0.0.1", "127.0.0.1"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EPICS_CAS_BEACON_ADDR_LIST", "")  # caproto goes to 255.255.255.255 then
        assert asyncio.run(sockets()) == ["127.0.0.1", "127.0.0.1"]


def test_beacons_to_nobody_are_no_error(
    ca: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        closed = sock.getsockname()[1]
    monkeypatch.setenv("EPICS_CAS_BEACON_ADDR_LIST", f"127.0.0.1:{closed}")

    async def run() -> None:
        async with port() as server:
            context = server._host._context  # type: ignore[attr-defined]
            await thread(until, lambda: context.beacon_count > 4)

    asyncio.run(run())
    assert caplog.text == ""


@pytest.mark.errors_expected
def test_the_service_on_a_bus(ca: dict[str, str], service: Service) -> None:
    async def run() -> None:
        source = IocSource(prefix="E:", scan="scan(1)", name="name(x)")
        sink = IocSink(prefix="R:")
        for node in (source, sink):
            node.placement = Placement(True, "run", service.folder)
            await node.startup()
        try:
            assert dict(await source()) == {"scan": 1, "name": "x"}
            await sink({"a": np.arange(6.0).reshape(2, 3), "bad": object(), "t": "text"})
            assert (await thread(caget, ca, "-t", "R:a", "R:t")).split() == [*"6012345", "text"]
            assert (await thread(caput, ca, "E:scan", "5")).returncode == 0
            async with asyncio.timeout(20):
                assert dict(await source()) == {"scan": 5, "name": "x"}
            await sink({"a": np.ones((2, 3))})
            assert await thread(caget, ca, "-t", "R:a") == "6 1 1 1 1 1 1"
            for units in ("mm", "mm", "um"):  # only news travel
                data = Data({"u": 1.5})
                data.describe("u", {"units": units, "severity": 2, "timestamp": 1e9})
                await sink(data)
                known = await thread(caget, ca, "-d", "DBR_CTRL_DOUBLE", "R:u")
                assert f"Units:            {units}\n" in known
                assert "MAJOR" in known
        finally:
            await source.shutdown()
            await sink.shutdown()

    asyncio.run(run())
    assert service.stop() == ""
    assert service.process.returncode == 0
    assert os.listdir(service.folder) == []


def test_order_through_the_service(ca: dict[str, str], service: Service) -> None:
    assert asyncio.run(ad_hoc(ca, service.folder, 200)) == in_order(200)


def test_all_updates_of_a_hundred_pvs(ca: dict[str, str], service: Service) -> None:
    """All of their updates, each once and in order, as one C client sees them."""
    names, rounds = [f"M:{number:02d}" for number in range(100)], 50

    async def run() -> list[str]:
        async with port(service.folder) as server:
            await server.post([Update(name, 0) for name in names])
            with camonitor(ca, *names) as monitor:
                await thread(until, lambda: len(monitor.lines()) == len(names))
                for number in range(1, rounds):
                    await server.post([Update(name, number) for name in names])
                await thread(until, lambda: len(monitor.lines()) == len(names) * rounds)
                return monitor.lines()

    seen: dict[str, list[int]] = {name: [] for name in names}
    for line in asyncio.run(run()):
        words = line.split()
        seen[words[0]].append(int(words[-1]))
    assert all(values == list(range(rounds)) for values in seen.values())


def test_the_service_may_be_killed(ca: dict[str, str], service: Service) -> None:
    async def run() -> None:
        async with port(service.folder) as server:
            written: list[Any] = []
            arrived = asyncio.Event()

            def listen(write: Write) -> None:
                written.append((write.name, write.value))
                arrived.set()

            kept = Wanted.of("kept", with_initial("3"))
            assert await server.receive([kept], Rules(), listen) == [3]
            await server.post([Update("n", 1)])
            service.stop(signal.SIGKILL)
            service.start()
            assert await server.post([Update("n", 2)]) == [""]
            assert (await thread(caget, ca, "-t", "n", "kept")).split() == ["2", "3"]
            assert (await thread(caput, ca, "kept", "4")).returncode == 0
            async with asyncio.timeout(20):
                await arrived.wait()
            assert written == [("kept", 4)]

    asyncio.run(run())


def test_no_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("camagick.service.ca_proxy.DEADLINE", 0.1)
    with pytest.raises(CamagickError, match="no Channel Access service"):
        asyncio.run(connect(str(tmp_path)))


def test_a_busy_address_is_one_error(ca: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EPICS_CAS_INTF_ADDR_LIST", "192.0.2.1")  # no interface of this machine
    logging.getLogger("caproto").setLevel("CRITICAL")
    with pytest.raises(CamagickError, match="cannot open"):
        asyncio.run(connect(""))
    logging.getLogger("caproto").setLevel("NOTSET")


async def _decode(data: bytes) -> list[Any]:
    reader = asyncio.StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    return [message async for message in ca_wire.messages(reader)]


@pytest.mark.parametrize(
    "value",
    [1.5, "text", np.arange(4.0).reshape(2, 2), np.array(["a", "ü"]), np.float32(2), np.zeros(0)],
    ids=str,
)
def test_wire(value: Any) -> None:
    ((_, back),) = asyncio.run(_decode(ca_wire.pack((1, value))))
    np.testing.assert_array_equal(back, value)
    assert np.asarray(back).dtype == np.asarray(value).dtype


@pytest.mark.parametrize(
    "value", [np.array([{}]), np.zeros(1, "i4,f8"), {1}, b"raw".__class__], ids=str
)
def test_wire_refuses_to_send(value: Any) -> None:
    with pytest.raises(ValueError, match="no type"):
        ca_wire.pack((1, value))


def test_wire_refuses_what_needs_pickle() -> None:
    import msgpack

    for dtype in ("|O", "V8", "M8[s]"):
        body = msgpack.packb((dtype, (1,), b"\0" * 8))
        hostile = msgpack.packb((1, msgpack.ExtType(1, body)))
        with pytest.raises(ValueError, match=r"refused|not a message"):
            asyncio.run(_decode(hostile))
    for junk in (b"\xc1", b"\x01", b"\xdf\xff\xff\xff\xff", b"\x91\x01"):
        with pytest.raises(ValueError, match="not a message"):
            asyncio.run(_decode(junk))
