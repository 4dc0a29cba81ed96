"""What is known about a value, in the terms of Channel Access."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

from camagick.tools.ca_values import labels_of

if TYPE_CHECKING:
    from collections.abc import Mapping

LIMITS = tuple(
    f"{side}_{name}_limit"
    for name in ("disp", "ctrl", "alarm", "warning")
    for side in ("lower", "upper")
)
#: What hardly ever changes, and what does so with each value.
LASTING = ("units", "precision", "enum_strings", *LIMITS)
MOMENTARY = ("timestamp", "severity", "status")

#: Seconds from 1970 to 1990, where EPICS begins to count.
_EPOCH = 631_152_000
#: Bytes of units: 8 with the terminating NUL.
_UNITS = 7
_STATUS_LINK, _STATES, _SEVERITIES = 14, 22, 4


def lasting(attributes: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """Return units, precision, limits and labels as a PV of that kind takes them.

    What has the wrong type is left out.
    """
    found: dict[str, Any] = {}
    if kind == "ENUM":
        labels = labels_of(attributes)
        return {"enum_strings": labels} if labels else {}
    if kind in ("STRING", "TEXT"):
        return {}
    units, precision = attributes.get("units"), attributes.get("precision")
    if isinstance(units, str):
        found["units"] = _encoded(units)
    if kind in ("DOUBLE", "FLOAT") and isinstance(precision, int):
        found["precision"] = min(max(precision, -(2**15)), 2**15 - 1)
    for name in LIMITS:
        limit = attributes.get(name)
        if isinstance(limit, int | float) and math.isfinite(limit):
            found[name] = _limited(float(limit), kind)
    return found


def _encoded(units: str) -> bytes:
    return units.encode()[:_UNITS].decode("utf-8", "ignore").encode()


_RANGES = {"LONG": (-(2**31), 2**31 - 1), "SHORT": (-(2**15), 2**15 - 1), "CHAR": (0, 255)}


def _limited(limit: float, kind: str) -> float | int:
    if kind not in _RANGES:
        return limit
    low, high = _RANGES[kind]
    return min(max(int(limit), low), high)


def momentary(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return timestamp, severity and status; now and no alarm where they are not known."""
    stamp, severity = attributes.get("timestamp"), attributes.get("severity")
    status = attributes.get("status")
    if not isinstance(stamp, int | float) or not _EPOCH <= stamp < _EPOCH + 2**32:
        stamp = time.time()
    if not isinstance(severity, int) or not 0 <= severity < _SEVERITIES:
        severity = 0
    if not isinstance(status, int) or not 0 <= status < _STATES:
        # As a C record says it that has its alarm from another one.
        status = _STATUS_LINK if severity else 0
    return {"timestamp": float(stamp), "severity": severity, "status": status}
