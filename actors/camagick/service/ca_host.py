"""The PVs of a Channel Access server, and what actors do with them.

Imported only where a server runs, because it imports caproto.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any

import caproto

from camagick.errors import BadOption, CamagickError
from camagick.service.ca_inbox import Inbox
from camagick.service.ca_owner import Owner
from camagick.service.ca_pv import UNDEFINED, make
from camagick.service.ca_relay import Relay
from camagick.service.ca_server import Context
from camagick.tools.ca_values import Form, fit, form_of, labels_of
from camagick.tools.tasks import first

if TYPE_CHECKING:
    from collections.abc import Sequence

    from camagick.service.ca import Listener, Terms, Update, Wanted
    from camagick.service.ca_inbox import Rules

log = logging.getLogger(__name__)

#: How long clients' handlers may take to end.
_PARTING_S = 1.0


class Host:
    """One Channel Access server and its PVs."""

    def __init__(self) -> None:
        self._context = Context({})
        self._running: asyncio.Task[None] | None = None
        self._pvs: dict[str, Any] = {}
        self._owners: dict[str, Owner] = {}
        self._watches: dict[str, asyncio.Task[None]] = {}

    async def start(self) -> None:
        """Open the server.

        Raises
        ------
        CamagickError
            When its ports or interfaces cannot be used.
        """
        _quieten()
        # Owned by this object: cancelled in stop().
        self._running = asyncio.get_running_loop().create_task(self._context.run())
        listening = asyncio.get_running_loop().create_task(self._context.listening.wait())
        await asyncio.wait({self._running, listening}, return_when=asyncio.FIRST_COMPLETED)
        if not listening.done():
            listening.cancel()
            error = first(self._running.exception() or RuntimeError("it ended at once"))
            raise CamagickError(f"cannot open a Channel Access server: {error}") from error
        if self._context.interfaces == ["0.0.0.0"]:  # noqa: S104 - compared; others are one's own
            relay = Relay(self._context.ca_server_port)
            self._watches["relay"] = asyncio.get_running_loop().create_task(relay.run())

    async def stop(self) -> None:
        """Close the server and its connections."""
        for owner in tuple(self._owners):
            self.leave(owner)
        await asyncio.sleep(0)  # those who wait for a put are told
        for task in (*self._watches.values(), self._running):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, Exception):
                    await task
        for circuit in tuple(self._context.all_circuits):
            await circuit.close()
        handlers = list(self._context.server_tasks.tasks)
        await self._context.server_tasks.cancel_all()
        if handlers:
            await asyncio.wait(handlers, timeout=_PARTING_S)

    def receive(
        self, key: str, wanted: Sequence[Wanted], rules: Rules, listener: Listener
    ) -> list[Any]:
        """Make PVs that clients write, and return their values.

        A PV that exists already keeps its value, and an actor gets what its predecessor was not
        done with: a restarted one goes on where it was.

        Parameters
        ----------
        key
            Names the actor.
        wanted
            The PVs.
        rules
            How writes are kept.
        listener
            Gets them.

        Raises
        ------
        BadOption
            When there is such a PV of another type.
        """
        owner = self._owner(key)
        if owner.inbox is None:
            owner.inbox = Inbox(rules)
        values = []
        for one in wanted:
            channel = self._made(one)
            channel.inbox, channel.dtype, channel.whole = owner.inbox, one.dtype, one.whole
            if not channel.writable:
                channel.writable = True
                self._context.rights_changed(channel)
            values.append(channel.held())
        owner.inbox.attach(listener)
        return values

    def _made(self, wanted: Wanted) -> Any:
        form = Form._make(wanted.form)
        channel = self._pvs.get(wanted.name)
        if channel is None:
            labels = tuple(wanted.labels)
            channel = make(wanted.name, form, fit(wanted.value, form, labels), labels)
            self._pvs[wanted.name] = self._context.pvdb[wanted.name] = channel
        elif channel.form.kind != form.kind:
            kinds = f"{channel.form.kind}, not {form.kind}"
            raise BadOption(f"{wanted.name}: another processor of this run serves it, as {kinds}")
        return channel

    async def publish(self, key: str, wanted: Sequence[Wanted], terms: Terms) -> None:
        """Take note of how an actor publishes, and make the PVs whose types it knows already.

        They have the alarm UDF until they get a value.
        """
        owner = self._owner(key)
        owner.terms = terms
        for one in wanted:
            is_new = one.name not in self._pvs
            channel = self._made(one)
            if is_new:
                channel.writable = terms.writable
                await channel.raise_alarm(UNDEFINED)
        if terms.stale and key not in self._watches:
            # Owned by this object: cancelled in stop().
            self._watches[key] = asyncio.get_running_loop().create_task(owner.watch())

    async def post(self, key: str, updates: Sequence[Update]) -> list[str]:
        """Publish `updates` in order, and return for each what was wrong with it ('' nothing).

        A PV that does not exist is made, of the type of its first value. When this returns, the
        monitors of all updates are queued for all clients, in the order of the posts. It waits
        a little for clients that are behind. Without updates it is a sign of life.
        """
        owner = self._owner(key)
        fresh: set[Any] = set()
        problems = [await self._post(owner, update, fresh) for update in updates]
        owner.pvs |= fresh
        await owner.lives(fresh)
        await self._context.room()
        return problems

    async def _post(self, owner: Owner, update: Update, fresh: set[Any]) -> str:
        try:
            channel = self._pvs.get(update.name)
            if channel is None:
                channel = self._first(owner.terms, update)
            if channel is None:
                return ""  # empty: its size is not known yet
            if channel.inbox is not None and channel.inbox is not owner.inbox:
                channel.inbox.check()
            await channel.take(update.value, update.attributes)
        except (ValueError, TypeError, OverflowError, caproto.CaprotoError) as error:
            return str(error) or type(error).__name__
        if channel.inbox is not None and channel.inbox is not owner.inbox:
            channel.tell(channel.timestamp)
        fresh.add(channel)
        return ""

    def _first(self, terms: Terms, update: Update) -> Any:
        form = form_of(update.value, update.attributes, terms.most)
        if form is None:
            return None
        labels = labels_of(update.attributes)
        channel = make(update.name, form, fit(update.value, form, labels), labels)
        channel.writable = terms.writable
        self._pvs[update.name] = self._context.pvdb[update.name] = channel
        return channel

    def done(self, key: str, serial: int) -> None:
        """Note that an actor is done with all writes up to that one."""
        inbox = self._owner(key).inbox
        if inbox is not None:
            inbox.done(serial)

    def detach(self, key: str, listener: Listener) -> None:
        """Keep what is there for an actor, as its process has gone."""
        inbox = self._owner(key).inbox
        if inbox is not None:
            inbox.detach(listener)

    def leave(self, key: str) -> None:
        """Take note that an actor has ended; nobody waits for it any more."""
        inbox = self._owner(key).inbox
        if inbox is not None:
            inbox.end()

    def _owner(self, key: str) -> Owner:
        return self._owners.setdefault(key, Owner(key))


def _quieten() -> None:
    """Have a client's bad put logged in one line: it is the client's error, not this program's."""
    logger = logging.getLogger("caproto.circ")
    if _one_line not in logger.filters:
        logger.addFilter(_one_line)


def _one_line(record: logging.LogRecord) -> bool:
    if str(record.msg).startswith("Invalid write request"):
        error = repr(record.exc_info[1]) if record.exc_info else ""
        record.msg = 'msg="a client\'s put was refused" error=%s'
        record.args, record.exc_info, record.levelno = (error,), None, logging.WARNING
        record.levelname = "WARNING"
    return True
