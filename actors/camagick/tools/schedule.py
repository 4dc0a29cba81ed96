"""When something is due that happens once per period."""

from __future__ import annotations


class Schedule:
    """A period that is kept: lateness of one pass is not handed on to the next.

    The first pass is due at once. Whoever is late by more than a whole period begins anew, rather
    than catching up with a burst.

    Parameters
    ----------
    period
        Time between two passes, in seconds.
    """

    def __init__(self, period: float) -> None:
        self.period = period
        self._next: float | None = None

    def due(self, now: float) -> float:
        """Return how long the next pass has to wait, in seconds (0: not at all)."""
        return 0.0 if self._next is None else max(0.0, self._next - now)

    def passed(self, now: float) -> None:
        """Note that a pass happens at this moment."""
        if self._next is None or now - self._next >= self.period:
            self._next = now + self.period
        else:
            self._next += self.period
