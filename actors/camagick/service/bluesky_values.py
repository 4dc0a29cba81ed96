"""Readings and data keys, as ophyd and Bluesky have them, as values, tags and attributes.

Knows neither library: both speak of plain dictionaries.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from camagick.errors import CamagickError

_LIMITS = {"control": "ctrl", "display": "disp", "alarm": "alarm", "warning": "warning"}
_PLAIN: dict[str, type] = {
    "units": str, "precision": int, "source": str,
    **{f"{end}_{kind}_limit": float for kind in _LIMITS.values() for end in ("lower", "upper")},
}  # fmt: skip


class NoValue(CamagickError):
    """A device gave something that is neither a number, nor a text, nor an array of these."""


def tag_of(name: str) -> str:
    """Return the tag of an object or data key: whatever is no letter and no digit becomes '_'."""
    return re.sub(r"\W", "_", name)


def value_of(value: Any) -> Any:
    """Return a value as data has it: numpy scalars and arrays, text as str.

    Raises
    ------
    NoValue
        When there is nothing of that kind in it.
    """
    if isinstance(value, enum.Enum):
        value = value.value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, np.ndarray):
        # A view may be one of memory that the control system's library uses again.
        made = value if value.base is None else value.copy()
    elif isinstance(value, (bool, int, float, complex, np.generic, list, tuple)):
        try:
            made = np.asarray(value)
        except ValueError:  # lists of different lengths
            raise NoValue("lists of different lengths are no array") from None
    else:
        raise NoValue(f"{type(value).__name__} is neither a number, nor text, nor an array")
    if made.dtype.kind not in "biufcUS":
        raise NoValue(f"an array of {made.dtype} is neither of numbers nor of texts")
    return made[()] if made.ndim == 0 else made


def attributes_of(
    key: Mapping[str, Any], reading: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return what is known about a value.

    Parameters
    ----------
    key
        Its data key: units, precision, source, limits of any of the two fashions, enumeration.
    reading
        When it was read, with which severity and status; None where that is not known.

    Returns
    -------
    dict
        With the names that all processors use: `units`, `precision`, `enum_strings`, `source`,
        `lower_ctrl_limit` and the like, `timestamp` (seconds since 1970), `severity`, `status`.
    """
    found: dict[str, Any] = {}
    for name, kind in _PLAIN.items():
        _put(found, name, kind, key.get(name))
    for new, old in _LIMITS.items():
        limits = _mapping(_mapping(key.get("limits")).get(new))
        _put(found, f"lower_{old}_limit", float, limits.get("low"))
        _put(found, f"upper_{old}_limit", float, limits.get("high"))
    texts = key.get("enum_strs") or key.get("choices")
    if isinstance(texts, Sequence) and not isinstance(texts, str):
        found["enum_strings"] = tuple(str(text) for text in texts)
    reading = reading or {}
    severity = reading.get("severity", reading.get("alarm_severity"))
    # ophyd-async says -1 where it does not know.
    _put(found, "severity", int, None if severity == -1 else severity)
    _put(found, "status", int, reading.get("status"))
    _put(found, "timestamp", float, reading.get("timestamp"))
    return found


def _mapping(thing: Any) -> Mapping[str, Any]:
    return thing if isinstance(thing, Mapping) else {}


def _put(found: dict[str, Any], name: str, kind: type, value: Any) -> None:
    """Take an attribute over if it is there, and what it should be."""
    if value is None or value == "":
        return
    try:
        found[name] = kind(value)
    except (TypeError, ValueError):
        return
