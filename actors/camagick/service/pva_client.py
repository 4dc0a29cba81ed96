"""p4p's client: the updates of PVs, each handed on once, over all reconnections.

Imported only where PVs are used, because it imports p4p.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections import deque
from typing import TYPE_CHECKING, Any

import numpy as np
from p4p.client import raw

from camagick.tools.pva_values import Columns, Decoder, NotUnderstood, Reading

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

log = logging.getLogger(__name__)

#: How often missing PVs are searched for while hope is fresh; then the library's own pace goes on.
SEARCH_PERIOD, SEARCH_EAGERLY = 1.0, 60.0
#: Seconds until a subscription that the server has refused or ended is tried again.
AGAIN = 2.0
#: What a server may keep for a PV while its connection is busy: updates, and bytes.
QUEUE_UPDATES, QUEUE_BYTES = 1000, 1 << 26
#: Arrays up to this size are compared to tell whether a reconnected server says what is known.
_COMPARED = 1 << 16


class _Found:
    """What was read of a PV, or why it was not, before it is subscribed to."""

    def __init__(self, value: Any) -> None:
        self.value = value


class Monitor:
    """One PV.

    Updates are taken from the library in its own thread, at once: so its queue, where an update
    would take the place of an older one, never fills, and what is too much is left in TCP.
    """

    def __init__(self, name: str, paths: Sequence[str], wake: Callable[[], None]) -> None:
        self.name, self.paths = name, list(paths)
        self.pv = name.partition("#")[0]
        self.queue = 4  # what servers have by themselves
        self.inbox: deque[Any] = deque()
        self.subscription: Any = None
        self.probe: Any = None
        self.decoders: list[Decoder] | None = None
        self.connected = False
        self.last: Reading | None = None
        self.again = False
        self.missed = self.unreadable = 0
        self._wake, self._order = wake, threading.Lock()

    def found(self, value: Any) -> None:
        """Take over what was read; called by any thread."""
        self.inbox.append(_Found(value))
        self._wake()

    def take(self) -> None:
        """Take over what has arrived; called by any thread."""
        with self._order:
            while self.subscription is not None:
                item = self.subscription.pop()
                if item is None:
                    break
                self.inbox.append(item)
        self._wake()


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
        self._awake = False
        self._timers: set[asyncio.TimerHandle] = set()
        self._since = 0.0

    def open(self) -> None:
        """Begin to look for the PVs; this waits for none of them."""
        self._context = raw.Context("pva", useenv=True, nt=False)
        self._since = self._loop.time()
        for monitor in self._monitors:
            # Read first: how many updates a server shall keep depends on how large they are.
            monitor.probe = self._context.get(monitor.pv, monitor.found)
        self._later(SEARCH_PERIOD, self._search)

    def close(self) -> None:
        """Give all PVs up."""
        for timer in self._timers:
            timer.cancel()
        context, self._context = self._context, None
        for monitor in self._monitors:
            for operation in (monitor.probe, monitor.subscription):
                if operation is not None:
                    operation.close()
            monitor.probe = monitor.subscription = None
            monitor.inbox.clear()
        if context is not None:
            context.close()

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
        now = self._loop.time()
        if all(monitor.connected for monitor in self._monitors):
            self._since = now
        elif now - self._since < SEARCH_EAGERLY:
            self._context.hurryUp()
        self._later(SEARCH_PERIOD, self._search)

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
        if isinstance(item, _Found):
            monitor.queue = _queue(monitor, item.value)
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
        monitor.subscription.close()
        self._subscribe(monitor)

    def _update(self, monitor: Monitor, value: Any) -> None:
        if monitor.decoders is None:
            try:
                monitor.decoders = _decoders(monitor, value)
            except NotUnderstood as error:
                self._refuse(monitor, str(error), passing=monitor.last is not None)
                return
        try:
            reading = _together(monitor, monitor.decoders, value)
        except NotUnderstood as error:
            self._refuse(monitor, str(error), passing=True)
            return
        if not monitor.connected:
            monitor.connected = True
            self._on_change(monitor.name, True)
        last, monitor.last = monitor.last, reading
        again, monitor.again = monitor.again, False
        if last is not None:
            if again and _equal(last, reading):
                return  # what the server says first after a reconnection is known already
            monitor.missed += _gap(last, reading)
        self._on_event(monitor.name, reading)

    def _refuse(self, monitor: Monitor, why: str, *, passing: bool) -> None:
        monitor.unreadable += 1
        self._on_refusal(monitor.name, why, passing)


def _decoders(monitor: Monitor, value: Any) -> list[Decoder]:
    spec = value.type().aspy()
    return [Decoder(spec, path) for path in monitor.paths]


def _together(monitor: Monitor, decoders: list[Decoder], value: Any) -> Reading:
    readings = [decode(value) for decode in decoders]
    if len(readings) == 1:
        return readings[0]
    values = Columns(zip(monitor.paths, readings, strict=True))
    return Reading(values, readings[0].attributes, readings[0].stamp)


def _queue(monitor: Monitor, value: Any) -> int:
    """Return how many updates of a PV a server shall keep, from one of them."""
    try:
        size = _together(monitor, _decoders(monitor, value), value).nbytes
    except (NotUnderstood, AttributeError):  # the subscription will say what is wrong
        return monitor.queue
    return max(monitor.queue, min(QUEUE_UPDATES, QUEUE_BYTES // max(1, size)))


def _gap(last: Reading, reading: Reading) -> int:
    """Return how many images between two are missing; ids that go back begin anew."""
    before, now = last.attributes.get("uniqueId"), reading.attributes.get("uniqueId")
    if before is None or now is None:
        return 0
    return max(0, int(now) - int(before) - 1)


def _equal(one: Reading, other: Reading) -> bool:
    if one.stamp != other.stamp:
        return False
    if one.value is None:  # all that a predecessor has told
        return any(one.stamp)
    if one.attributes != other.attributes:
        return False
    a, b = one.value, other.value
    if isinstance(a, np.ndarray) and a.nbytes <= _COMPARED:
        return a.shape == getattr(b, "shape", None) and a.tobytes() == b.tobytes()
    return isinstance(a, np.ndarray | dict | tuple) or bool(np.array_equal(a, b, equal_nan=True))
