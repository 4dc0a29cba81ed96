"""An actor's way to the Channel Access service of its bus."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from camagick.errors import CamagickError
from camagick.service import ca_wire

if TYPE_CHECKING:
    from collections.abc import Sequence

    from camagick.service.ca import Listener, Update

log = logging.getLogger(__name__)

#: How long the service may take to appear, at the start or after it died.
DEADLINE = 10.0
#: Bytes that are written at a time.
PIECE = 1 << 18


class Proxy:
    """The server of a bus, as seen from an actor; it survives a restart of the service.

    Parameters
    ----------
    path
        The unix socket of the service.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._writer: asyncio.StreamWriter | None = None
        self._receiving: asyncio.Task[None] | None = None
        self._reviving: asyncio.Task[None] | None = None
        self._closed = False
        self._numbers = itertools.count(1)
        self._replies: dict[int, asyncio.Future[list[Any]]] = {}
        self._added: dict[str, tuple[Any, bool]] = {}
        self._listeners: dict[str, Listener] = {}
        self._posted: dict[str, tuple[Any, ...]] = {}
        self._lock = asyncio.Lock()

    async def open(self) -> None:
        """Connect; the service may need a moment to appear.

        Raises
        ------
        CamagickError
            When it does not within 10 s.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + DEADLINE
        while True:
            try:
                reader, writer = await asyncio.open_unix_connection(self._path, limit=1 << 20)
                break
            except (FileNotFoundError, ConnectionError) as error:
                if loop.time() > deadline:
                    raise CamagickError(f"no Channel Access service at {self._path}") from error
                await asyncio.sleep(0.02)
        self._writer = writer
        # Owned by this object: ends with the connection, cancelled in close().
        self._receiving = loop.create_task(self._receive(reader))

    async def close(self) -> None:
        """Disconnect."""
        self._closed = True
        if self._reviving is not None:
            self._reviving.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._reviving
        await self._disconnect()

    async def _disconnect(self) -> None:
        if self._receiving is not None:
            self._receiving.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._receiving
        if self._writer is not None:
            self._writer.close()
            with contextlib.suppress(ConnectionError):
                await self._writer.wait_closed()

    async def add(
        self, name: str, value: Any, listener: Listener, *, refuse_same: bool = False
    ) -> Any:
        """Make a PV; see `camagick.service.ca.Port`."""
        self._listeners[name] = listener
        made = await self._ask("add", name, value, refuse_same)
        self._added[name] = (value, refuse_same)
        return made

    async def post(self, updates: Sequence[Update]) -> list[str]:
        """Publish; see `camagick.service.ca.Port`."""
        sent: list[Any] = []
        problems = [""] * len(updates)
        for number, (name, value, attributes) in enumerate(updates):
            kept = {key: attributes[key] for key in _TRAVELS if key in attributes}
            problems[number] = ca_wire.problem(value)
            if not problems[number]:
                sent.append((number, (name, value, kept)))
        if sent:
            answers = await self._ask("post", [update for _, update in sent])
            for (number, _), answer in zip(sent, answers, strict=True):
                problems[number] = answer
            # For the next service, if there has to be one; arrays are those of an iteration.
            for _, (name, value, more) in sent:
                self._posted[name] = (name, _kept(value), more)
        return problems

    async def _ask(self, *request: Any) -> Any:
        async with self._lock:  # one at a time: the order of posts is the order of calls
            try:
                return await self._ask_once(*request)
            except ConnectionError:
                await self._connect_again()
            return await self._ask_once(*request)

    async def _revive(self) -> None:
        """Find the service again, for one who waits for a client's write and asks nothing."""
        async with self._lock:
            if self._receiving is None or self._receiving.done():
                try:
                    await self._connect_again()
                except (CamagickError, ConnectionError) as error:
                    log.error('msg="%s"', error)  # noqa: TRY400 - the run ends for this, too

    async def _connect_again(self) -> None:
        """Connect to a new service, and give it the PVs that the old one had."""
        log.warning('msg="CA service lost, connecting again"')
        await self._disconnect()
        await self.open()
        for name, (value, refuse_same) in self._added.items():
            await self._ask_once("add", name, value, refuse_same)
        if self._posted:
            await self._ask_once("post", list(self._posted.values()))

    async def _ask_once(self, *request: Any) -> Any:
        if self._writer is None or self._receiving is None or self._receiving.done():
            raise ConnectionResetError("not connected")
        number = next(self._numbers)
        reply = self._replies[number] = asyncio.get_running_loop().create_future()
        try:
            await self._write(self._writer, ca_wire.pack((number, *request)))
            problem, result = await reply
        finally:
            self._replies.pop(number, None)
        if problem:
            raise CamagickError(problem)
        return result

    async def _write(self, writer: asyncio.StreamWriter, message: bytes) -> None:
        # In pieces: asyncio moves what it has not written yet at every step (Python 3.11).
        rest = memoryview(message)
        while rest:
            writer.write(rest[:PIECE])
            rest = rest[PIECE:]
            try:
                await writer.drain()
            except asyncio.CancelledError:
                if rest:  # half a message: this connection is of no use any more
                    writer.close()
                raise

    def _written(self, name: str, value: Any) -> None:
        if name in self._added:  # for the next service, if there has to be one
            self._added[name] = (value, self._added[name][1])
        if name in self._listeners:
            self._listeners[name](name, value)

    async def _receive(self, reader: asyncio.StreamReader) -> None:
        try:
            async for kind, *content in ca_wire.messages(reader):
                if kind == "reply":
                    reply = self._replies.get(content[0])
                    if reply is not None and not reply.done():
                        reply.set_result(content[1:])
                elif kind == "written":
                    self._written(*content)
        except (ConnectionError, ValueError) as error:
            log.debug('msg="CA service lost" error="%s"', error)
        finally:
            for reply in self._replies.values():
                if not reply.done():
                    reply.set_exception(ConnectionResetError("the CA service is gone"))
            if not self._closed:
                # Owned by this object, cancelled in close().
                self._reviving = asyncio.get_running_loop().create_task(self._revive())


def _kept(value: Any) -> Any:
    return value.copy() if isinstance(value, np.ndarray) else value


#: What a post says about its value.
_TRAVELS = ("units", "precision", "severity", "status")
