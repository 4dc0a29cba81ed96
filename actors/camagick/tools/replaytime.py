"""When the frames of a replay are due."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from camagick.tools.schedule import Schedule

if TYPE_CHECKING:
    from collections.abc import Callable

#: What times are counted in, where their units say so.
UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}


class ReplayTime:
    """Tells how long the next frame has to wait.

    Parameters
    ----------
    Hz
        Frames a second; 0: as they come.
    speed
        How many times as fast as they were recorded; 0: their timestamps do not matter.
    """

    def __init__(self, Hz: float, speed: float) -> None:  # noqa: N803 - the unit is written so
        self._schedule = Schedule(1 / Hz) if Hz else None
        self._speed = speed
        self._began: tuple[float, float] | None = None

    def wait(self, recorded: Callable[[], float]) -> float:
        """Return how many seconds the next frame has to wait.

        Parameters
        ----------
        recorded
            Tells when it was recorded, in seconds.
        """
        now = time.monotonic()
        if self._schedule is not None:
            return self._schedule.due(now)
        if not self._speed:
            return 0.0
        then = recorded()
        if self._began is None:
            self._began = now, then
        return max(0.0, self._began[0] + (then - self._began[1]) / self._speed - now)

    def passed(self) -> None:
        """Note that a frame is handed on at this moment."""
        if self._schedule is not None:
            self._schedule.passed(time.monotonic())

    def again(self) -> None:
        """Note that the first frame comes again."""
        self._began = None
