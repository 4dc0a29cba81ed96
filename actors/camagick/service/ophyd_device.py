"""An object of ophyd, whose calls block, for callers that must not."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from camagick.service.ophyd_errors import Away, DeviceFailed, named

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from camagick.service.ophyd_thread import Thread

    Readings = Mapping[str, Mapping[str, Any]]
    Take = Callable[[str, Mapping[str, Any]], None]
    Names = set[str]  # within the class, `set` is what sets a device

#: Seconds to give back what a device holds, at the end.
_CLOSE = 2.0


class Device:
    """An object of ophyd; every call that may block happens in a thread.

    Parameters
    ----------
    thing
        The object.
    thread
        Where its calls happen.
    own
        Whether it was made here, and is to be destroyed here.
    """

    def __init__(self, thing: Any, thread: Thread, *, own: bool = False) -> None:
        self.thing, self._thread, self._own = thing, thread, own
        self._loop = asyncio.get_running_loop()
        self._subscribed: list[tuple[Any, Any]] = []

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.thing.name)

    async def _call(self, function: Any, *arguments: Any, **named: Any) -> Any:
        return await self._thread(function, *arguments, **named)

    async def connect(self, timeout: float) -> None:  # noqa: ASYNC109 - handed on
        """Wait until all of it is connected.

        Raises
        ------
        Away
            When that takes longer than `timeout` seconds.
        """
        wait = getattr(self.thing, "wait_for_connection", None)
        if wait is not None:
            with named(self.name):
                await self._call(wait, timeout=timeout)

    async def describe(self) -> Readings:
        """Return the data keys of what is read, and of its configuration."""
        found: dict[str, Mapping[str, Any]] = {}
        for method in ("describe_configuration", "describe"):
            found.update(await self._ask(method))
        return found

    async def read(self, *, config: bool = False) -> Readings:
        """Return the readings: by name, `value` and `timestamp`, `severity` where it is known."""
        readings = await self._ask("read_configuration" if config else "read")
        signals = self._signals()
        return {name: {**_alarm(signals.get(name)), **found} for name, found in readings.items()}

    async def _ask(self, method: str) -> Readings:
        function = getattr(self.thing, method, None)
        if function is None:
            return {}
        with named(self.name):
            answer: Readings = await self._call(function)
            return answer

    def hinted(self) -> frozenset[str]:
        """Return the names of what its author says is worth a look."""
        return frozenset((getattr(self.thing, "hints", None) or {}).get("fields", ()))

    async def trigger(self, timeout: float) -> None:  # noqa: ASYNC109 - it names the option
        """Trigger, and wait until it has measured.

        Raises
        ------
        Away
            When it is not connected.
        DeviceFailed
            When it says that it failed, or takes longer than `timeout` seconds.
        """
        if not self._is_there():
            raise Away(f"{self.name}: not connected")
        await self._until_done("trigger", timeout)

    def _is_there(self) -> bool:
        return bool(getattr(self.thing, "connected", True))

    async def set(self, value: Any, timeout: float, path: str = "") -> None:  # noqa: ASYNC109
        """Set it, or one of its parts, and wait until it is there.

        Parameters
        ----------
        value
            What to set.
        timeout
            Seconds to wait.
        path
            Attributes, joined by dots; '' for the device itself.

        Raises
        ------
        DeviceFailed
            When it cannot be set, says that it failed, or takes longer.
        """
        thing = self.thing
        for part in path.split(".") if path else ():
            thing = getattr(thing, part, None)
        if not hasattr(thing, "set"):
            raise DeviceFailed(f"{self.name}{'.' * bool(path)}{path} is nothing that can be set")
        await self._until_done("set", timeout, value, thing=thing)

    async def _until_done(
        self,
        method: str,
        timeout: float,  # noqa: ASYNC109
        *arguments: Any,
        thing: Any = None,
    ) -> None:
        thing = self.thing if thing is None else thing
        function = getattr(thing, method, None)
        if function is None:
            raise DeviceFailed(f"{self.name} has nothing to {method}")
        try:
            async with asyncio.timeout(timeout):
                with named(thing.name, method):
                    await self._finish(await self._call(function, *arguments))
        except TimeoutError:
            kind = DeviceFailed if self._is_there() else Away
            raise kind(
                f"{thing.name} is not done with its {method} within timeout={timeout:g} s"
            ) from None

    async def _finish(self, status: Any) -> None:
        """Wait until a status says that it is done."""
        if status is None:
            return
        done = asyncio.Event()
        # Not status.wait(): that would hold the thread for as long as a motor moves.
        status.add_callback(lambda _status: self._tell(done.set))
        await done.wait()
        error = status.exception(timeout=0)
        if error is not None:
            raise error

    async def stage(self) -> None:
        """Get it ready for a measurement, where it knows how."""
        await self._ask("stage")

    async def unstage(self) -> None:
        """Put it back to what it was before."""
        await self._ask("unstage")

    def events(self) -> bool:
        """Tell whether it has an event for each change of its value."""
        return "value" in getattr(self.thing, "event_types", ())

    def subscribe(self, names: Names, take: Take, changed: Callable[[bool], None]) -> Names:
        """Follow the signals of these names; return those that can be followed.

        Parameters
        ----------
        names
            Of signals, as in the readings.
        take
            Plain function that gets the name and each reading, in the event loop.
        changed
            Plain function that is told whether a signal is connected, when that changes.
        """
        signals = self._signals()
        followed = {
            name for name in names if "value" in getattr(signals.get(name), "event_types", ())
        }
        for name in followed:
            self._follow(signals[name], name, take, changed)
        return followed

    def _follow(self, signal: Any, name: str, take: Take, changed: Callable[[bool], None]) -> None:
        def event(value: Any = None, **known: Any) -> None:
            self._tell(take, name, {"value": value, **known})

        def meta(connected: Any = None, **_: Any) -> None:
            if connected is not None:
                self._tell(changed, bool(connected))

        # Which of the two comes first, the value of now or the first event, depends on the library.
        self._subscribed.append((signal, signal.subscribe(event, event_type="value", run=True)))
        if "meta" in signal.event_types:
            cid = signal.subscribe(meta, event_type="meta", run=False)
            self._subscribed.append((signal, cid))

    def _tell(self, function: Callable[..., None], *arguments: Any) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function, *arguments)

    def _signals(self) -> dict[str, Any]:
        walk = getattr(self.thing, "walk_signals", None)
        if walk is None:
            return {self.name: self.thing}
        return {found.item.name: found.item for found in walk(include_lazy=False)}

    async def close(self) -> None:
        """Let go of it; takes a moment at most."""
        for signal, token in self._subscribed:
            signal.unsubscribe(token)
        self._subscribed.clear()
        if self._own and hasattr(self.thing, "destroy"):
            try:
                async with asyncio.timeout(_CLOSE):
                    await self._call(self.thing.destroy)
            except Exception:  # noqa: BLE001, S110 - what is away needs no farewell
                pass
        self._thread.close()


def _alarm(signal: Any) -> dict[str, Any]:
    names = {"severity": "alarm_severity", "status": "alarm_status"}
    found = {key: getattr(signal, name, None) for key, name in names.items()}
    return {key: value for key, value in found.items() if value is not None}
