"""Reading PVs through libca, the C client of EPICS Base.

Imported only where it is asked for, because it imports aioca.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import aioca
import numpy as np
from aioca._catools import _Context
from epicscorelibs.ca import cadef, dbr

from camagick.service.ca_reading import Once, Reading, lasting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from camagick.service.ca_reading import Form, Kind, OnChange, OnEvent

log = logging.getLogger(__name__)

#: Seconds between two searches for a PV, and how long they go on; then libca's own pace.
_EAGER_S, EAGERLY_S = 1.0, 60.0
#: Seconds to wait for units and limits.
_FIXED_S = 2.0
_KINDS: dict[int, Kind] = {
    dbr.DBR_STRING: "STRING",
    dbr.DBR_CHAR: "CHAR",
    dbr.DBR_ENUM: "ENUM",
}
_EVENTS = aioca.DBE_VALUE | aioca.DBE_ALARM


@cadef.exception_handler  # type: ignore[untyped-decorator] # ctypes
def _on_exception(args: Any) -> None:
    """Keep libca from printing several lines about each lost connection: others say that."""


#: Receivers of this process that are open: they share libca's one context.
_open: set[LibcaReceiver] = set()


class LibcaReceiver:
    """Reads PVs with libca, in threads of its own.

    Parameters
    ----------
    form
        How values are wanted.
    """

    def __init__(self, form: Form) -> None:
        self._form = form
        self._names: Sequence[str] = ()

    async def open(self, names: Sequence[str]) -> None:
        """Begin to search for PVs; this waits for none of them."""
        self._names = names
        _Context.get_channel_cache()  # makes libca's context
        cadef.ca_add_exception_event(_on_exception, None)
        _open.add(self)
        for name in names:
            await aioca.connect(name, wait=False)

    async def follow(self, on_event: OnEvent, on_change: OnChange) -> None:
        """Hand on what the PVs say; see `camagick.service.ca_reading.Receiver`."""
        async with asyncio.TaskGroup() as group:
            for name in self._names:
                group.create_task(_Monitor(name, self._form, on_event, on_change).run())

    async def close(self) -> None:
        """Let go of the PVs; the last one ends libca's threads and connections, too."""
        if self in _open:
            _open.remove(self)
            used = any(info.subscriber_count for info in aioca.get_channel_infos())
            if not (_open or used):  # aioca does it at the end of the process; too late for loops
                _Context._teardown()  # noqa: SLF001


class _Monitor:
    """The events of one PV, each handed on once, over all reconnections."""

    def __init__(self, name: str, form: Form, on_event: OnEvent, on_change: OnChange) -> None:
        self._name, self._form = name, form
        self._on_event, self._on_change = on_event, on_change
        self._once = Once()
        self._lost = asyncio.Event()
        self._fixed: dict[str, Any] = {}
        self._count = 1
        self._kind: Kind = "NUMBER"

    async def run(self) -> None:
        """Follow the PV until cancelled."""
        while True:
            await self._connect()
            info = await aioca.cainfo(self._name)
            self._count = info.count
            self._kind = _KINDS.get(info.datatype, "NUMBER")
            self._fixed = await self._read_fixed()
            self._lost.clear()
            subscription = aioca.camonitor(
                self._name,
                self._take,
                events=_EVENTS,
                datatype=bytes if self._kind == "STRING" else None,
                format=aioca.FORMAT_TIME,
                count=0,  # as many elements as there are, not as many as there can be
                all_updates=True,
                notify_disconnect=True,
            )
            properties = aioca.camonitor(
                self._name,
                self._take_fixed,
                events=aioca.DBE_PROPERTY,
                format=aioca.FORMAT_CTRL,
                count=1,
            )
            try:
                self._on_change(self._name, True)
                await self._lost.wait()
            finally:
                subscription.close()
                properties.close()
            self._forget_channel()
            self._once.renewed()
            self._on_change(self._name, False)

    async def _connect(self) -> None:
        # libca waits for 10 s before it searches for a lost PV, and then ever longer: a channel
        # that is made anew is searched for at once.
        loop = asyncio.get_running_loop()
        since = loop.time()
        while not (await aioca.connect(self._name, timeout=_EAGER_S, throw=False)).ok:
            if loop.time() - since > EAGERLY_S:
                await aioca.connect(self._name, timeout=None)
                return
            self._forget_channel()

    def _forget_channel(self) -> None:
        channels = _Context.get_channel_cache()._ChannelCache__channels  # noqa: SLF001
        channel = channels.pop(self._name, None)
        if channel is not None:
            channel._purge()  # noqa: SLF001

    async def _read_fixed(self) -> dict[str, Any]:
        """Read what does not come with every event."""
        answer = await aioca.caget(
            self._name, format=aioca.FORMAT_CTRL, count=1, timeout=_FIXED_S, throw=False
        )
        if not answer.ok:
            log.debug('msg="no units" pv=%s error="%s"', self._name, answer)
            return {}
        return lasting(answer)

    def _take_fixed(self, value: Any) -> None:
        self._fixed = lasting(value)

    def _take(self, value: Any) -> None:
        if not value.ok:
            self._lost.set()
            return
        seconds, nanoseconds = value.raw_stamp
        known = {
            "timestamp": seconds + nanoseconds * 1e-9,
            "severity": int(value.severity),
            "status": int(value.status),
            "source": self._name,
            **self._fixed,
        }
        labels = self._fixed.get("enum_strings", ())
        reading = Reading(
            self._form.value(self._kind, _raw(value, self._kind), self._count, labels), known
        )
        if self._once.is_new(reading):
            self._on_event(self._name, reading)


def _raw(value: Any, kind: Kind) -> Any:
    """Return what aioca makes of a value as a plain sequence of bytes, or as a plain array."""
    if kind == "STRING":
        return [bytes(value)] if isinstance(value, bytes) else [bytes(text) for text in value]
    dtype = dbr.DbrCodeToType[value.datatype].dtype
    return np.atleast_1d(np.asarray(value, dtype=dtype))
