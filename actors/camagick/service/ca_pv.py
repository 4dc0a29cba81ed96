"""One PV of a Channel Access server.

Imported only where a server runs, because it imports caproto.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

import caproto
import numpy as np
from caproto import _data as channels

from camagick.tools.ca_incoming import incoming
from camagick.tools.ca_metadata import lasting, momentary
from camagick.tools.ca_values import Form, fit, labels_of, native, same

if TYPE_CHECKING:
    from collections.abc import Mapping

    from camagick.service.ca_inbox import Inbox

log = logging.getLogger(__name__)

_TYPES = caproto._dbr._channel_type_by_name  # noqa: SLF001
_CLASSES = {
    "DOUBLE": caproto.ChannelDouble,
    "FLOAT": caproto.ChannelFloat,
    "LONG": caproto.ChannelInteger,
    "SHORT": caproto.ChannelShort,
    "CHAR": caproto.ChannelByte,
    "ENUM": caproto.ChannelEnum,
    "STRING": caproto.ChannelString,
    "TEXT": caproto.ChannelChar,
}
_VALUE = caproto.SubscriptionType.DBE_VALUE | caproto.SubscriptionType.DBE_LOG
_ALARM, _PROPERTY = caproto.SubscriptionType.DBE_ALARM, caproto.SubscriptionType.DBE_PROPERTY
#: Text has no limits and no units: by the protocol, these types say no more than STS_STRING, which
#: caproto does not know.
_AS_SENT = {
    caproto.ChannelType.GR_STRING: caproto.ChannelType.STS_STRING,
    caproto.ChannelType.CTRL_STRING: caproto.ChannelType.STS_STRING,
}
#: Of a PV that nobody has given a value, and of one whose pipe has come to a halt.
UNDEFINED = {"severity": 3, "status": 17}
STALLED = {"severity": 3, "status": 10}


class Hosted:
    """What is added to caproto's PVs: typed writes, alarms from the data, and who may write.

    Attributes
    ----------
    name, form
        Its name and what it holds.
    writable
        Whether clients may write it.
    inbox
        Of the actor that is told of writes.
    dtype, whole
        What a client's values have to be, see `camagick.tools.ca_incoming.incoming`.
    """

    name: str
    form: Form
    writable = False
    inbox: Inbox | None = None
    dtype = ""
    whole = 0
    _lasting: Mapping[str, Any] | None = None
    _alarm_of_value: Mapping[str, Any] = {"severity": 0, "status": 0}

    def check_access(self: Any, hostname: str, username: str) -> Any:
        read, write = caproto.AccessRights.READ, caproto.AccessRights.WRITE
        return read | write if self.writable else read

    async def take(self: Any, value: Any, attributes: Mapping[str, Any]) -> None:
        """Publish a value of the pipe.

        Raises
        ------
        ValueError
            When the PV cannot hold it.
        """
        labels = labels_of(attributes) or self.labels()
        value = fit(value, self.form, labels)
        flags = _VALUE
        known = momentary(attributes)
        if self.form.kind == "ENUM" and value >= len(labels):  # the label of a state without one
            attributes = {
                **attributes,
                "enum_strings": [*labels, *map(str, range(len(labels), value + 1))],
            }
        fixed = lasting(attributes, self.form.kind)
        if fixed != self._lasting:
            self._lasting, flags = fixed, flags | _PROPERTY
            known |= fixed
        self._alarm_of_value = {key: known[key] for key in ("severity", "status")}
        if self._alarm_of_value != {"severity": self.severity, "status": self.status}:
            flags |= _ALARM
        await self.write(value, flags=flags, verify_value=False, update_fields=False, **known)

    async def raise_alarm(self: Any, alarm: Mapping[str, Any]) -> None:
        """Publish the present value again, with another alarm."""
        await self.write(
            self._data["value"], flags=_ALARM, verify_value=False, update_fields=False,
            timestamp=time.time(), **alarm,
        )  # fmt: skip

    async def end_alarm(self: Any) -> None:
        """Publish the present value again, with the alarm that it came with."""
        await self.raise_alarm(self._alarm_of_value)

    async def write_from_dbr(
        self: Any, data: Any, data_type: Any, metadata: Any, *, flags: int = 0
    ) -> Any:
        if data_type in (caproto.ChannelType.PUT_ACKS, caproto.ChannelType.PUT_ACKT):
            return await super().write_from_dbr(data, data_type, metadata)  # type: ignore[misc]
        value = incoming(data, self.form, self.labels(), self.dtype, self.whole)
        inbox: Inbox | None = self.inbox
        if inbox is not None:
            if inbox.rules.refuse_same and same(value, self.plain()):
                return caproto.CAStatus.ECA_PUTFAIL
            inbox.check()
        now = time.time()
        self._alarm_of_value = {"severity": 0, "status": 0}
        await self.write(
            value, flags=_VALUE | _ALARM, verify_value=False, update_fields=False,
            timestamp=now, **self._alarm_of_value,
        )  # fmt: skip
        done = self.tell(now)
        if done is not None:
            await done
        return None

    def tell(self: Any, timestamp: float) -> Any:
        """Tell the actor that the PV was written; return what is done when that is worked on."""
        if self.inbox is None:
            return None
        return self.inbox.put(self.name, self.held(), timestamp)

    def labels(self: Any) -> tuple[str, ...]:
        return tuple(self._data.get("enum_strings", ()))

    def plain(self: Any) -> Any:
        value = self._data["value"]
        if isinstance(value, list) and self.form.size == 1:
            value = value[0]
        return np.asarray(value) if isinstance(value, list) else value

    def held(self: Any) -> Any:
        value = self.plain()
        if self.form.kind == "CHAR":
            return np.frombuffer(bytes(value), np.uint8)
        return native(value)

    async def _read(self: Any, data_type: Any) -> Any:
        metadata, values = await super()._read(_AS_SENT.get(data_type, data_type))  # type: ignore[misc]
        return metadata, values

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


def make(name: str, form: Form, value: Any, labels: tuple[str, ...] = ()) -> Any:
    """Return a new PV with a value that fits its form."""
    base = _CLASSES[form.kind]
    options: dict[str, Any] = {"value": value, "max_length": form.size}
    if form.kind == "CHAR":
        options["strip_null_terminator"] = False
    else:
        options["string_encoding"] = "utf-8"
    if form.kind == "ENUM":
        options["enum_strings"] = labels or ("Off", "On")
    channel = type(f"Hosted{base.__name__}", (Hosted, base), {})(**options)
    channel.name, channel.form = name, form
    return channel
