"""An object of ophyd-async, behind the same face as one of ophyd."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from camagick.service.ophyd_device import Device
from camagick.service.ophyd_errors import named

if TYPE_CHECKING:
    from collections.abc import Callable

    from camagick.service.ophyd_device import Names, Readings, Take


class AsyncDevice(Device):
    """An object of ophyd-async; its calls are coroutines of the event loop."""

    async def _call(self, function: Any, *arguments: Any, **named: Any) -> Any:
        made = function(*arguments, **named)
        return await made if inspect.iscoroutine(made) else made

    async def connect(self, timeout: float) -> None:  # noqa: ASYNC109 - handed on
        with named(self.name):
            await self.thing.connect(timeout=timeout)

    async def _ask(self, method: str) -> Readings:
        answer = await super()._ask(method)
        if inspect.isawaitable(answer):  # stage and unstage answer with a status
            with named(self.name, method):
                await answer
            return {}
        return answer

    async def _finish(self, status: Any) -> None:
        if inspect.isawaitable(status):
            await status

    def events(self) -> bool:
        return _subscriber(self.thing) is not None

    def _signals(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        waiting = [self.thing]
        while waiting:
            thing = waiting.pop()
            found[thing.name] = thing
            waiting += [child for _, child in thing.children()]
        return found

    def subscribe(self, names: Names, take: Take, changed: Callable[[bool], None]) -> Names:
        def event(readings: Readings) -> None:
            for name, reading in readings.items():
                take(name, reading)

        signals = self._signals()
        followed = {name for name in names if _subscriber(signals.get(name)) is not None}
        for name in followed:
            _subscriber(signals[name])(event)  # type: ignore[misc]
            self._subscribed.append((signals[name], event))
        return followed

    async def close(self) -> None:
        for signal, event in self._subscribed:
            signal.clear_sub(event)
        self._subscribed.clear()
        self._thread.close()


def _subscriber(signal: Any) -> Callable[..., Any] | None:
    """Return what subscribes to readings; its name has changed between releases."""
    found = getattr(signal, "subscribe_reading", None) or getattr(signal, "subscribe", None)
    return found if callable(found) else None
