"""Times and severities, stored beside the frames that they belong to (``stamp=1``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from camagick.tools.layout import Beside

if TYPE_CHECKING:
    from collections.abc import Mapping

#: What is behind the name of an array in those of its stamps.
TIMESTAMP, SEVERITY = "_timestamp", "_severity"
_ABOUT: dict[str, dict[str, Any]] = {
    TIMESTAMP: {
        "units": "s",
        "long_name": "time of the source, seconds since 1970-01-01T00:00:00Z",
        "start": "1970-01-01T00:00:00Z",
    },
    SEVERITY: {"enum_strings": ["NO_ALARM", "MINOR", "MAJOR", "INVALID"]},
}


def stamps(attributes: Mapping[str, Any], now: float) -> tuple[Beside, ...]:
    """Return what stands beside a frame.

    Parameters
    ----------
    attributes
        What is known about its value: 'timestamp' and 'severity' are taken from it.
    now
        Seconds since 1970 UTC; the time of a value whose source tells none.
    """
    time = _number(attributes.get("timestamp"), np.float64)
    severity = _number(attributes.get("severity"), np.int16)
    return (
        Beside(TIMESTAMP, np.float64(now) if time is None else time, _ABOUT[TIMESTAMP], np.nan),
        Beside(SEVERITY, severity, _ABOUT[SEVERITY], 0),
    )


def _number(value: Any, kind: type[np.generic]) -> np.generic | None:
    try:
        return None if value is None else kind(value)
    except (TypeError, ValueError, OverflowError):
        return None  # a source's odd idea of a time is no reason to lose the frame
