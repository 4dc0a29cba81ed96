"""One Channel Access server per run and host, through which all ioc processors publish.

Clients see one IOC: one port, one circuit, and updates of different PVs in the order in which
they were posted. In one process the processors share a server of their event loop. On a bus the
server is a process of its own (`serve`), and processors reach it through a socket in the run's
folder.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

from camagick.errors import CamagickError
from camagick.service import ca_wire

if TYPE_CHECKING:
    from camagick.service.ca_host import Host

log = logging.getLogger(__name__)

SOCKET = "ca.sock"

Listener = Callable[[str, Any], None]


class Update(NamedTuple):
    """A new value of a PV, with what is known about it (units, precision, severity, status)."""

    name: str
    value: Any
    attributes: Mapping[str, Any] = {}


class Port(Protocol):
    """What a processor has of the server."""

    async def add(
        self, name: str, value: Any, listener: Listener, *, refuse_same: bool = False
    ) -> Any:
        """Make a PV and return its value, which may be older than this processor.

        Whoever else writes the PV, the plain function `listener` gets its name and the new value,
        once per write and in order. With `refuse_same`, clients cannot write what is there.
        """

    async def post(self, updates: Sequence[Update]) -> list[str]:
        """Publish, in order, and return what was wrong with each update ('' for nothing).

        PVs are made at their first value. On return, all monitors are queued for all clients.
        """

    async def close(self) -> None:
        """Give the server up; it closes when nobody uses it."""


async def connect(run_dir: str) -> Port:
    """Return a way to the server: of this event loop for '', else of the run with that folder."""
    if not run_dir:
        return await _Local.open()
    from camagick.service.ca_proxy import Proxy

    proxy = Proxy(os.path.join(run_dir, SOCKET))
    await proxy.open()
    return proxy


if TYPE_CHECKING:
    # By event loop: the server, its users, and what keeps opening and closing apart.
    _Hosts = weakref.WeakKeyDictionary[
        asyncio.AbstractEventLoop, tuple[Host, set[int], asyncio.Lock]
    ]


class _Local:
    """The server of this event loop, opened by the first who needs it, closed by the last."""

    _hosts: ClassVar[_Hosts] = weakref.WeakKeyDictionary()

    def __init__(self, host: Host) -> None:
        self._host = host

    @classmethod
    async def open(cls) -> _Local:
        from camagick.service.ca_host import Host

        loop = asyncio.get_running_loop()
        if loop not in cls._hosts:
            cls._hosts[loop] = Host(), set(), asyncio.Lock()
        host, users, lock = cls._hosts[loop]
        port = cls(host)
        async with lock:
            if not users:
                try:
                    await host.start()
                except BaseException:
                    cls._hosts.pop(loop, None)  # the next one tries with a new server
                    raise
            users.add(id(port))
        return port

    async def add(
        self, name: str, value: Any, listener: Listener, *, refuse_same: bool = False
    ) -> Any:
        return self._host.add(name, value, self, listener, refuse_same=refuse_same)

    async def post(self, updates: Sequence[Update]) -> list[str]:
        return await self._host.post(updates, self)

    async def close(self) -> None:
        loop = asyncio.get_running_loop()
        entry = self._hosts.get(loop)
        if entry is None or id(self) not in entry[1]:
            return
        host, users, lock = entry
        async with lock:
            users.discard(id(self))
            if not users:
                del self._hosts[loop]
                await host.stop()


async def serve(run_dir: str) -> None:
    """Run the server of a bus until cancelled.

    Parameters
    ----------
    run_dir
        Folder of the run; processors connect to the socket `ca.sock` in it.
    """
    from camagick.service.ca_host import Host

    path = os.path.join(run_dir, SOCKET)
    host = Host()
    await host.start()
    try:
        _unlink(path)  # of a server that was killed
        async with asyncio.TaskGroup() as clients:

            def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                clients.create_task(_Client(host, reader, writer).run())

            server = await asyncio.start_unix_server(accept, path, limit=1 << 20)
            os.chmod(path, 0o600)
            try:
                await asyncio.Event().wait()
            finally:
                server.close()
    except asyncio.CancelledError:
        log.debug('msg="CA service ends"')
    finally:
        await host.stop()
        _unlink(path)


def _unlink(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


class _Client:
    """An actor, as the service sees it."""

    def __init__(
        self, host: Host, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._host, self._reader, self._writer = host, reader, writer

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
            self._writer.close()

    async def _answer(self, verb: str, arguments: list[Any]) -> tuple[str, Any]:
        try:
            if verb == "add":
                name, value, refuse_same = arguments
                listener = self._tell
                made = self._host.add(name, value, self, listener, refuse_same=bool(refuse_same))
                return "", made
            if verb == "post":
                updates = [Update(*update) for update in arguments[0]]
                return "", await self._host.post(updates, self)
        except (CamagickError, ValueError, TypeError) as error:
            return str(error) or type(error).__name__, None
        return f"the CA service knows no {verb!r}", None

    def _tell(self, name: str, value: Any) -> None:
        if not self._writer.is_closing():
            self._send("written", name, value)

    def _send(self, *message: Any) -> None:
        self._writer.write(ca_wire.pack(message))
