"""How many iterations may be under way, from how fast they end. No I/O, no clock.

More of them under way make larger batches, and so cost less each; but whoever looks at the end of a
pipe sees what was begun so many iterations ago. So there may be as many as end within a short time:
a few in a slow pipe, many in a fast one.
"""

from __future__ import annotations

#: Iterations that end within so many seconds may be under way.
SPAN_S = 0.1
#: But never fewer than this, unless somebody says otherwise.
FEWEST = 8
_LOOK_S = 0.05


class Pace:
    """Looks at how fast iterations end.

    Parameters
    ----------
    least
        How many may be under way however slow they are.

    Attributes
    ----------
    most
        How many iterations may be under way; None before the first look.
    """

    def __init__(self, least: int = FEWEST) -> None:
        self._least = least
        self.most: int | None = None
        self._since = 0.0
        self._ended = 0

    def look(self, now: float, ended: int, limit: int) -> bool:
        """Take a look; tell whether `most` has changed.

        Parameters
        ----------
        now
            Seconds, of any clock that does not jump.
        ended
            Everything below this iteration has ended.
        limit
            So many may be under way, however fast they end.
        """
        if self.most is None:
            self.most, self._since, self._ended = min(self._least, limit), now, ended
            return True
        elapsed = now - self._since
        if elapsed < _LOOK_S:
            return False
        before, fitting = self.most, int((ended - self._ended) / elapsed * SPAN_S)
        self.most = min(limit, max(self._least, min(fitting, 2 * before), before // 2))
        self._since, self._ended = now, ended
        return self.most != before
