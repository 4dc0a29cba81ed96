"""``--from-ophyd``: signals and devices of ophyd and ophyd-async."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any, ClassVar

from camagick.data import Data
from camagick.errors import BadOption, DuplicateTag
from camagick.processor import ProcessorBase, Role
from camagick.service.bluesky_values import NoValue, attributes_of, tag_of, value_of
from camagick.service.ophyd_errors import Away, DeviceFailed
from camagick.service.ophyd_object import check_place
from camagick.service.ophyd_options import POLL_HZ, checked_kinds, checked_mode, checked_stage
from camagick.service.ophyd_rows import Rows
from camagick.tools.numbers import is_real
from camagick.tools.schedule import Schedule

if TYPE_CHECKING:
    from collections.abc import Mapping

    from camagick.service.ophyd_device import Device

log = logging.getLogger(__name__)

#: Seconds between two lines about a device that does not answer; and between two attempts.
_REMIND, _AGAIN = 60.0, 0.2


class Processor(ProcessorBase):
    """Signals and devices of ophyd, and of ophyd-async.

    A signal starts an iteration with each change of its value. A device is read; with `trigger`
    it measures first. There is one tag for each signal that is read, called like it, where
    whatever is no letter and no digit becomes '_': ``det_sum``. Timestamp, severity, units,
    precision, limits, texts of enumerations and the source come along as attributes.

    A device that does not answer is named in the log, and waited for. One that says that its
    measurement has failed ends the run.

    Parameters
    ----------
    what : str
        ``module:Class`` (or a function that makes a device), or ``module:object`` of one that is
        there already, such as ``ophyd.sim:det``. Modules of your own are also looked for in the
        folder where you are.
    *args : str or float
        What the class is made with; mostly the name, or the prefix, of its PVs.
    mode : str, optional
        ``subscribe`` (default for signals): each change is an iteration; with several signals, the
        newest of the others with it. ``poll`` (default for devices): it is read.
    trigger : bool, default False
        Trigger before each reading, and wait until that is done.
    stage : str, default never
        When the device is staged and unstaged: ``never``, once a ``run``, or each ``iteration``.
    kinds : str, default hinted,normal
        What is read: of ``hinted``, ``normal`` and ``config``, joined by commas.
    Hz : float, optional
        How often it is read, at most. 5 a second; no limit (0) with `trigger`.
    timeout : float, default 10.0
        Seconds after which a measurement has failed, and after which a device that does not answer
        is named in the log.
    opcast : bool, default True
        Arguments that look like numbers are numbers; False: all of them are texts.
    **kwargs : object
        What the class is made with, by name: ``name=det``. It is the class's name in small letters
        where it needs one and is given none.

    Examples
    --------
    A line per change of a PV; ``OPHYD_CONTROL_LAYER`` says which library reads it::

        caspy --from-ophyd ophyd.signal:EpicsSignalRO EXAMPLE:jedda --to-summary

    Ten measurements of a simulated detector::

        caspy --from-ophyd ophyd.sim:noisy_det trigger=1 Hz=2 --to-summary -count 10

    A detector of your own, in ``my/module.py``, staged for the run::

        caspy --from-ophyd my.module:MyDevice BL:DET: name=det trigger=1 stage=run --to-ioc
    """

    role: Role = "source"
    stateful: ClassVar[bool] = True
    requires: ClassVar[tuple[str, ...]] = ("ophyd",)
    extra: ClassVar[str] = "ophyd"

    def __init__(
        self,
        what: Any,
        *args: Any,
        mode: str | None = "",
        trigger: bool = False,
        stage: str = "never",
        kinds: str = "hinted,normal",
        Hz: float | None = None,  # noqa: N803 - the unit is written so
        timeout: float = 10.0,
        opcast: bool = True,
        **kwargs: Any,
    ) -> None:
        check_place("--from-ophyd", what)
        self._what = what
        self._args = args if opcast else tuple(map(str, args))
        self._kwargs = kwargs if opcast else {key: str(value) for key, value in kwargs.items()}
        self._trigger = bool(trigger)
        self._mode = checked_mode(mode or "", self._trigger)
        self._stage = checked_stage(stage)
        self._kinds = checked_kinds(kinds)
        if not is_real(timeout) or timeout <= 0:
            raise BadOption(f"ophyd: timeout={timeout!r} is not a number of seconds")
        self._timeout = float(timeout)
        rate = (0.0 if self._trigger else POLL_HZ) if Hz is None else Hz
        if not is_real(rate) or rate < 0:
            raise BadOption(f"ophyd: Hz={Hz!r} is not a number of readings per second")
        self._schedule = Schedule(1 / rate) if rate else None
        self._device: Device | None = None
        self._background: asyncio.Task[None] | None = None
        self._arrived = asyncio.Event()
        self._rows = Rows(every=True)
        self._polls = False
        self._connected = self._staged = False
        self._keys: Mapping[str, Mapping[str, Any]] = {}
        self._said: dict[str, float] = {}

    async def startup(self) -> None:
        """Make the device, and begin to wait for its connection.

        Raises
        ------
        BadOption
            When there is no such class, or it cannot be made with these arguments.
        """
        from camagick.service.ophyd_open import opened

        loop = asyncio.get_running_loop()
        self._device = await opened("--from-ophyd", self._what, self._args, self._kwargs)
        self._polls = self._mode == "poll" or not (self._mode or self._device.events())
        self._rows = Rows(every=self.placement.alone)
        # Owned by this object: cancelled in shutdown(), its failure is raised by ready().
        self._background = loop.create_task(self._begin(self._device))
        self._background.add_done_callback(lambda _: self._arrived.set())

    async def _begin(self, device: Device) -> None:
        """Connect, however long that takes, and get everything ready."""
        await self._patiently(device, device.connect, self._timeout)
        if self._stage == "run":
            self._staged = True
            await device.stage()
        self._keys = await self._described(device)
        if not self._polls:
            readings = await self._patiently(device, self._read, device)
            self._rows.first(readings)  # the library may say them again while it subscribes
            if not device.subscribe(set(readings), self._changed, self._report):
                raise BadOption(f"{device.name} has no event when it changes: mode=poll")
        self._connected = True

    async def _described(self, device: Device) -> Mapping[str, Mapping[str, Any]]:
        try:
            return await device.describe()
        except DeviceFailed as error:  # its values may be of use all the same
            log.warning('msg="no units and the like: %s"', error)
            return {}

    async def _patiently(self, device: Device, call: Any, *arguments: Any) -> Any:
        """Make a call again and again until the device is there; say so now and then."""
        loop = asyncio.get_running_loop()
        begin = loop.time()
        missed = False
        while True:
            try:
                result = await call(*arguments)
            except Away as error:
                missed = missed or self._miss(error, loop.time() - begin)
                await asyncio.sleep(_AGAIN)
                continue
            if missed:
                log.warning('msg="device answers again" device=%s', device.name)
                self._said.clear()
            return result

    def _miss(self, error: Away, waited: float) -> bool:
        """Say that a device does not answer, once a minute; tell whether it was said."""
        now = asyncio.get_running_loop().time()
        if now - self._said.get("away", -_REMIND) < _REMIND:
            return False
        self._said["away"] = now
        log.warning('msg="device does not answer: %s" waited=%.1f', error, waited)
        return True

    async def _read(self, device: Device) -> dict[str, Mapping[str, Any]]:
        """Read what is asked for."""
        found: dict[str, Mapping[str, Any]] = {}
        if self._kinds & {"hinted", "normal"}:
            hinted = device.hinted()
            readings = await device.read()
            kinds = {name: "hinted" if name in hinted else "normal" for name in readings}
            found = {name: readings[name] for name in readings if kinds[name] in self._kinds}
        if "config" in self._kinds:
            found.update(await device.read(config=True))
        return found

    def _changed(self, name: str, reading: Mapping[str, Any]) -> None:
        if not self._rows.change(name, reading):
            return
        if self._rows.overruns and "overruns" not in self._said:
            self._said["overruns"] = 0.0
            log.warning('msg="the pipe is slower than the device: oldest changes are lost"')
        self._arrived.set()

    def _report(self, connected: bool) -> None:
        state = "connected again" if connected else "disconnected"
        if self._said.get("state") == connected or (connected and "state" not in self._said):
            return  # one line for all signals of a device, and none for its first connection
        self._said["state"] = connected
        if self._device is not None:
            log.warning('msg="device %s" device=%s', state, self._device.name)

    async def ready(self) -> None:
        """Wait for the connection; then for a change, or until a reading is due."""
        loop = asyncio.get_running_loop()
        while not (self._connected and (self._polls or self._rows.pending())):
            if self._background is not None and self._background.done():
                error = self._background.exception()
                if error is not None:
                    raise error
            self._arrived.clear()
            await self._arrived.wait()
        if self._polls and self._schedule is not None:
            await asyncio.sleep(self._schedule.due(loop.time()))

    async def __call__(self, data: Any = None, context: Any = None) -> Data:
        """Wait for the next iteration, and return its readings.

        Raises
        ------
        DeviceFailed
            When the device says so, or takes longer than `timeout` for a measurement.
        """
        await self.ready()
        if not self._polls:
            return self._data(self._rows.take())
        if self._schedule is not None:
            self._schedule.passed(asyncio.get_running_loop().time())
        if self._device is None:
            raise RuntimeError("--from-ophyd is used before its startup()")
        return self._data(await self._patiently(self._device, self._measure, self._device))

    async def _measure(self, device: Device) -> dict[str, Mapping[str, Any]]:
        try:
            if self._stage == "iteration":
                self._staged = True
                await device.stage()
            if self._trigger:
                await device.trigger(self._timeout)
            return await self._read(device)
        finally:
            if self._stage == "iteration":
                await device.unstage()
                self._staged = False

    def _data(self, readings: Mapping[str, Mapping[str, Any]]) -> Data:
        made = Data()
        for name, reading in readings.items():
            tag = tag_of(name)
            if tag in made:
                raise DuplicateTag(self.name, tag)
            try:
                made[tag] = value_of(reading["value"])
            except NoValue as error:
                if f"value {name}" not in self._said:
                    self._said[f"value {name}"] = 0.0
                    log.warning('msg="left out (said once): %s" signal=%s', error, name)
                continue
            made.describe(tag, attributes_of(self._keys.get(name, {}), reading))
        return made

    async def _unstage(self, device: Device) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                await device.unstage()
        except TimeoutError:
            text = f"{device.name} is not unstaged within timeout={self._timeout:g} s"
            raise DeviceFailed(text) from None

    async def shutdown(self) -> None:
        """Put the device back, and let go of it."""
        device, self._device = self._device, None
        if self._background is not None:
            self._background.cancel()
            await asyncio.wait([self._background])
            self._background = None
        if device is None:
            return
        try:
            if self._staged:
                await self._unstage(device)
        finally:
            self._staged = False
            with contextlib.suppress(Exception):
                await device.close()
