"""The Channel Access server itself: caproto's, kept in order and alive under a flood.

Imported only where a server runs, because it imports caproto.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import weakref
from typing import Any

import caproto
from caproto.asyncio import server as asyncio_server
from caproto.asyncio.utils import _TransportWrapper
from caproto.server import common

from camagick.errors import CamagickError
from camagick.service.ca_outbox import Outbox

log = logging.getLogger(__name__)

#: Behind the last command of a client.
_LEAVE = object()


class Circuit(asyncio_server.VirtualCircuit):  # type: ignore[misc]
    """One client's connection."""

    def __init__(self, circuit: Any, client: Any, context: Any) -> None:
        super().__init__(circuit, client, context)
        self._sub_task: asyncio.Task[None] | None = None
        self.outbox = self.subscription_queue = self.unexpired_updates = Outbox()
        context.all_circuits.add(self)

    async def close(self) -> None:
        """Close the connection and end everything that works for it."""
        self.client.close()
        await self.tasks.cancel_all(wait=True)

    async def subscription_queue_loop(self) -> None:
        """Write updates to the client, in order, as fast as it takes them."""
        self.events_on.set()
        try:
            while True:
                batch = await self.outbox.take()
                wanted = {
                    sub.subscriptionid for subs in self.subscriptions.values() for sub in subs
                }
                await self.send(*(update for update in batch if update.subscriptionid in wanted))
                if self.outbox.dropped:
                    self._tell_dropped()
        except common.DisconnectedCircuit:
            await self._on_disconnect()
            self.circuit.disconnect()
            await self.context.circuit_disconnected(self)
        except asyncio.CancelledError:
            return  # whoever cancels this task awaits it, and must not be cancelled by that

    def _tell_dropped(self) -> None:
        dropped, self.outbox.dropped = self.outbox.dropped, 0
        host, port = self.circuit.address[:2]
        log.warning(
            'msg="CA client too slow: oldest updates dropped" client=%s:%s updates=%d',
            host,
            port,
            dropped,
        )

    async def _process_command(self, command: Any) -> Any:
        if isinstance(command, caproto.EventsOffRequest):
            for spec, subs in self.subscriptions.items():  # what waits is dropped: newest later
                missed = [sub for sub in subs if self.outbox.holds(sub.subscriptionid)]
                self.subscriptions_to_resend[spec] = missed
        return await super()._process_command(command)

    def leave(self) -> None:
        """End, behind what the client has still asked for: nothing more comes."""
        with contextlib.suppress(asyncio.QueueFull):  # then its end is in there already
            self.command_queue.put_nowait(_LEAVE)

    async def _command_queue_iteration(self, command: Any) -> Any:
        if command is _LEAVE:
            raise common.LoopExit
        return await super()._command_queue_iteration(command)

    async def _start_write_task(self, handle_write: Any) -> None:
        async def write() -> None:
            with contextlib.suppress(common.DisconnectedCircuit):  # gone before the answer
                await handle_write()

        self.tasks.create(write())

    async def tell(self, response: Any) -> None:
        """Send something that the client has not asked for."""
        with contextlib.suppress(common.DisconnectedCircuit):
            await self.send(response)

    async def _on_disconnect(self) -> None:
        # Not caproto's asyncio version: that one awaits the task by which it may be called.
        await common.VirtualCircuit._on_disconnect(self)  # noqa: SLF001
        self.client.close()
        self.outbox.clear()
        task, self._sub_task = self._sub_task, None
        if task is not None and task is not asyncio.current_task():
            task.cancel()


