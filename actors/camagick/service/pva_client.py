"""p4p's client: the updates of PVs, each handed on once, over all reconnections.

Imported only where PVs are used, because it imports p4p.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any

from p4p.client import raw

from camagick.service.pva_monitor import (
    NEVER,
    Found,
    Monitor,
    Reached,
    decoders,
    equal,
    gap,
    queue_for,
    together,
)
from camagick.tools.pva_values import NotUnderstood, Reading

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

log = logging.getLogger(__name__)

#: How often missing PVs are searched for while hope is fresh; then the library's own pace goes on.
SEARCH_PERIOD, SEARCH_EAGERLY = 1.0, 60.0
#: Seconds in which a PV that was found may connect, and say something.
PATIENCE = 10.0
#: Seconds until a subscription that the server has refused or ended is tried again.
AGAIN = 2.0


class Client:
    """A PV Access client.

    Parameters
    ----------
    targets
        By name of the PV: the paths of its fields that are wanted, '' for the whole. What stands
        behind a '#' in the name is no part of the PV's own.
    on_event
        Plain function that gets the name and each `Reading`, in order. Where there are several
        paths, the reading's value is `Columns` of readings.
    on_change
        Plain function that gets the name and whether the PV is connected now.
    on_refusal
        Plain function that gets the name, why the PV cannot be read, and whether that may pass:
        where another update, or another program at the other end, may be readable.
    """

    def __init__(
        self,
        targets: Mapping[str, Sequence[str]],
        on_event: Callable[[str, Reading], None],
        on_change: Callable[[str, bool], None],
        on_refusal: Callable[[str, str, bool], None],
    ) -> None:
        self._on_event, self._on_change, self._on_refusal = on_event, on_change, on_refusal
        self._loop = asyncio.get_running_loop()
        self._monitors = [Monitor(name, paths, self._wake) for name, paths in targets.items()]
        self._context: Any = None
        self._finder: Any = None
        self._awake = False
        self._timers: set[asyncio.TimerHandle] = set()
        self._since = 0.0

    def open(self) -> None:
        """Begin to look for the PVs; this waits for none of them."""
        self._context = raw.Context("pva", useenv=True, nt=False)
        self._since = self._loop.time()
        for monitor in self._monitors:
            self._probe(monitor)
        self._later(SEARCH_PERIOD, self._search)

    def close(self) -> None:
        """Give all PVs up."""
        for timer in self._timers:
            timer.cancel()
        context, self._context = self._context, None
        for monitor in self._monitors:
            monitor.close()
            monitor.inbox.clear()
        for one in (context, self._finder):
            if one is not None:
                one.close()

    def know(self, name: str, stamp: Sequence[int]) -> None:
        """Leave out the first update of a PV if it has this stamp; before `open`."""
        for monitor in self._monitors:
            if monitor.name == name:
                attributes = {"uniqueId": stamp[2]} if stamp[2] else {}
                monitor.last, monitor.again = Reading(None, attributes, tuple(stamp)), True

    def silent(self) -> list[str]:
        """Return the PVs that are not there."""
        return [monitor.name for monitor in self._monitors if not monitor.connected]

    @property
    def missed(self) -> int:
        """How many images were sent, by their unique ids, and did not come."""
        return sum(monitor.missed for monitor in self._monitors)

    @property
    def unreadable(self) -> int:
        """How many updates could not become values."""
        return sum(monitor.unreadable for monitor in self._monitors)

    def _later(self, seconds: float, function: Callable[..., None], *arguments: Any) -> None:
        def run() -> None:
            self._timers.discard(timer)
            if self._context is not None:
                function(*arguments)

        timer = self._loop.call_later(seconds, run)
        self._timers.add(timer)

    def _subscribe(self, monitor: Monitor) -> None:
        request = f"record[queueSize={monitor.queue}]field()"
        monitor.subscription = self._context.monitor(monitor.pv, monitor.take, request)
        monitor.take()  # what came before the line above was done

    def _search(self) -> None:
        """Look for missing PVs; the library itself soon does so twice a minute only."""
        now = self._loop.time()
        missing = [monitor for monitor in self._monitors if not monitor.connected]
        if not missing:
            self._since = now
        elif now - self._since < SEARCH_EAGERLY:
            for monitor in missing:
                if now - monitor.kicked > PATIENCE:
                    self._seek(monitor)
        self._later(SEARCH_PERIOD, self._search)

    def _seek(self, monitor: Monitor) -> None:
        # In a context of its own, where a PV can be forgotten: only a new one is searched for at
        # once. In the other, this would break off a connection that is being made.
        if self._finder is None:
            self._finder = raw.Context("pva", useenv=True, nt=False)
        if monitor.seeker is not None:
            monitor.seeker.close()
        self._finder.disconnect(monitor.pv)
        monitor.seeker = self._finder.get(monitor.pv, monitor.reached, "field(alarm)")

    def _kick(self, monitor: Monitor) -> None:
        """Have a PV that was seen connected now."""
        now = self._loop.time()
        if monitor.connected or now - monitor.kicked < PATIENCE:
            return
        monitor.kicked = now
        subscribed = monitor.subscription is not None
        monitor.close()
        self._context.disconnect(monitor.pv)
        if subscribed:
            self._subscribe(monitor)
        else:
            self._probe(monitor)

    def _probe(self, monitor: Monitor) -> None:
        # Read first: how many updates a server shall keep depends on how large they are.
        monitor.probe = self._context.get(monitor.pv, monitor.found)

    def _wake(self) -> None:
        if not self._awake:
            self._awake = True
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                self._loop.call_soon_threadsafe(self._drain)

    def _drain(self) -> None:
        self._awake = False
        for monitor in self._monitors:
            while monitor.inbox and self._context is not None:
                self._handle(monitor, monitor.inbox.popleft())

    def _handle(self, monitor: Monitor, item: Any) -> None:
        if isinstance(item, Found | Reached):
            if isinstance(item.answer, raw.Cancelled):
                return  # by this client itself
            if isinstance(item, Reached):
                self._kick(monitor)
            else:
                monitor.queue = queue_for(monitor, item.answer)
                self._subscribe(monitor)
            return
        if not isinstance(item, Exception):
            self._update(monitor, item)
            return
        monitor.decoders, monitor.again = None, True
        if monitor.connected:
            monitor.connected = False
            self._on_change(monitor.name, False)
        if isinstance(item, raw.RemoteError | raw.Finished):
            if isinstance(item, raw.RemoteError):
                self._refuse(monitor, f"is refused by its server: {item}", passing=True)
            self._later(AGAIN, self._renew, monitor)

    def _renew(self, monitor: Monitor) -> None:
        monitor.close()
        self._subscribe(monitor)

    def _update(self, monitor: Monitor, value: Any) -> None:
        if monitor.decoders is None:
            try:
                monitor.decoders = decoders(monitor, value)
            except NotUnderstood as error:
                self._refuse(monitor, str(error), passing=monitor.last is not None)
                return
        try:
            reading = together(monitor, monitor.decoders, value)
        except NotUnderstood as error:
            self._refuse(monitor, str(error), passing=True)
            return
        if not monitor.connected:
            monitor.connected, monitor.kicked = True, NEVER
            self._on_change(monitor.name, True)
        last, monitor.last = monitor.last, reading
        again, monitor.again = monitor.again, False
        if last is not None:
            if again and equal(last, reading):
                return  # what the server says first after a reconnection is known already
            monitor.missed += gap(last, reading)
        self._on_event(monitor.name, reading)

    def _refuse(self, monitor: Monitor, why: str, *, passing: bool) -> None:
        monitor.unreadable += 1
        self._on_refusal(monitor.name, why, passing)
