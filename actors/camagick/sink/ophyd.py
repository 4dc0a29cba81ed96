"""``--to-ophyd``: values set on signals, positioners and other devices of ophyd."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from camagick.data import Data
from camagick.errors import BadOption
from camagick.processor import ProcessorBase, Role
from camagick.service.bluesky_values import tag_of
from camagick.service.ophyd_errors import Away, DeviceFailed
from camagick.service.ophyd_object import check_place
from camagick.tools.numbers import is_real

if TYPE_CHECKING:
    from collections.abc import Mapping

    from camagick.service.ophyd_device import Device

log = logging.getLogger(__name__)

#: Seconds between two error lines about one tag.
_SAY = 10.0


class Processor(ProcessorBase):
    """Values set on a signal, a positioner, or another device of ophyd or ophyd-async.

    The iteration goes on when the device says that it is there. What could not be set is an error
    in the log, and the run goes on. Hands on all tags but those that it sets.

    Parameters
    ----------
    what : str
        ``module:Class``, or ``module:object`` of a device that is there already, such as
        ``ophyd.sim:motor``; see ``caspy --from-ophyd ?``.
    *args : str or float
        What the class is made with; mostly the name, or the prefix, of its PVs.
    tag : str or dict, optional
        The tag whose value is set; the device's own name where it is not given. Or tags, each with
        the part of the device it goes to: ``tag=a=x,b=stage.y``. Parts are set at the same time.
    timeout : float, default 10.0
        Seconds that one iteration waits for the device.
    **kwargs : object
        What the class is made with, by name: ``name=motor``.

    Examples
    --------
    Move a simulated motor::

        caspy --from-scratch counter x=1 rate=1 --to-ophyd ophyd.sim:motor tag=x

    Write a PV, and wait until its record is processed::

        caspy --from-epics a=OTHER:x --to-ophyd ophyd:EpicsSignal A:b tag=a put_complete=1
    """

    role: Role = "sink"
    stateful: ClassVar[bool] = True
    requires: ClassVar[tuple[str, ...]] = ("ophyd",)
    extra: ClassVar[str] = "ophyd"

    def __init__(
        self,
        what: Any,
        *args: Any,
        tag: str | dict[str, str] = "",
        timeout: float = 10.0,
        **kwargs: Any,
    ) -> None:
        check_place("--to-ophyd", what)
        if not is_real(timeout) or timeout <= 0:
            raise BadOption(f"ophyd: timeout={timeout!r} is not a number of seconds")
        self._what, self._args, self._kwargs = what, args, kwargs
        self._parts = _parts(tag)
        self._timeout = float(timeout)
        self._device: Device | None = None
        self._said: dict[str, tuple[float, int]] = {}
        self.failures = 0

    async def startup(self) -> None:
        """Make the device, and give it `timeout` seconds to connect.

        Raises
        ------
        BadOption
            When there is no such class, or it cannot be made with these arguments.
        """
        from camagick.service.ophyd_open import opened

        self._device = await opened("--to-ophyd", self._what, self._args, self._kwargs)
        if not self._parts:
            self._parts = {tag_of(self._device.name): ""}
        try:
            await self._device.connect(self._timeout)
        except Away as error:  # it may come; each value that is not set is named
            log.warning('msg="device does not answer: %s"', error)

    async def __call__(self, data: Any = None, context: Any = None) -> Data:
        """Set all tags concurrently, and return the others."""
        given = Data.of(data)
        async with asyncio.TaskGroup() as group:
            for tag, part in self._parts.items():
                if tag in given:
                    group.create_task(self._set(tag, part, given[tag]))
                else:
                    self._fail(tag, f"no such tag: there is {', '.join(given) or 'none'}", "-")
        return given.without(self._parts)

    async def _set(self, tag: str, part: str, value: Any) -> None:
        if self._device is None:
            raise RuntimeError("--to-ophyd is used before its startup()")
        try:
            await self._device.set(_python(value), self._timeout, part)
        except DeviceFailed as error:
            self._fail(tag, str(error), value)
        else:
            self._said.pop(tag, None)

    def _fail(self, tag: str, reason: str, value: Any) -> None:
        """Say what was not set, but not more often than every few seconds."""
        self.failures += 1
        now = asyncio.get_running_loop().time()
        when, missed = self._said.get(tag, (-_SAY, 0))
        if now - when < _SAY:
            self._said[tag] = when, missed + 1
            return
        self._said[tag] = now, 0
        shown = f"<array of shape {value.shape}>" if np.ndim(value) else value
        text = 'msg="not set" tag=%s value=%s reason="%s" before=%d'
        log.error(text, tag, shown, reason, missed)

    def figures(self) -> Mapping[str, int | float]:
        """Return how many values could not be set."""
        return {"failures": self.failures}

    async def shutdown(self) -> None:
        """Let go of the device."""
        if self._device is not None:
            await self._device.close()
            self._device = None


def _parts(tag: Any) -> dict[str, str]:
    if isinstance(tag, dict):
        return {str(key): str(part) for key, part in tag.items()}
    if not isinstance(tag, str):
        raise BadOption(f"--to-ophyd: tag={tag!r} is neither a tag nor tag=a=x,b=y")
    return {tag: ""} if tag else {}


def _python(value: Any) -> Any:
    """Return a single number as Python's own, which drivers expect; all else as it is."""
    if isinstance(value, (np.ndarray, np.generic)) and np.size(value) == 1:
        return value.item()
    return value
