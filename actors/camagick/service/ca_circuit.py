"""A connection of caproto's asyncio client, mended and made fast.

Imported only where PVs are used, because it imports caproto.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import TYPE_CHECKING, Any

import caproto
from caproto._commands import read_from_bytestream  # caproto cuts streams with it, too
from caproto.asyncio import client as asyncio_client
from caproto.client.common import DeadCircuitError

from camagick.service.ca_stream import Stream

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)

#: Seconds until a server that has refused a connection is searched for again.
RETRY_S = 0.5
#: Seconds between two looks at whether a server has said anything.
BEAT_S = 1.0
#: After so many looks in vain it is asked, and after so many it counts as silent.
ASK, SILENT = 1, 4


class Circuit(asyncio_client.VirtualCircuitManager):  # type: ignore[misc]
    """A connection that loses no PV, and hands on events without a detour.

    caproto leaves PVs lost for ever whose server accepts no connection, or disconnects them one
    by one, as a gateway does. And it carries each event through two queues and a task.
    """

    def __init__(self, context: Any, circuit: Any) -> None:
        self._greeted = asyncio.Event()
        super().__init__(context, circuit)

    async def _connect(self, timeout: float) -> None:  # noqa: ASYNC109 - caproto's signature
        try:
            await super()._connect(timeout)
        except (OSError, caproto.CaprotoError) as error:
            log.debug('msg="no connection" server=%s error="%s"', self.circuit.address, error)
            await asyncio.sleep(RETRY_S)
            await self._disconnected()
        else:
            self._tasks.create(self._listen())

    async def _transport_receive_loop(self, transport: Any) -> None:
        received = b""
        with contextlib.suppress(caproto.CaprotoNetworkError):
            received = await transport.recv()  # a server speaks first
        stream = Stream(transport.writer, received, self._note) if received else None
        await self._greeted.wait()
        while stream is not None and (messages := await stream.messages()):
            for message in messages:
                _, command, _ = read_from_bytestream(message, caproto.SERVER)
                await self._process(command)
        await self._process(caproto.DISCONNECTED)

    def _note(self) -> None:
        self.last_tcp_receipt = time.monotonic()

    async def _command_queue_loop(self) -> None:
        self._greeted.set()  # caproto begins this when answers may be looked at

    async def _process(self, command: Any) -> None:
        try:
            await self._process_command(command)
        except Exception as error:  # a bad message must not end the connection
            log.warning('msg="a message of the server is left out: %s"', error)
            log.debug("details", exc_info=error)

    async def _process_command(self, command: Any) -> None:
        if isinstance(command, caproto.EventAddResponse):
            subscription = self.subscriptions.get(command.subscriptionid)
            take = getattr(subscription, "take", None)
            if take is not None and command.buffers:
                if subscription.subscriptionid == command.subscriptionid:  # and not renewed since
                    take(command)
                return
        if isinstance(command, caproto.ErrorResponse):  # caproto lets the request time out
            waiting = self.ioids.pop(command.original_request.parameter2, None)
            if waiting is not None and waiting.get("event") is not None:
                waiting["response"] = command
                waiting["event"].set()
        await super()._process_command(command)
        if isinstance(command, caproto.ServerDisconnResponse):
            await self._search_again(command.cid)
        elif isinstance(command, caproto.CreateChFailResponse):
            self._tasks.create(self._search_later(command.cid))

    async def _disconnected(self, *, reconnect: bool = True) -> None:
        if not self.dead.is_set():
            for subscription in self.subscriptions.values():
                _lose(subscription)
        await super()._disconnected(reconnect=reconnect)

    async def _search_later(self, cid: int) -> None:
        await asyncio.sleep(RETRY_S)
        await self._search_again(cid)

    async def _search_again(self, cid: int) -> None:
        """Look for a PV that the server, a gateway, has disconnected alone, or does not have."""
        pv = self.pvs.pop(cid, None)
        if pv is None or self.dead.is_set():
            return
        self.channels.pop(cid, None)
        for number, subscription in list(self.subscriptions.items()):
            if subscription.pv is pv:
                _lose(self.subscriptions.pop(number))
        pv.channel_ready.clear()
        pv.circuit_ready.clear()
        self._search_results.mark_channel_disconnected(pv.name, self.circuit.address)
        await self.context.reconnect([(pv.name, pv.priority)])

    async def _listen(self) -> None:
        """See whether the server is there: a pulled cable says nothing for minutes."""
        heard, idle = self.last_tcp_receipt, 0
        while not self.dead.is_set():
            await asyncio.sleep(BEAT_S)
            if self.last_tcp_receipt != heard:
                if idle >= SILENT:
                    self._tell(heard=True)
                heard, idle = self.last_tcp_receipt, 0
                continue
            idle += 1
            if idle == ASK:
                with contextlib.suppress(OSError, caproto.CaprotoError, DeadCircuitError):
                    await self.send(caproto.EchoRequest())
            elif idle == SILENT:
                self._tell(heard=False)

    def _tell(self, *, heard: bool) -> None:
        for pv in self.pvs.values():
            tell = self.context.silence.get(pv.name)
            if tell is not None:
                tell(heard)

    async def retire(self) -> None:
        """End the tasks that caproto leaves behind with a connection."""
        await self.user_callback_executor.tasks.cancel_all(wait=True)
        await self._tasks.cancel_all(wait=True)


def _lose(subscription: Any) -> None:
    """Tell whoever gets the events that the next one is the first of a new subscription."""
    lost = getattr(subscription, "lost", None)
    if lost is not None:
        lost()


class Context(asyncio_client.Context):  # type: ignore[misc]
    """What all connections of a client share.

    Attributes
    ----------
    lost
        Set when a PV has to be searched for.
    silence
        By PV: what is told whether its server, which is still connected, can be heard.
    """

    def __init__(self) -> None:
        super().__init__()
        # A dead connection has callbacks to deliver: it is kept until the next one dies, too.
        self.retired: list[Any] = []
        self.lost = asyncio.Event()
        self.silence: dict[str, Callable[[bool], None]] = {}

    async def reconnect(self, keys: Any) -> None:
        await super().reconnect(keys)
        self.lost.set()

    def get_circuit_manager(self, address: Any, priority: int) -> Any:
        manager = self.circuit_managers.get((address, priority))
        if manager is None or manager.dead.is_set():
            if manager is not None:
                for old in self.retired:
                    self._tasks.create(old.retire())
                self.retired = [manager]
            version = self.broadcaster.server_protocol_versions[address]
            circuit = caproto.VirtualCircuit(
                our_role=caproto.CLIENT,
                address=address,
                priority=priority,
                protocol_version=version,
            )
            manager = self.circuit_managers[address, priority] = Circuit(self, circuit)
        return manager
