"""Not faster than."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, ClassVar

from camagick.errors import BadOption
from camagick.processor import ProcessorBase
from camagick.tools.numbers import is_real
from camagick.tools.schedule import Schedule

if TYPE_CHECKING:
    from camagick.data import Data


class Processor(ProcessorBase):
    """Slow the pipe down: let data pass not more often than once per period.

    The first data pass at once. The period is kept: small delays of single passes do not add up.
    Data is handed on unchanged. Exactly one of the three must be given.

    Parameters
    ----------
    Hz : float, optional
        How many passes per second.
    ms : float, optional
        Period in milliseconds.
    s : float, optional
        Period in seconds.

    Examples
    --------
    One random number per second::

        caspy --from-scratch random iffy --pace Hz=1.0 --to-summary
    """

    paces: ClassVar[bool] = True
    stateful: ClassVar[bool] = True

    def __init__(
        self,
        Hz: float | None = None,  # noqa: N803 - the unit is written so
        ms: float | None = None,
        s: float | None = None,
    ) -> None:
        given = {
            key: value for key, value in (("Hz", Hz), ("ms", ms), ("s", s)) if value is not None
        }
        if len(given) != 1:
            raise BadOption("pace: give exactly one of Hz=, ms= or s=")
        [(unit, value)] = given.items()
        if not is_real(value) or not 0 < value < math.inf:
            raise BadOption(f"pace: {unit}={value} is not a positive number")
        self._schedule = Schedule(1 / value if unit == "Hz" else value * {"ms": 1e-3, "s": 1}[unit])

    @property
    def repeatable(self) -> bool:
        """Whether a call may be done again: what it hands on is what it was given."""
        return True

    @property
    def period(self) -> float:
        """Time between two passes, in seconds."""
        return self._schedule.period

    def due(self) -> float:
        return self._schedule.due(time.monotonic())

    def process(self, data: Data, context: Data) -> Data:
        self._schedule.passed(time.monotonic())
        return data
