"""What a tap's two ends have in common: topics, stamps, and exact counts. No I/O, no clock.

A tap's message is ``[topic, stamp]`` in one frame, then the frames of the message as consumers get
it. The topic is the rate that its listeners asked for; the stamp says when somebody first listened
to it, and how many messages were offered under it since. So a listener can tell what was left out
because of its rate from what it lost because it was slow.
"""

from __future__ import annotations

import math
import re
import struct
from dataclasses import dataclass

from camagick_broker.errors import RemoteProtocolError

_TOPIC = re.compile(rb"t(all|[0-9][0-9.e+-]{0,23})\0")
_STAMP = struct.Struct("<QQ")
#: From here on a rate is no limit.
MAX_RATE = 1e6


def topic_of(rate: float | None) -> bytes:
    """Return the topic of a rate in messages a second; None for every message."""
    return b"tall\0" if rate is None else b"t%s\0" % repr(float(rate)).encode()


def rate_of(topic: bytes) -> float | None:
    """Return the rate of a topic; None for every message.

    Raises
    ------
    RemoteProtocolError
        For anything that is no topic.
    """
    match = _TOPIC.fullmatch(topic)
    if match is not None:
        if match[1] == b"all":
            return None
        try:
            rate = float(match[1])
        except ValueError:
            rate = math.nan
        if 0 < rate <= MAX_RATE:
            return rate
    raise RemoteProtocolError(f"not a topic of a tap: {topic[:40]!r}")


def stamped(topic: bytes, opened: int, ordinal: int) -> bytes:
    """Return the first frame of a tap's message."""
    return topic + _STAMP.pack(opened, ordinal)


def stamp_of(frame: bytes) -> tuple[int, int]:
    """Return since when somebody listens to its topic, and how many messages came under it before.

    Raises
    ------
    RemoteProtocolError
        For a frame that is no such thing.
    """
    _, zero, stamp = frame.partition(b"\0")
    if not zero or len(stamp) != _STAMP.size:
        raise RemoteProtocolError(f"not a message of a tap: it begins with {frame[:40]!r}")
    opened, ordinal = _STAMP.unpack(stamp)
    return opened, ordinal


class Schedule:
    """When a message is due under one topic.

    Parameters
    ----------
    rate
        Messages a second; None for every message.
    opened
        When somebody first listened: whoever comes after all have left has another number.

    Attributes
    ----------
    opened
        The same.
    offered
        How many were.
    """

    def __init__(self, rate: float | None, opened: int = 0) -> None:
        self.opened = opened
        self._period_s = 0.0 if rate is None else 1 / rate
        self._due = -math.inf
        self.offered = 0

    def is_due(self, now: float) -> bool:
        """Tell whether a message that is there now is to be offered; then the next is due later."""
        if now < self._due:
            return False
        # What came a little late does not lower the rate; what came much later is no arrears.
        late = now - self._due
        self._due = (self._due if late < self._period_s else now) + self._period_s
        return True


@dataclass
class Tally:
    """What a listener has taken, and what it has not, from its first message on.

    Attributes
    ----------
    received
        Messages that were taken.
    skipped
        Messages that were left out because of the rate asked for.
    missed
        Messages that were not taken for any other reason: the listener was slow or stopped, or the
        actor was restarted.
    repeated
        Messages that were here before: a restarted actor made them again.
    """

    received: int = 0
    skipped: int = 0
    missed: int = 0
    repeated: int = 0
    _last: int | None = None
    _stamp: tuple[int, int] = (0, 0)

    def take(self, seq: int, stamp: tuple[int, int]) -> bool:
        """Count a message; tell whether it is new."""
        if self._last is not None and seq <= self._last:
            self.repeated += 1
            self._stamp = stamp
            return False
        self._pass(seq, stamp)
        self._last = seq
        self.received += 1
        return True

    def end(self, seq: int, stamp: tuple[int, int] | None) -> None:
        """Count what is missing before the end, at which there is no iteration `seq`.

        Parameters
        ----------
        seq
            The first iteration that does not exist.
        stamp
            None where the end itself did not arrive.
        """
        if self._last is not None and seq > self._last:
            self._pass(seq, stamp)
            self._last = seq - 1

    def _pass(self, seq: int, stamp: tuple[int, int] | None) -> None:
        """Count what lies between the last message and iteration `seq`."""
        was_opened, was_ordinal = self._stamp
        absent = 0 if self._last is None else seq - self._last - 1
        lost = absent
        # Ordinals of a topic that was opened again begin anew, and tell nothing about the gap.
        if stamp is not None and stamp[0] == was_opened:
            lost = min(max(stamp[1] - was_ordinal - 1, 0), absent)
        self._stamp = stamp or self._stamp
        self.missed += lost
        self.skipped += absent - lost
