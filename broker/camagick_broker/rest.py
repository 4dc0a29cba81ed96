"""When to let messages gather before they are read. No I/O, no clock.

A turn of an actor's sockets costs as much as reading five messages, and more where what travels
is large and has pushed everything else out of the processor's cache. Where messages of another
host come one by one, but fast, a short rest lets some come together. It makes them later by no
more than a network does. On this host nobody rests: there it would be the latency.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from camagick_broker.wiring import Wiring

#: So many messages shall come together, if that takes no longer.
_TOGETHER = 4
_MOST_S = 0.002
#: Where they come at longer intervals, each has its turn.
_SLOW_S = 0.002
#: With fewer under way at once, whoever rests would keep others waiting.
_LEAST_WINDOW = 8
#: What one interval counts in the running mean.
_SHARE = 0.125


class Rest:
    """The inputs of one actor from other hosts.

    Parameters
    ----------
    wiring
        The actor's place.

    Attributes
    ----------
    inputs
        Producers whose messages may gather.
    """

    def __init__(self, wiring: Wiring) -> None:
        several = wiring.window >= _LEAST_WINDOW and not wiring.lockstep
        self.inputs = wiring.far & set(wiring.inputs) if several else frozenset()
        self._last = 0.0
        self._interval_s = 2 * _SLOW_S

    def note(self, messages: int, now: float) -> None:
        """Note that so many messages of these inputs have come, by a clock that does not jump."""
        interval_s = min((now - self._last) / max(1, messages), 2 * _SLOW_S)
        self._interval_s += _SHARE * (interval_s - self._interval_s)
        self._last = now

    def wanted_s(self, now: float) -> float:
        """Return how long to rest, in seconds; 0 where nothing more is to be expected so soon."""
        if self._interval_s > _SLOW_S or now > self._last + _SLOW_S:
            return 0.0
        return min(_MOST_S, (_TOGETHER - 1) * self._interval_s)
