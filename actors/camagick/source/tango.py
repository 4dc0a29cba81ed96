"""``--from-tango``: attributes of a Tango device, polled or as its events."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any, ClassVar

from camagick.data import Data
from camagick.errors import BadOption
from camagick.processor import ProcessorBase, Role
from camagick.service.tango_failures import Away, Complaints, Late
from camagick.service.tango_options import (
    TIMEOUT,
    check_database,
    device_name,
    positive,
    targets,
)
from camagick.tools.schedule import Schedule
from camagick.tools.tango_values import Reading

if TYPE_CHECKING:
    from collections.abc import Mapping

    from camagick.service.tango_client import Device
    from camagick.service.tango_feed import Feed
    from camagick.service.tango_options import Target

log = logging.getLogger(__name__)

_FLAG = "--from-tango"
_HZ = 10.0
_MODES = ("poll", "event")
_EVENTS = ("change", "periodic", "archive", "data-ready")
_ENUMS = ("number", "text")


class Processor(ProcessorBase):
    """Attributes of a Tango device, polled, or as it sends events.

    Scalars come as numbers or text, spectra and images as arrays, states and enumerations as their
    number (`enum_strings` has the labels). Timestamp, severity (the quality), units, precision and
    limits come along as attributes. The database is the one of ``TANGO_HOST``, or of the device's
    full name. A device that is not there, or goes away, is waited for.

    Parameters
    ----------
    dev : str
        The device: ``domain/family/member``, an alias, ``tango://host:port/domain/family/member``,
        or without a database ``tango://host:port/domain/family/member#dbase=no``.
    *attributes : str
        Attributes under their own names.
    mode : str, default 'poll'
        ``poll``: all are read at the same time, once per iteration; ``event``: an iteration for
        each event of the only attribute, or on any event the newest of several. Attributes that
        send no events, and commands, are polled; that is said once.
    event : str, default 'change'
        Which events: ``change``, ``periodic``, ``archive``, or ``data-ready``.
    Hz : float, optional
        How many times per second it polls; 10 where nothing else sets the pace.
    enums : str, default 'number'
        ``text``: states and enumerations come as their labels.
    timeout : float, default 3.0
        Seconds to wait for an answer.
    **tags : str
        Attributes under tags of your own: ``cur=current``; the answer of a command:
        ``temp=Temperature()``, with an argument ``x=Twice(21)``.

    Examples
    --------
    Two attributes, ten times per second::

        caspy --from-tango devices/keithley/1 cur=current vol=voltage --to-summary

    Each change of one, as the device sends it::

        caspy --from-tango sys/tg_test/1 x=double_scalar mode=event --to-summary
    """

    role: Role = "source"
    stateful: ClassVar[bool] = True
    requires: ClassVar[tuple[str, ...]] = ("tango",)
    extra: ClassVar[str] = "tango"

    def __init__(
        self,
        dev: str = "",
        *attributes: str,
        mode: str = "poll",
        event: str = "change",
        Hz: float | None = None,  # noqa: N803 - the unit is written so
        enums: str = "number",
        timeout: float = TIMEOUT,
        **tags: str,
    ) -> None:
        for name, value, known in (
            ("mode", mode, _MODES),
            ("event", event, _EVENTS),
            ("enums", enums, _ENUMS),
        ):
            if value not in known:
                raise BadOption(f"{_FLAG}: {name}={value}: there is {', '.join(known)}")
        if dev and any(key.endswith("#dbase") for key in tags):
            attributes, dev = (dev, *attributes), ""
        self._name = device_name(_FLAG, dev, tags)
        self._targets = targets(_FLAG, attributes, tags)
        self._hz = None if Hz is None else positive(_FLAG, "Hz", Hz)
        self._timeout = positive(_FLAG, "timeout", timeout)
        self._event = event if mode == "event" else ""
        self._text = enums == "text"
        self._device: Device | None = None
        self._feed: Feed | None = None
        self._schedule: Schedule | None = None
        self._failures = Complaints(log, "not read")

    async def startup(self) -> None:
        """Begin to look for the device; it has not to be there."""
        from camagick.service.tango_client import Device
        from camagick.service.tango_feed import Feed

        check_database(_FLAG, self._name)
        self._device = Device(self._name, self._timeout, text=self._text)
        if self._event:
            alone = self.placement.alone and len(set(self._targets.values())) == 1
            self._feed = Feed(
                self._device, list(self._targets.values()), self._event, self._hz or _HZ, alone
            )
            self._feed.start(self._failed)
        elif self._hz is not None or self.placement.alone:
            self._schedule = Schedule(1 / (self._hz or _HZ))

    def due(self) -> float:
        """Return the seconds until it is time to poll."""
        return 0.0 if self._schedule is None else self._schedule.due(time.monotonic())

    async def ready(self) -> None:
        """Wait for an event, or until it is time to poll."""
        if self._feed is not None:
            await self._feed.ready()
        else:
            await asyncio.sleep(self.due())

    async def __call__(self, data: Any = None, context: Any = None) -> Data:
        """Wait for the next iteration, and return what it gets."""
        if self._device is None:
            raise RuntimeError(f"{_FLAG} is used before its startup()")
        while True:
            await self.ready()
            if self._feed is not None:
                return self._made(self._feed.take())
            if self._schedule is not None:
                self._schedule.passed(time.monotonic())
            row = await self._poll(self._device)
            if row:
                return self._made(row)

    async def _poll(self, device: Device) -> dict[Target, Reading]:
        """Read once; what cannot be read is said, and left out."""
        try:
            answers = await device.read(list(dict.fromkeys(self._targets.values())))
        except Late as late:
            for target in self._targets.values():
                self._failed(target, str(late))
            return {}
        except Away:
            await device.until_back()
            return {}
        row = {}
        for target, answer in answers.items():
            if isinstance(answer, Reading):
                row[target] = answer
            else:
                self._failed(target, str(answer))
        if not row and self._schedule is None:
            await asyncio.sleep(1 / _HZ)  # nothing else slows it down
        return row

    def _failed(self, target: Target, reason: str) -> None:
        for tag, its in self._targets.items():
            if its == target:
                self._failures.add(tag, self._name, target, reason)

    def _made(self, row: Mapping[Target, Reading]) -> Data:
        made = Data((tag, row[its].value) for tag, its in self._targets.items() if its in row)
        for tag in made:
            made.describe(tag, row[self._targets[tag]].attributes)
        return made

    def figures(self) -> dict[str, int | float]:
        """Return how many readings have failed, and how many events were too many."""
        overruns = 0 if self._feed is None else self._feed.overruns
        return {"failures": self._failures.count, "overruns": overruns}

    async def shutdown(self) -> None:
        """Let go of the device."""
        if self._feed is not None:
            await self._feed.close()
        if self._device is not None:
            await self._device.close()
        self._feed = self._device = None
