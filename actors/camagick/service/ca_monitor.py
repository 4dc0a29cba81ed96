"""Reading PVs through caproto.

Imported only where PVs are used, because it imports caproto.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any

import caproto
import numpy as np

from camagick.service.ca_client import Client
from camagick.service.ca_reading import Once, Reading, lasting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from camagick.service.ca_reading import Form, Kind, OnChange, OnEvent

log = logging.getLogger(__name__)

#: Seconds until a subscription that brings nothing at all is renewed.
PATIENCE = 5.0
#: Seconds to wait for units and limits.
_FIXED_S = 2.0
_KINDS: dict[Any, Kind] = {
    caproto.ChannelType.STRING: "STRING",
    caproto.ChannelType.CHAR: "CHAR",
    caproto.ChannelType.ENUM: "ENUM",
}


class CaprotoReceiver:
    """Reads PVs with caproto's asyncio client.

    Parameters
    ----------
    form
        How values are wanted.
    """

    def __init__(self, form: Form) -> None:
        self._form = form
        self._client: Client | None = None
        self._names: Sequence[str] = ()

    async def open(self, names: Sequence[str]) -> None:
        """Begin to search for PVs; this waits for none of them."""
        self._client, self._names = Client(), names
        await self._client.open(names)

    async def follow(self, on_event: OnEvent, on_change: OnChange) -> None:
        """Hand on what the PVs say; see `camagick.service.ca_reading.Receiver`."""
        if self._client is None:
            raise RuntimeError("follow() before open()")
        async with asyncio.TaskGroup() as group:
            for name in self._names:
                monitor = Monitor(self._client, name, self._form, on_event, on_change)
                group.create_task(monitor.run())

    async def close(self) -> None:
        """Let go of the PVs."""
        if self._client is not None:
            await self._client.close()
            self._client = None


class Monitor:
    """The events of one PV, each handed on once, over all reconnections.

    Parameters
    ----------
    client
        An open client that knows the PV.
    name
        The PV.
    form
        How values are wanted.
    on_event
        Plain function that gets the name and each `Reading`, in order.
    on_change
        Plain function that gets the name and whether its server answers from now on.
    """

    def __init__(
        self, client: Client, name: str, form: Form, on_event: OnEvent, on_change: OnChange
    ) -> None:
        client.keep(self)
        client.listen(name, lambda heard: on_change(name, heard))
        self._pv = client[name]
        self._name, self._form = name, form
        self._on_event, self._on_change = on_event, on_change
        self._changed = asyncio.Event()
        self._fixed: dict[str, Any] = {}
        self._once = Once()
        self._heard = False

    async def run(self) -> None:
        """Follow the PV until cancelled."""
        self._pv.connection_state_callback.add_callback(self._state)
        subscribed = False
        while True:
            await self._pv.channel_ready.wait()
            self._changed.clear()
            self._fixed = await self._read_fixed()
            if not subscribed:
                self._subscribe()
                subscribed = True
            self._on_change(self._name, True)
            await self._until_lost()
            self._on_change(self._name, False)

    def _subscribe(self) -> None:
        events = caproto.SubscriptionType
        # Count 0 asks for as many elements as there are, not for as many as there can be.
        values = self._pv.subscribe(
            data_type="time", data_count=0, mask=events.DBE_VALUE | events.DBE_ALARM
        )
        # See ca_circuit: caproto's own way is a long one, and tells of a loss too late.
        values.take, values.lost = self._take, self._lost
        values.add_callback(self._event)
        properties = self._pv.subscribe(data_type="control", data_count=1, mask=events.DBE_PROPERTY)
        properties.take = self._take_fixed
        properties.add_callback(self._fixed_event)

    async def _until_lost(self) -> None:
        """Wait until the connection is gone; see to it that the server sends events meanwhile."""
        patience = PATIENCE
        while self._pv.channel_ready.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if self._heard else patience):
                    await self._changed.wait()
                    self._changed.clear()
                continue  # only who has waited in vain may ask for a second subscription
            if self._heard or not self._pv.channel_ready.is_set():
                continue
            self._once.renewed()
            patience *= 2  # a large array on a slow line is no loss
            # A server always says something first. caproto forgets a subscription when the
            # connection breaks just while it is being renewed.
            for subscription in self._pv.subscriptions.values():
                self._pv.circuit_manager.subscriptions.pop(subscription.subscriptionid, None)
                subscription._subscribe()  # noqa: SLF001

    async def _state(self, pv: Any, state: str) -> None:
        self._changed.set()

    def _lost(self) -> None:
        self._once.renewed()
        self._heard = False

    async def _read_fixed(self) -> dict[str, Any]:
        """Read what does not come with every event."""
        try:
            answer = await self._pv.read(data_type="control", data_count=1, timeout=_FIXED_S)
            return lasting(answer.metadata)
        except (caproto.CaprotoError, OSError, KeyError, AttributeError) as error:
            # The last two are caproto's for a connection that breaks off in the middle.
            log.debug('msg="no units" pv=%s error="%r"', self._name, error)
            return {}

    async def _fixed_event(self, subscription: Any, event: Any) -> None:
        self._take_fixed(event)

    def _take_fixed(self, event: Any) -> None:
        if event.status.severity == caproto.CASeverity.SUCCESS and event.metadata is not None:
            self._fixed = lasting(event.metadata)

    async def _event(self, subscription: Any, event: Any) -> None:
        self._take(event)

    def _take(self, event: Any) -> None:
        self._heard = True
        if event.status.severity != caproto.CASeverity.SUCCESS or event.metadata is None:
            return
        meta, channel = event.metadata, self._pv.channel
        kind = _KINDS.get(channel.native_data_type, "NUMBER")
        known = {
            "timestamp": float(meta.timestamp),
            "severity": int(meta.severity),
            "status": int(meta.status),
            "source": self._name,
            **self._fixed,
        }
        labels = self._fixed.get("enum_strings", ())
        value = self._form.value(kind, _native(event.data), channel.native_data_count, labels)
        reading = Reading(value, known)
        if self._once.is_new(reading):
            self._on_event(self._name, reading)


def _native(data: Any) -> Any:
    """Return numbers in native byte order; they are turned around in the message, which is ours."""
    if not isinstance(data, np.ndarray) or data.dtype.isnative:
        return data
    return data.byteswap(inplace=True).view(data.dtype.newbyteorder("="))
