"""The PVs of a Channel Access server, and what actors do with them.

Imported only where a server runs, because it imports caproto.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import TYPE_CHECKING, Any

import caproto
import numpy as np
from caproto import _data as channels

from camagick.errors import BadOption, CamagickError
from camagick.service.ca_server import Context
from camagick.tools.ca_values import Form, fit, form_of, native, same
from camagick.tools.tasks import first

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from camagick.service.ca import Listener, Update

log = logging.getLogger(__name__)

_TYPES = caproto._dbr._channel_type_by_name  # noqa: SLF001
_CLASSES = {
    "DOUBLE": caproto.ChannelDouble,
    "FLOAT": caproto.ChannelFloat,
    "LONG": caproto.ChannelInteger,
    "SHORT": caproto.ChannelShort,
    "ENUM": caproto.ChannelEnum,
    "STRING": caproto.ChannelString,
    "CHAR": caproto.ChannelChar,
}


class _Hosted:
    """What is added to caproto's PVs: who is told of writes, and updates that break no post."""

    name: str
    form: Form
    listener: tuple[object, Listener] | None = None
    refuse_same = False
    _client_writes = _refused = False

    async def verify_value(self: Any, data: Any) -> Any:
        data = await super().verify_value(data)  # type: ignore[misc]
        if self._client_writes and self.refuse_same and same(data, self.value):
            self._refused = True
            raise channels.SkipWrite
        return data

    async def write_from_dbr(self: Any, *args: Any, **kwargs: Any) -> Any:
        self._client_writes, self._refused = True, False
        try:
            with np.errstate(invalid="raise"):  # a number that does not fit is refused
                status = await super().write_from_dbr(*args, **kwargs)  # type: ignore[misc]
        finally:
            self._client_writes = False
        if self._refused:
            return caproto.CAStatus.ECA_PUTFAIL
        self.tell(None)
        return status

    def tell(self: Any, writer: object) -> None:
        """Tell the owner of the PV that somebody else has written it."""
        if self.listener is not None and self.listener[0] is not writer:
            self.listener[1](self.name, self.held())

    def held(self: Any) -> Any:
        value = self.value
        if self.form.kind == "ENUM" and isinstance(value, str):
            value = self.get_raw_value(value)
        if (
            self.form.kind == "STRING"
            and self.form.size == 1
            and not isinstance(value, str | bytes)
        ):
            value = value[0]
        return native(value)

    async def publish(self: Any, flags: Any) -> None:
        # As caproto's, but a type that this value cannot be converted to (text that is no number)
        # costs only those who asked for it their update.
        self._content.clear()
        for queue, syncs in tuple(self._queues.items()):
            for sync, types in tuple(syncs.items()):
                for type_name, specs in tuple(types.items()):
                    eligible = tuple(spec for spec in specs if self._is_eligible(spec))
                    if not eligible:
                        continue
                    source = self if sync is None else self._snapshots[sync.s][sync.m]
                    data_type = _TYPES[type_name]
                    try:
                        metadata, values = await source._read(data_type)  # noqa: SLF001
                    except Exception as error:  # noqa: BLE001 - a conversion may raise anything
                        log.debug(
                            'msg="no update" pv=%s type=%s error="%s"', self.name, type_name, error
                        )
                        continue
                    await queue.put(
                        channels.SubscriptionUpdate(eligible, metadata, values, flags, None)
                    )


def _make(name: str, form: Form, value: Any) -> Any:
    base = _CLASSES[form.kind]
    options: dict[str, Any] = {"value": value, "max_length": form.size, "string_encoding": "utf-8"}
    if form.kind == "ENUM":
        options["enum_strings"] = ("Off", "On")
    channel = type(f"Hosted{base.__name__}", (_Hosted, base), {})(**options)
    channel.name, channel.form = name, form
    return channel


class Host:
    """One Channel Access server and its PVs."""

    def __init__(self) -> None:
        self._context = Context({})
        self._running: asyncio.Task[None] | None = None
        self._pvs: dict[str, Any] = {}

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

    async def stop(self) -> None:
        """Close the server and its connections."""
        if self._running is not None:
            self._running.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await self._running
        for circuit in tuple(self._context.all_circuits):
            await circuit.close()

    def add(
        self, name: str, value: Any, owner: object, listener: Listener, *, refuse_same: bool = False
    ) -> Any:
        """Make a PV that `owner` wants to hear of, and return its value.

        A PV that exists already keeps its value: a restarted actor goes on where it was.
        """
        channel = self._pvs.get(name)
        if channel is None:
            form = form_of(value)
            if form is None:
                raise BadOption(f"{name}: a PV cannot begin with an empty array")
            channel = self._enter(name, form, value)
        channel.listener, channel.refuse_same = (owner, listener), refuse_same
        return channel.held()

    def _enter(self, name: str, form: Form, value: Any) -> Any:
        channel = _make(name, form, fit(value, form))
        self._pvs[name] = self._context.pvdb[name] = channel
        return channel

    async def post(self, updates: Sequence[Update], owner: object) -> list[str]:
        """Publish `updates` in order, and return for each what was wrong with it ('' nothing).

        A PV that does not exist is made, of the type of its first value. When this returns, the
        monitors of all updates are queued for all clients, in the order of the posts. It waits
        a little for clients that are behind.
        """
        problems = [await self._post(update, owner) for update in updates]
        await self._context.room()
        return problems

    async def _post(self, update: Update, owner: object) -> str:
        try:
            channel = self._pvs.get(update.name)
            if channel is None:
                form = form_of(update.value)
                if form is None:
                    return ""  # empty: its size is not known yet
                channel = self._enter(update.name, form, update.value)
            value = fit(update.value, channel.form)
            await channel.write(value, timestamp=time.time(), **_known(update.attributes))
        except (ValueError, TypeError, caproto.CaprotoError) as error:
            return str(error) or type(error).__name__
        channel.tell(owner)
        return ""


def _known(attributes: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    units, precision = attributes.get("units"), attributes.get("precision")
    if isinstance(units, str):
        found["units"] = units.encode("latin-1", "replace")[:7].decode("latin-1")
    if isinstance(precision, int):
        found["precision"] = precision
    for key, kind in (("severity", caproto.AlarmSeverity), ("status", caproto.AlarmStatus)):
        value = attributes.get(key)
        found[key] = kind(value) if isinstance(value, int) and value in set(kind) else kind(0)
    return found


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
