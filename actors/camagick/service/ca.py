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
import uuid
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

from camagick.service.ca_inbox import Rules, Write

if TYPE_CHECKING:
    from camagick.service.ca_host import Host
    from camagick.tools.ca_declared import Declared
    from camagick.tools.ca_values import Form

__all__ = ["Listener", "Port", "Rules", "Terms", "Update", "Wanted", "Write", "connect", "serve"]

log = logging.getLogger(__name__)

SOCKET = "ca.sock"

Listener = Callable[[Write], None]


class Update(NamedTuple):
    """A new value of a PV, with what is known about it (units, timestamp, severity, ...)."""

    name: str
    value: Any
    attributes: Mapping[str, Any] = {}


class Wanted(NamedTuple):
    """A PV that is to be there; see `camagick.tools.ca_declared.Declared`."""

    name: str
    form: Form
    value: Any
    labels: Sequence[str] = ()
    dtype: str = ""
    whole: int = 0

    @classmethod
    def of(cls, name: str, declared: Declared) -> Wanted:
        """Return a PV with that name, as it was declared."""
        one = declared
        return cls(name, one.form, one.initial, one.labels, one.dtype, one.whole)


class Terms(NamedTuple):
    """How an actor's values are published.

    Attributes
    ----------
    writable
        Whether clients may write them.
    stale
        Seconds without a sign of life until they are invalid; 0 for never.
    most
        Elements an array has room for; 0 for as many as its first value has.
    """

    writable: bool = False
    stale: float = 0.0
    most: int = 0


class Port(Protocol):
    """What a processor has of the server."""

    async def receive(
        self, wanted: Sequence[Wanted], rules: Rules, listener: Listener
    ) -> list[Any]:
        """Make PVs that clients write, and return their values, which may be older than this.

        The plain function `listener` gets each write, in order. The server keeps it until `done`,
        and gives it to the successor of a processor that was killed.
        """

    async def done(self, serial: int) -> None:
        """Say that all writes up to that one were worked on."""

    async def publish(self, wanted: Sequence[Wanted], terms: Terms) -> None:
        """Say how values are published, and make the PVs whose types are known."""

    async def post(self, updates: Sequence[Update]) -> list[str]:
        """Publish, in order, and return what was wrong with each update ('' for nothing).

        PVs are made at their first value. On return, all monitors are queued for all clients.
        """

    async def close(self) -> None:
        """Give the server up; it closes when nobody uses it."""


async def connect(run_dir: str, key: str = "") -> Port:
    """Return a way to the server.

    Parameters
    ----------
    run_dir
        Folder of the run, '' for the server of this event loop.
    key
        Names the actor, whichever process it is; '' for one without predecessors.
    """
    key = key or uuid.uuid4().hex
    if not run_dir:
        return await _Local.open(key)
    from camagick.service.ca_proxy import Proxy

    proxy = Proxy(os.path.join(run_dir, SOCKET), key)
    await proxy.open()
    return proxy


if TYPE_CHECKING:
    # By event loop: the server, its users, and what keeps opening and closing apart.
    _Hosts = weakref.WeakKeyDictionary[
        asyncio.AbstractEventLoop, tuple[Host, set[str], asyncio.Lock]
    ]


class _Local:
    """The server of this event loop, opened by the first who needs it, closed by the last."""

    _hosts: ClassVar[_Hosts] = weakref.WeakKeyDictionary()

    def __init__(self, host: Host, key: str) -> None:
        self._host, self._key = host, key

    @classmethod
    async def open(cls, key: str) -> _Local:
        from camagick.service.ca_host import Host

        loop = asyncio.get_running_loop()
        if loop not in cls._hosts:
            cls._hosts[loop] = Host(), set(), asyncio.Lock()
        host, users, lock = cls._hosts[loop]
        port = cls(host, key)
        async with lock:
            if not users:
                try:
                    await host.start()
                except BaseException:
                    cls._hosts.pop(loop, None)  # the next one tries with a new server
                    raise
            users.add(key)
        return port

    async def receive(
        self, wanted: Sequence[Wanted], rules: Rules, listener: Listener
    ) -> list[Any]:
        return self._host.receive(self._key, wanted, rules, listener)

    async def done(self, serial: int) -> None:
        self._host.done(self._key, serial)

    async def publish(self, wanted: Sequence[Wanted], terms: Terms) -> None:
        await self._host.publish(self._key, wanted, terms)

    async def post(self, updates: Sequence[Update]) -> list[str]:
        return await self._host.post(self._key, updates)

    async def close(self) -> None:
        loop = asyncio.get_running_loop()
        entry = self._hosts.get(loop)
        if entry is None or self._key not in entry[1]:
            return
        host, users, lock = entry
        async with lock:
            users.discard(self._key)
            host.leave(self._key)
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
    from camagick.service.ca_actor import Actor
    from camagick.service.ca_host import Host

    path = os.path.join(run_dir, SOCKET)
    host = Host()
    await host.start()
    try:
        _unlink(path)  # of a server that was killed
        async with asyncio.TaskGroup() as actors:

            def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                actors.create_task(Actor(host, reader, writer).run())

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
