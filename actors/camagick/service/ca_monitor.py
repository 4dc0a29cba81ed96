"""The events of a PV.

Imported only where PVs are used, because it imports caproto.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any, NamedTuple

import caproto
import numpy as np

from camagick.tools.ca_values import same

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from camagick.service.ca_client import Client

log = logging.getLogger(__name__)

#: Seconds until a subscription that brings nothing at all is renewed.
PATIENCE = 5.0


class Reading(NamedTuple):
    """A value of a PV and what is known about it."""

    value: Any
    attributes: Mapping[str, Any]


class Monitor:
    """The events of one PV, each handed on once, over all reconnections.

    Parameters
    ----------
    client
        An open client that knows the PV.
    name
        The PV.
    on_event
        Plain function that gets the name and each `Reading`, in order.
    on_change
        Plain function that gets the name and whether the PV is connected now.
    """

    def __init__(
        self,
        client: Client,
        name: str,
        on_event: Callable[[str, Reading], None],
        on_change: Callable[[str, bool], None],
    ) -> None:
        client.keep(self)
        self._pv = client[name]
        self._name, self._on_event, self._on_change = name, on_event, on_change
        self._changed = asyncio.Event()
        self._fixed: dict[str, Any] = {}
        self._last: Reading | None = None
        self._again = self._heard = False

    async def run(self) -> None:
        """Follow the PV until cancelled."""
        self._pv.connection_state_callback.add_callback(self._state)
        subscribed = False
        while True:
            await self._pv.channel_ready.wait()
            self._changed.clear()
            self._fixed = await self._read_fixed()
            if not subscribed:
                mask = caproto.SubscriptionType.DBE_VALUE | caproto.SubscriptionType.DBE_ALARM
                # Count 0 asks for as many elements as there are, not for as many as there can be.
                self._pv.subscribe(data_type="time", data_count=0, mask=mask).add_callback(
                    self._event
                )
                subscribed = True
            self._on_change(self._name, True)
            await self._until_lost()
            self._again = True
            self._on_change(self._name, False)

    async def _until_lost(self) -> None:
        """Wait until the connection is gone; see to it that the server sends events meanwhile."""
        patience = PATIENCE
        while self._pv.channel_ready.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if self._heard else patience):
                    await self._changed.wait()
                    self._changed.clear()
            if self._heard or not self._pv.channel_ready.is_set():
                continue
            patience *= 2  # a large array on a slow line is no loss
            # A server always says something first. caproto forgets a subscription when the
            # connection breaks just while it is being renewed.
            for subscription in self._pv.subscriptions.values():
                self._pv.circuit_manager.subscriptions.pop(subscription.subscriptionid, None)
                subscription._subscribe()  # noqa: SLF001

    async def _state(self, pv: Any, state: str) -> None:
        if state == "disconnected":
            self._again, self._heard = True, False
        self._changed.set()

    async def _read_fixed(self) -> dict[str, Any]:
        """Read what does not come with every event."""
        try:
            answer = await self._pv.read(data_type="control", data_count=1, timeout=2.0)
        except (caproto.CaprotoError, OSError, TimeoutError) as error:
            log.debug('msg="no units" pv=%s error="%s"', self._name, error)
            return {}
        fixed: dict[str, Any] = {}
        units = getattr(answer.metadata, "units", b"")
        if units:
            fixed["units"] = bytes(units).partition(b"\0")[0].decode("latin-1")
        if hasattr(answer.metadata, "precision"):
            fixed["precision"] = int(answer.metadata.precision)
        if hasattr(answer.metadata, "enum_strings"):
            texts = answer.metadata.enum_strings
            fixed["enum_strings"] = [
                bytes(text).partition(b"\0")[0].decode("latin-1") for text in texts
            ]
        return {key: value for key, value in fixed.items() if value not in ("", [])}

    async def _event(self, subscription: Any, event: Any) -> None:
        self._heard = True
        if event.status.severity != caproto.CASeverity.SUCCESS or event.metadata is None:
            return
        meta = event.metadata
        reading = Reading(
            _incoming(event.data, self._pv.channel),
            {
                "timestamp": float(meta.timestamp),
                "severity": int(meta.severity),
                "status": int(meta.status),
                **self._fixed,
            },
        )
        again, self._again = self._again, False
        last, self._last = self._last, reading
        if again and last is not None and _equal(last, reading):
            return  # what the server says first after a reconnection is known already
        self._on_event(self._name, reading)


def _equal(one: Reading, other: Reading) -> bool:
    return one.attributes["timestamp"] == other.attributes["timestamp"] and same(
        one.value, other.value
    )


def _incoming(data: Any, channel: Any) -> Any:
    """Return a value as it goes on: native byte order, scalars where the PV is a scalar."""
    kinds = caproto.ChannelType
    kind, scalar = channel.native_data_type, channel.native_data_count == 1
    if kind == kinds.STRING:
        texts = [bytes(text).partition(b"\0")[0].decode("utf-8", "replace") for text in data]
        return (texts or [""])[0] if scalar else np.array(texts, dtype=np.str_)
    if kind == kinds.CHAR and not scalar:
        return np.asarray(data).tobytes().partition(b"\0")[0].decode("utf-8", "replace")
    array = np.asarray(data)
    array = array.astype(
        np.int32 if kind == kinds.ENUM else array.dtype.newbyteorder("="), copy=True
    )
    return array[0] if scalar and array.size else array
