"""``--to-tango``: values written to a Tango device, and commands run at it."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, ClassVar

from camagick.data import Data
from camagick.processor import ProcessorBase, Role
from camagick.service.tango_failures import Away, Complaints, Late, Refused
from camagick.service.tango_options import (
    TIMEOUT,
    check_database,
    device_name,
    positive,
    targets,
)

if TYPE_CHECKING:
    from camagick.service.tango_client import Device
    from camagick.service.tango_options import Target

log = logging.getLogger(__name__)

_FLAG = "--to-tango"
_PATIENCE = 10.0


class Processor(ProcessorBase):
    r"""Values written to attributes of a Tango device, and commands run at it.

    Values are converted to the type of the attribute; states and enumerations are taken by label,
    too. An iteration goes on when the device has taken them all. Hands on all tags but these.

    What the device refuses, or has no place for, is an error in the log; the run goes on. While
    the device is away, the iteration waits for it. Of a command that broke off half-way nobody
    knows whether it was run; it is not run again.

    Parameters
    ----------
    dev : str
        The device: ``domain/family/member``, an alias, ``tango://host:port/domain/family/member``,
        or without a database ``tango://host:port/domain/family/member#dbase=no``.
    timeout : float, default 3.0
        Seconds to wait for an answer.
    patience : float, default 10.0
        Seconds that an iteration waits for a device that is away, before what it has is given up.
    **tags : str
        Which tag goes to which attribute, ``vol=voltage``, or is the argument of which command,
        ``pos=MoveTo()``. A command without an argument is run where the value is true (not 0).

    Examples
    --------
    A PV that sets a voltage, and one that switches the output::

        caspy --from-ioc prefix=KE:keith: vol="vol(0.0)" output="output(0)" \
              --to-tango dev=devices/keithley/1 vol=voltage output=output
    """

    role: Role = "sink"
    stateful: ClassVar[bool] = True
    requires: ClassVar[tuple[str, ...]] = ("tango",)
    extra: ClassVar[str] = "tango"

    def __init__(
        self,
        dev: str = "",
        timeout: float = TIMEOUT,
        patience: float = _PATIENCE,
        **tags: str,
    ) -> None:
        self._name = device_name(_FLAG, dev, tags)
        self._targets = targets(_FLAG, (), tags)
        self._timeout = positive(_FLAG, "timeout", timeout)
        self._patience = positive(_FLAG, "patience", patience)
        self._device: Device | None = None
        self._failures = Complaints(log, "not written")
        self._written = 0

    async def startup(self) -> None:
        """Begin to look for the device; it has not to be there."""
        from camagick.service.tango_client import Device

        check_database(_FLAG, self._name)
        self._device = Device(self._name, self._timeout)

    async def __call__(self, data: Any = None, context: Any = None) -> Data:
        """Write all tags, in the order of the command line, and return the others."""
        if self._device is None:
            raise RuntimeError(f"{_FLAG} is used before its startup()")
        given = Data.of(data)
        end = asyncio.get_running_loop().time() + self._patience
        for tag, target in self._targets.items():
            if tag not in given:
                self._failures.add(tag, self._name, target, "no such tag")
                continue
            reason = await self._put(self._device, target, given[tag], end)
            if reason:
                self._failures.add(tag, self._name, target, reason, given[tag])
            else:
                self._written += 1
        return given.without(self._targets)

    async def _put(self, device: Device, target: Target, value: Any, end: float) -> str:
        """Write one value; return why that was not possible."""
        while True:
            try:
                await device.write(target, value)
            except Late as late:
                return str(late)
            except Away as away:
                if away.sent and target.command:
                    return f"{away}, perhaps it was run"
                if not await self._back(device, end):
                    return str(away)
            except Refused as refused:
                return str(refused)
            else:
                return ""

    @staticmethod
    async def _back(device: Device, end: float) -> bool:
        """Wait until the device is there again; tell whether it is."""
        try:
            async with asyncio.timeout_at(end):
                await device.until_back()
        except TimeoutError:
            return False
        return True

    def figures(self) -> dict[str, int | float]:
        """Return how many values were written, and how many could not be."""
        return {"written": self._written, "failures": self._failures.count}

    async def shutdown(self) -> None:
        """Let go of the device."""
        if self._device is not None:
            await self._device.close()
            self._device = None
