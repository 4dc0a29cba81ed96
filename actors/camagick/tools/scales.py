"""Limits of axes and colours that follow the data, but not every twitch of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from camagick.tools.panelspec import Style

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Limits are changed when the data leave them, or take less than this part of them.
_PART = 0.6
_PLAIN = Style()


def span(
    values: NDArray[Any],
    style: Style = _PLAIN,
    margin: float = 0.0,
    before: tuple[float, float] | None = None,
) -> tuple[float, float]:
    """Return what an axis, or a colour bar, has to reach from and to.

    Parameters
    ----------
    values
        Numbers of any shape; what is not finite does not count, nor what is not positive where the
        scale is logarithmic.
    style
        Its levels stand, and its scale.
    margin
        To leave at both ends, as a part of the whole.
    before
        The limits there are, which stay while they fit: to draw new ones costs ten times as much
        as to draw new data.
    """
    low, high = _extremes(values, log=style.log)
    room = 0.0 if style.log else margin * (high - low)
    wide = (low - room, high + room)
    if before is not None and before[0] <= low and high <= before[1] and _fits(wide, before, style):
        wide = before
    low = wide[0] if style.low is None else style.low
    high = wide[1] if style.high is None else style.high
    if low >= high:  # the data are all beyond the one level that is given
        low, high = (low, _above(low, style)) if style.high is None else (_below(high, style), high)
    return float(low), float(high)


def _extremes(values: NDArray[Any], *, log: bool) -> tuple[float, float]:
    kind = values.dtype.kind
    if kind == "f" or log:
        good = np.isfinite(values)
        if log:
            good &= values > 0
        if not good.all():
            values = values[good]
    if not values.size:
        return (1.0, 10.0) if log else (0.0, 1.0)
    low, high = float(values.min()), float(values.max())
    if high > low:
        return low, high
    return (low / 2, high * 2) if log else (low - 0.5, high + 0.5)


def _fits(wide: tuple[float, float], before: tuple[float, float], style: Style) -> bool:
    """Tell whether the limits there are show the data large enough."""
    if style.log:
        if before[0] <= 0:
            return False
        (low, high), (left, right) = np.log(wide), np.log(before)
    else:
        (low, high), (left, right) = wide, before
    return bool(high - low >= _PART * (right - left))


def _above(low: float, style: Style) -> float:
    return low * 10 if style.log else low + 1.0


def _below(high: float, style: Style) -> float:
    return high / 10 if style.log else high - 1.0


def lasting(times: NDArray[Any], before: tuple[float, float] | None) -> tuple[float, float]:
    """Return what an axis has to reach for times before now, all of them at most 0.

    Parameters
    ----------
    times
        In seconds.
    before
        The limits there are, which stay while the times take half of them or more; None where new
        ones cost nothing.
    """
    first = float(times.min(initial=0.0))
    if before is None:
        return first or -1.0, 0.0
    if before[1] == 0.0 and before[0] <= first <= 0.5 * before[0]:
        return before
    return 1.4 * first or -1.0, 0.0
