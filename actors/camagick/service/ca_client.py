"""caproto's asyncio client, with what reading and writing PVs for days needs beyond it.

Imported only where PVs are used, because it imports caproto.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any

import caproto
import numpy as np
from caproto.asyncio import client as asyncio_client

from camagick.tools.ca_values import STRING_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable

log = logging.getLogger(__name__)

#: How often missing PVs are searched for while hope is fresh; then caproto's own pace goes on.
SEARCH_PERIOD, SEARCH_EAGERLY = 1.0, 60.0


class _Circuit(asyncio_client.VirtualCircuitManager):  # type: ignore[misc]
    """A connection that goes back to searching when it cannot be made."""

    async def _connect(self, timeout: float) -> None:  # noqa: ASYNC109 - caproto's signature
        try:
            await super()._connect(timeout)
        except (OSError, caproto.CaprotoError) as error:  # caproto would leave the PV lost for ever
            log.debug('msg="no connection" server=%s error="%s"', self.circuit.address, error)
            await asyncio.sleep(SEARCH_PERIOD)
            await self._disconnected()

    async def _process_command(self, command: Any) -> None:
        if isinstance(command, caproto.ErrorResponse):  # caproto lets the request time out
            waiting = self.ioids.pop(command.original_request.parameter2, None)
            if waiting is not None and waiting.get("event") is not None:
                waiting["response"] = command
                waiting["event"].set()
        await super()._process_command(command)

    async def retire(self) -> None:
        """End the tasks that caproto leaves behind with a connection."""
        await self.user_callback_executor.tasks.cancel_all(wait=True)
        await self._tasks.cancel_all(wait=True)


class _Context(asyncio_client.Context):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        # A dead connection has callbacks to deliver: it is kept until the next one dies, too.
        self.retired: list[Any] = []

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
            manager = self.circuit_managers[address, priority] = _Circuit(self, circuit)
        return manager


class Client:
    """A Channel Access client."""

    def __init__(self) -> None:
        self._context = _Context()
        self._pvs: dict[str, Any] = {}
        self._searching: asyncio.Task[None] | None = None
        self._kept: list[object] = []

    def keep(self, callbacks: object) -> None:
        """Hold what has callbacks until `close`: caproto refers to them only weakly."""
        self._kept.append(callbacks)

    async def open(self, names: Iterable[str]) -> None:
        """Begin to search for PVs; this waits for none of them."""
        names = list(dict.fromkeys(names))
        self._pvs = dict(zip(names, await self._context.get_pvs(*names), strict=True))
        # Owned by this object: cancelled in close().
        self._searching = asyncio.get_running_loop().create_task(self._search())

    async def close(self) -> None:
        """Give all PVs up."""
        if self._searching is not None:
            self._searching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._searching
        for pv in self._pvs.values():
            for subscription in pv.subscriptions.values():
                subscription.callbacks.clear()  # before the callbacks die: caproto misses an await
        managers = [*self._context.circuit_managers.values(), *self._context.retired]
        await self._context.disconnect()
        for manager in managers:
            await manager.retire()
        self._kept.clear()

    def __getitem__(self, name: str) -> Any:
        """Return caproto's object of a PV."""
        return self._pvs[name]

    def missing(self) -> list[str]:
        """Return the names of the PVs that are not connected."""
        return [name for name, pv in self._pvs.items() if not pv.channel_ready.is_set()]

    async def _search(self) -> None:
        # caproto doubles its intervals up to 5 s, and a server that has just come back would wait.
        loop = asyncio.get_running_loop()
        since = loop.time()
        while True:
            await asyncio.sleep(SEARCH_PERIOD)
            if not self.missing():
                since = loop.time()
            elif loop.time() - since < SEARCH_EAGERLY:
                self._context.broadcaster._search_now.set()  # noqa: SLF001

    async def put(self, name: str, value: Any, timeout: float) -> None:  # noqa: ASYNC109
        """Write a PV, and wait until the server says that it is done.

        Raises
        ------
        TimeoutError
            When the PV is not there, or does not answer, within `timeout` seconds.
        ValueError
            When the value has no Channel Access type, or the server refuses it.
        """
        pv = self._pvs[name]
        async with asyncio.timeout(timeout):
            await pv.channel_ready.wait()
            data, kind = _outgoing(value, pv.channel)
            try:
                answer = await pv.write(data, data_type=kind, data_count=len(data), timeout=None)
            except caproto.CaprotoError as error:
                raise ValueError(str(error)) from error
        if answer.status.severity != caproto.CASeverity.SUCCESS:
            raise ValueError(f"the server refused it ({answer.status.name})")


def _outgoing(value: Any, channel: Any) -> tuple[Any, Any]:
    """Return data and type of a put: mostly the value's own type, for the server to convert."""
    kinds = caproto.ChannelType
    target, count = channel.native_data_type, channel.native_data_count
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    array = np.asarray(value).reshape(-1)
    if array.dtype.kind == "U":
        texts = [str(text).encode() for text in array]
        if target == kinds.CHAR and count > 1:
            return texts[0] + b"\0" * (len(texts[0]) < count), kinds.CHAR
        if max(map(len, texts), default=0) > STRING_BYTES:
            raise ValueError(f"text of more than {STRING_BYTES} bytes")
        return texts, kinds.STRING
    if array.dtype.kind not in "biuf" or array.size == 0:
        raise ValueError("no number, text, or array of these" if array.size else "empty")
    if array.dtype.kind == "f":
        return array, kinds.FLOAT if array.dtype.itemsize <= 4 else kinds.DOUBLE
    if target in (kinds.ENUM, kinds.CHAR):
        return array, target
    limits = np.iinfo(np.int32)
    if array.dtype.kind != "b" and not limits.min <= array.min() <= array.max() <= limits.max:
        return array.astype(np.float64), kinds.DOUBLE
    return array.astype(np.int32), kinds.LONG
