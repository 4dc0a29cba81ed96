"""A drain: what is under way reaches the sinks, as long as anything progresses."""

from __future__ import annotations

import logging

log = logging.getLogger(__name__)

#: Seconds a drain may go on without progress anywhere.
DRAIN_S = 60.0
_SAY_S = 5.0


class Drain:
    """Watches a drain.

    Attributes
    ----------
    begun
        Whether the sources were asked to stop.
    """

    def __init__(self) -> None:
        self.begun = False
        self._since = 0.0
        self._progress = 0
        self._said = False

    def begin(self, now: float) -> None:
        """Note that the sources are asked to stop."""
        self.begun, self._since = True, now

    def stir(self, now: float) -> None:
        """Note that something has happened."""
        self._since = now

    def is_stuck(self, now: float, progress: int, left: list[str]) -> bool:
        """Tell whether nothing has progressed for too long; say who is waited for before that.

        Parameters
        ----------
        now
            Time on the monotonic clock.
        progress
            A number that goes up as long as anything is done anywhere.
        left
            Names of the actors that are still running.
        """
        if not self.begun or not left:
            return False
        if progress != self._progress:
            self._progress, self._since = progress, now
        elif not self._said and now > self._since + _SAY_S:
            self._said = True
            names = ",".join(left)
            log.warning('msg="waiting until they have done what is left" actors=%s', names)
        elif now > self._since + DRAIN_S:
            names = ",".join(left)
            log.error('msg="stopped: no progress for %d s" actors=%s', DRAIN_S, names)
            return True
        return False
