"""What counts as a number among arguments."""

from __future__ import annotations

import math
from typing import Any


def is_integer(value: Any, least: int | None = None) -> bool:
    """Tell whether `value` is an integer (True and False are not), of at least `least`."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        return False
    return least is None or value >= least


def is_real(value: Any) -> bool:
    """Tell whether `value` is a number (True and False are not), and not NaN."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return not math.isnan(value)
