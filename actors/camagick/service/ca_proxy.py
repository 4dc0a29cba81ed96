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
from camagick.service.ca_inbox import Write
from camagick.tools.ca_metadata import LASTING, MOMENTARY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from camagick.service.ca import Listener, Rules, Terms, Update, Wanted

log = logging.getLogger(__name__)

#: How long the service may take to appear, at the start or after it died.
DEADLINE = 10.0
#: Bytes that are written at a time.
PIECE = 1 << 18
#: What a post says about its value.
_TRAVELS = (*LASTING, *MOMENTARY)
_FAREWELL_S = 1.0


class Proxy:
    """The server of a bus, as seen from an actor; it survives a restart of the service.

    Parameters
    ----------
    path
        The unix socket of the service.
    key
        Names the actor, whichever process it is.
    """

    def __init__(self, path: str, key: str) -> None:
        self._path, self._key = path, key
        self._writer: asyncio.StreamWriter | None = None
        self._receiving: asyncio.Task[None] | None = None
        self._reviving: asyncio.Task[None] | None = None
        self._closed = False
        self._numbers = itertools.count(1)
        self._replies: dict[int, asyncio.Future[list[Any]]] = {}
        self._listener: Listener | None = None
        self._received: tuple[dict[str, Wanted], Rules] | None = None
        self._published: tuple[list[Wanted], Terms] | None = None
        self._posted: dict[str, tuple[str, Any, dict[str, Any]]] = {}
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
        await self._ask_once("hello", self._key)

    async def close(self) -> None:
        """Disconnect."""
        self._closed = True
        if self._reviving is not None:
            self._reviving.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._reviving
        with contextlib.suppress(ConnectionError, CamagickError, TimeoutError):
            async with asyncio.timeout(_FAREWELL_S):
                await self._ask_once("bye")
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

    async def receive(
        self, wanted: Sequence[Wanted], rules: Rules, listener: Listener
    ) -> list[Any]:
        """Make PVs that clients write; see `camagick.service.ca.Port`."""
        self._listener = listener
        values = await self._ask("receive", list(wanted), rules)
        self._received = {one.name: one for one in wanted}, rules
        return list(values)

    async def done(self, serial: int) -> None:
        """Say that all writes up to that one were worked on."""
        await self._ask("done", serial)

    async def publish(self, wanted: Sequence[Wanted], terms: Terms) -> None:
        """Say how values are published; see `camagick.service.ca.Port`."""
        await self._ask("publish", list(wanted), terms)
        before = self._published[0] if self._published is not None else []
        self._published = [*before, *wanted], terms

    async def post(self, updates: Sequence[Update]) -> list[str]:
        """Publish; see `camagick.service.ca.Port`."""
        sent: list[tuple[int, Any, dict[str, Any]]] = []
        problems = [""] * len(updates)
        for number, (name, value, attributes) in enumerate(updates):
            known = {key: attributes[key] for key in _TRAVELS if key in attributes}
            problems[number] = ca_wire.problem(value)
            if not problems[number]:
                sent.append((number, (name, value, self._news(name, known)), known))
        answers = await self._ask("post", [update for _, update, _ in sent])
        for (number, (name, value, _), known), answer in zip(sent, answers, strict=True):
            problems[number] = answer
            if not answer:
                # For the next service, if there has to be one; arrays are those of an iteration.
                self._posted[name] = (name, _kept(value), known)
        return problems

    def _news(self, name: str, known: dict[str, Any]) -> dict[str, Any]:
        """Return what the service does not know yet; an enum is known by its labels."""
        before = self._posted.get(name)
        if before is None or "enum_strings" in known:
            return known
        same = all(before[2].get(key) == known.get(key) for key in LASTING)
        return {key: known[key] for key in MOMENTARY if key in known} if same else known

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
        if self._published is not None:
            await self._ask_once("publish", *self._published)
        if self._received is not None:
            wanted, rules = self._received
            await self._ask_once("receive", list(wanted.values()), rules)
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

    def _written(self, write: Write) -> None:
        if self._received is not None and write.name in self._received[0]:
            # For the next service, if there has to be one.
            wanted = self._received[0]
            wanted[write.name] = wanted[write.name]._replace(value=write.value)
        if self._listener is not None:
            self._listener(write)

    async def _receive(self, reader: asyncio.StreamReader) -> None:
        try:
            async for kind, *content in ca_wire.messages(reader):
                if kind == "reply":
                    reply = self._replies.get(content[0])
                    if reply is not None and not reply.done():
                        reply.set_result(content[1:])
                elif kind == "written":
                    self._written(Write(*content))
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
