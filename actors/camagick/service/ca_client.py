"""caproto's asyncio client, with what reading and writing PVs for days needs beyond it.

Imported only where PVs are used, because it imports caproto.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import caproto
import numpy as np
from caproto.client.common import DeadCircuitError

from camagick.service.ca_circuit import Context
from camagick.tools.ca_values import STRING_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

#: Seconds between two searches for missing PVs: at first, and at most; later caproto's own pace.
SEARCH_SOON, SEARCH_PERIOD, SEARCH_EAGERLY = 0.1, 1.0, 60.0


class Client:
    """A Channel Access client."""

    def __init__(self) -> None:
        self._context = Context()
        self._pvs: dict[str, Any] = {}
        self._searching: asyncio.Task[None] | None = None
        self._kept: list[object] = []

    def keep(self, callbacks: object) -> None:
        """Hold what has callbacks until `close`: caproto refers to them only weakly."""
        self._kept.append(callbacks)

    def listen(self, name: str, on_silence: Callable[[bool], None]) -> None:
        """Let a function be told whether the server of a connected PV can be heard."""
        self._context.silence[name] = on_silence

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
        loop, lost = asyncio.get_running_loop(), self._context.lost
        since, pause = loop.time(), SEARCH_SOON
        while True:
            if not self.missing():
                lost.clear()
                await lost.wait()
            if lost.is_set():
                lost.clear()
                since, pause = loop.time(), SEARCH_SOON
            await asyncio.sleep(pause)
            pause = min(2 * pause, SEARCH_PERIOD)
            if self.missing() and loop.time() - since < SEARCH_EAGERLY:
                self._context.broadcaster._search_now.set()  # noqa: SLF001

    def connected(self, name: str) -> bool:
        """Tell whether a PV is connected."""
        return bool(self._pvs[name].channel_ready.is_set())

    async def put(
        self,
        name: str,
        value: Any,
        timeout: float,  # noqa: ASYNC109
        *,
        wait: bool = True,
    ) -> None:
        """Write a PV; anew, if one waits, and the connection breaks off and comes back in time.

        Parameters
        ----------
        name, value
            The PV and what it gets.
        timeout
            Seconds.
        wait
            Whether to wait until the server says that it has done everything that the value
            leads to; otherwise it is on its way when this returns.

        Raises
        ------
        TimeoutError
            When the PV is not there, or does not answer, within `timeout` seconds.
        OSError
            When the connection breaks off, and nobody waits.
        ValueError
            When the value has no Channel Access type, or the server refuses it.
        """
        pv = self._pvs[name]
        async with asyncio.timeout(timeout):
            while True:
                await pv.channel_ready.wait()
                connection = pv.circuit_manager
                try:
                    answer = await _written(pv, value, wait=wait)
                    if answer is not None or not wait:  # caproto gives up after some attempts
                        break
                except OSError:  # the other side is gone, which caproto is about to notice
                    if not wait:
                        raise
                    await connection.dead.wait()
                except (caproto.CaprotoError, DeadCircuitError, KeyError, AttributeError) as error:
                    # caproto has no error of its own for what breaks off in the middle.
                    if not connection.dead.is_set():
                        raise ValueError(str(error)) from error
        if answer is not None and answer.status.severity != caproto.CASeverity.SUCCESS:
            raise ValueError(f"the server refused it ({answer.status.name})")


async def _written(pv: Any, value: Any, *, wait: bool) -> Any:
    """Write to a connected PV once; return the server's answer, if that is waited for."""
    if pv.access_rights is not None and not pv.access_rights & caproto.AccessRights.WRITE:
        raise ValueError("the server lets nobody write it")
    data, kind = _outgoing(value, pv.channel)
    return await pv.write(data, data_type=kind, data_count=len(data), timeout=None, wait=wait)


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
