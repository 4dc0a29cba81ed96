"""One PV of a PV Access client: its updates, and what is known about them. Knows no p4p."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Any

import numpy as np

from camagick.tools.pva_values import Columns, Decoder, NotUnderstood, Reading

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

#: What a server may keep for a PV while its connection is busy: updates, and bytes.
QUEUE_UPDATES, QUEUE_BYTES = 1000, 1 << 26
#: Arrays up to this size are compared to tell whether a reconnected server says what is known.
_COMPARED = 1 << 16


NEVER = float("-inf")


class Found:
    """What was read of a PV, or why it was not, before it is subscribed to."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer


class Reached:
    """An answer from a PV that is missing: it was seen."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer


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
        self.seeker: Any = None
        self.kicked = NEVER
        self.decoders: list[Decoder] | None = None
        self.connected = False
        self.last: Reading | None = None
        self.again = False
        self.missed = self.unreadable = 0
        self._wake, self._order = wake, threading.Lock()

    def found(self, value: Any) -> None:
        """Take over what was read; called by any thread."""
        self.inbox.append(Found(value))
        self._wake()

    def reached(self, answer: Any) -> None:
        """Take over that the PV was seen; called by any thread, also when that is given up."""
        self.inbox.append(Reached(answer))
        self._wake()

    def close(self) -> None:
        """Let go of the PV."""
        for operation in (self.probe, self.subscription, self.seeker):
            if operation is not None:
                operation.close()
        self.probe = self.subscription = self.seeker = None

    def take(self) -> None:
        """Take over what has arrived; called by any thread."""
        with self._order:
            while self.subscription is not None:
                item = self.subscription.pop()
                if item is None:
                    break
                self.inbox.append(item)
        self._wake()


def decoders(monitor: Monitor, value: Any) -> list[Decoder]:
    """Return what understands the structures of a PV, of which `value` is one."""
    spec = value.type().aspy()
    return [Decoder(spec, path) for path in monitor.paths]


def together(monitor: Monitor, decoders: list[Decoder], value: Any) -> Reading:
    """Return an update of a PV as one reading."""
    readings = [decode(value) for decode in decoders]
    if len(readings) == 1:
        return readings[0]
    values = Columns(zip(monitor.paths, readings, strict=True))
    return Reading(values, readings[0].attributes, readings[0].stamp)


def queue_for(monitor: Monitor, value: Any) -> int:
    """Return how many updates of a PV a server shall keep, from one of them."""
    try:
        size = together(monitor, decoders(monitor, value), value).nbytes
    except (NotUnderstood, AttributeError):  # the subscription will say what is wrong
        return monitor.queue
    return max(monitor.queue, min(QUEUE_UPDATES, QUEUE_BYTES // max(1, size)))


def gap(last: Reading, reading: Reading) -> int:
    """Return how many images between two are missing; ids that go back begin anew."""
    before, now = last.attributes.get("uniqueId"), reading.attributes.get("uniqueId")
    if before is None or now is None:
        return 0
    return max(0, int(now) - int(before) - 1)


def equal(one: Reading, other: Reading) -> bool:
    """Tell whether two readings are the same update."""
    if one.stamp != other.stamp:
        return False
    if one.value is None:  # all that a predecessor has told
        return any(one.stamp)
    if one.attributes != other.attributes:
        return False
    a, b = one.value, other.value
    if isinstance(a, np.ndarray) and a.nbytes <= _COMPARED:
        return a.shape == getattr(b, "shape", None) and bool(a.tobytes() == b.tobytes())
    if isinstance(a, np.ndarray | dict | tuple):
        return True  # large: its stamp will do
    return bool(a == b) or (a != a and b != b)