class Direct:
    """Hands each update to the circuits in the very moment of the post: no queue in between."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def put(self, update: Any) -> None:
        """Hand on one update."""
        await self._context.hand_on(*update)


class Context(asyncio_server.Context):  # type: ignore[misc]
    """The server; more PVs may be added to `pvdb` while it runs."""

    CircuitClass = Circuit

    def __init__(self, pvdb: dict[str, Any]) -> None:
        super().__init__(pvdb)
        self.subscription_queue = Direct(self)
        # Those that caproto has forgotten, too: their tasks may outlive the connection.
        self.all_circuits: weakref.WeakSet[Circuit] = weakref.WeakSet()
        self.listening = asyncio.Event()
        own_port = os.environ.get("EPICS_CAS_SERVER_PORT", "").strip()
        if own_port:
            if not own_port.isdecimal() or not 0 < int(own_port) < 1 << 16:
                raise CamagickError(f"EPICS_CAS_SERVER_PORT={own_port} is no port")
            self.ca_server_port = int(own_port)

    async def circuit_disconnected(self, circuit: Circuit) -> None:
        await super().circuit_disconnected(circuit)
        circuit.leave()  # caproto lets its task wait for ever

    def __getitem__(self, name: str) -> Any:
        # What many clients add to any name, as every record has it.
        return super().__getitem__(name.removesuffix(".VAL") if name not in self.pvdb else name)

    async def hand_on(self, specs: Any, metadata: Any, values: Any, flags: int, sub: Any) -> None:
        """Queue one update for all who want it (or for the one that has just subscribed)."""
        if sub is not None:
            targets = [(specs[0], sub)]
        else:  # a copy: clients come and go
            targets = [(spec, one) for spec in specs for one in tuple(self.subscriptions[spec])]
        for spec, one in targets:
            unasked = sub is None and flags and not spec.mask & flags
            if one.circuit.connected and not unasked:
                await self._subscription_queue_send(
                    spec, one, metadata=metadata, values=values, flags=flags
                )

    def rights_changed(self, entry: Any) -> None:
        """Tell clients that hold a PV already who may do what with it from now on."""
        for circuit in tuple(self.circuits):
            for channel in tuple(circuit.circuit.channels.values()):
                if self.pvdb.get(channel.name) is entry:
                    rights = entry.check_access(circuit.client_hostname, circuit.client_username)
                    circuit.tasks.create(
                        circuit.tell(
                            caproto.AccessRightsResponse(cid=channel.cid, access_rights=rights)
                        )
                    )

    async def room(self) -> None:
        """Let the circuits write; wait a little for clients that are behind."""
        await asyncio.sleep(0)
        for circuit in tuple(self.circuits):
            await circuit.outbox.room()

    async def _bind_tcp_sockets_with_consistent_port_number(self, make_socket: Any) -> Any:
        return await super()._bind_tcp_sockets_with_consistent_port_number(_bound)

    async def subscription_queue_loop(self) -> None:
        """Wait for ever: there is no queue between posts and circuits."""
        await asyncio.Event().wait()

    async def server_accept_loop(self, sock: Any) -> None:
        """Accept clients on `sock`, and stop to listen when cancelled."""

        def new_client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            transport = _TransportWrapper(reader, writer)
            self.server_tasks.create(self.tcp_handler(transport, transport.getpeername()))

        server = await asyncio.start_server(new_client, sock=sock)
        self.listening.set()
        try:
            await asyncio.Event().wait()
        finally:
            server.close()

    async def _broadcaster_recv_datagram(self, data: bytes, address: Any) -> None:
        try:
            await super()._broadcaster_recv_datagram(data, address)
        except Exception as error:  # noqa: BLE001 - whatever strangers send, the server lives on
            log.debug('msg="odd datagram" sender=%s error="%s"', address, error)

    async def broadcast_beacon_loop(self) -> None:
        """Send beacons: at short intervals first, then every EPICS_CAS_BEACON_PERIOD."""
        automatic = self.environ["EPICS_CAS_AUTO_BEACON_ADDR_LIST"].lower() != "no"
        if not (automatic or self.environ["EPICS_CAS_BEACON_ADDR_LIST"].strip()):
            for _, sock in self.beacon_socks.values():
                sock.close()
            self.beacon_socks.clear()  # caproto would go to 255.255.255.255 even so
        period, longest = 0.02, self.environ["EPICS_CAS_BEACON_PERIOD"]
        while True:
            for address, (interface, sock) in self.beacon_socks.items():
                beacon = caproto.Beacon(13, self.port, self.beacon_count, interface)
                try:
                    await sock.send(self.broadcaster.send(beacon))
                except OSError as error:  # mostly: nobody listens there, which harms nobody
                    log.debug('msg="beacon not sent" address=%s error="%s"', address, error)
            self.beacon_count += 1
            await asyncio.sleep(period)
            period = min(period * 2, longest)


async def _bound(address: str, port: int) -> socket.socket:
    """Return a TCP socket with that address; caproto's way leaves an open socket per failure."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setblocking(False)
        sock.bind((address, port))
    except OSError:
        sock.close()
        raise
    return sock
