"""Whether compressing makes a stream faster: both are tried, the faster one is kept for a while.

What decides is only how many messages a second there are with and without. Nobody has to know the
speed of the link, of the cores, or how well the data can be compressed; where the source is what
limits, both are alike, and nothing is compressed.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

#: So many messages after a change are under way already, and say nothing about it.
_FILL = 16
#: A trial is of so many messages, and takes so long, at least.
_MESSAGES, _TRIAL_S = 16, 0.25
#: For so long, and so many messages, the faster one is kept.
_KEEP, _KEEP_S = 512, 20.0
#: Compressing has to be faster by so much.
_FASTER = 1.1


class Trial:
    """Says of each message of a stream whether it is to be compressed.

    Parameters
    ----------
    clock
        Seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._rates: list[float] = []  # of the trials so far: without, with
        self._compresses = False
        self._count = 0
        self._began = 0.0

    def __call__(self) -> bool:
        """Tell whether to compress the next message."""
        self._count += 1
        if len(self._rates) == 2:
            self._keep()
        elif self._count == _FILL:
            self._began = self._clock()
        elif self._count >= _FILL + _MESSAGES:
            self._measure()
        return self._compresses

    def _measure(self) -> None:
        passed = self._clock() - self._began
        if passed < _TRIAL_S:
            return
        self._rates.append((self._count - _FILL) / passed)
        self._count = 0
        if len(self._rates) == 1:
            self._compresses = True
        else:
            without, with_it = self._rates
            self._compresses = with_it > _FASTER * without
            self._began = self._clock()

    def _keep(self) -> None:
        if self._count >= _KEEP and self._clock() - self._began >= _KEEP_S:
            self._rates, self._count, self._compresses = [], 0, False
