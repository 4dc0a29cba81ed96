"""An actor, as the Channel Access service of its bus sees it."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING, Any

from camagick.errors import CamagickError
from camagick.service import ca_wire
from camagick.service.ca import Rules, Terms, Update, Wanted

if TYPE_CHECKING:
    import asyncio

    from camagick.service.ca_host import Host
    from camagick.service.ca_inbox import Write

log = logging.getLogger(__name__)


class Actor:
    """One connection of an actor.

    Parameters
    ----------
    host
        The server.
    reader, writer
        The connection.
    """

    def __init__(
        self, host: Host, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._host, self._reader, self._writer = host, reader, writer
        self._key = f"connection {id(self)}"

    async def run(self) -> None:
        """Answer requests, one after the other, until the actor goes."""
        try:
            async with contextlib.aclosing(ca_wire.messages(self._reader)) as requests:
                async for number, verb, *arguments in requests:
                    self._send("reply", number, *await self._answer(verb, arguments))
                    await self._writer.drain()
        except (ConnectionError, ValueError) as error:
            log.warning('msg="an actor left the CA service" error="%s"', error)
        except Exception:  # one actor's trouble must not end the service of the others
            log.exception('msg="CA service gave up an actor"')
        finally:
            self._host.detach(self._key, self._tell)
            self._writer.close()

    async def _answer(self, verb: str, arguments: list[Any]) -> tuple[str, Any]:
        try:
            return "", await self._do(verb, *arguments)
        except (CamagickError, ValueError, TypeError) as error:
            return str(error) or type(error).__name__, None

    async def _do(self, verb: str, *given: Any) -> Any:
        if verb == "post":
            return await self._host.post(self._key, [Update(*update) for update in given[0]])
        if verb == "done":
            return self._host.done(self._key, int(given[0]))
        if verb == "receive":
            wanted = [Wanted(*one) for one in given[0]]
            return self._host.receive(self._key, wanted, Rules(*given[1]), self._tell)
        if verb == "publish":
            wanted = [Wanted(*one) for one in given[0]]
            return await self._host.publish(self._key, wanted, Terms(*given[1]))
        if verb == "hello":
            self._key = str(given[0])
            return None
        if verb == "bye":
            return self._host.leave(self._key)
        raise ValueError(f"the CA service knows no {verb!r}")

    def _tell(self, write: Write) -> None:
        if not self._writer.is_closing():
            self._send("written", *write)

    def _send(self, *message: Any) -> None:
        self._writer.write(ca_wire.pack(message))
