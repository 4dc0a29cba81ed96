"""What kind of structure a PV is served as, and what a value puts into it. Knows no p4p."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from camagick.tools.pva_alarms import alarm_of
from camagick.tools.pva_values import DTYPES

if TYPE_CHECKING:
    from collections.abc import Mapping

Kind = Literal["scalar", "array", "enum", "image"]

_CODES = {dtype: code for code, dtype in DTYPES.items()}
_MEMBERS = {
    "?": "booleanValue", "b": "byteValue", "h": "shortValue", "i": "intValue", "l": "longValue",
    "B": "ubyteValue", "H": "ushortValue", "I": "uintValue", "L": "ulongValue",
    "f": "floatValue", "d": "doubleValue",
}  # fmt: skip
_LIMITS = {
    "display": {
        "limitLow": "lower_disp_limit",
        "limitHigh": "upper_disp_limit",
        "units": "units",
        "precision": "precision",
    },
    "control": {"limitLow": "lower_ctrl_limit", "limitHigh": "upper_ctrl_limit"},
    "valueAlarm": {
        "lowAlarmLimit": "lower_alarm_limit",
        "highAlarmLimit": "upper_alarm_limit",
        "lowWarningLimit": "lower_warning_limit",
        "highWarningLimit": "upper_warning_limit",
    },
}


class Form(NamedTuple):
    """What a PV is served as.

    Attributes
    ----------
    kind
        NTScalar, NTScalarArray, NTEnum or NTNDArray.
    code
        Type of its elements, as p4p says it (``d``, ``s``, ...); of an image '' for any.
    choices
        Of an enum: its texts, as far as they are known.
    """

    kind: Kind
    code: str = ""
    choices: tuple[str, ...] = ()


def plain(value: Any) -> Any:
    """Return text as str, and everything else as a numpy array of a type that PVs have.

    Raises
    ------
    ValueError
        When PV Access has nothing that holds such a value.
    """
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, str):
        return str(value)
    array = np.asarray(value)
    if array.dtype.kind == "S":
        array = np.char.decode(array, "utf-8", "replace")
    if array.dtype.kind == "U":
        return str(array[()]) if array.ndim == 0 else array
    if array.dtype.kind == "f" and array.dtype.itemsize not in (4, 8):
        array = array.astype(np.float32 if array.dtype.itemsize == 2 else np.float64)
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    if array.dtype not in _CODES:
        what = type(value).__name__ if array.dtype.kind == "O" else f"{array.dtype} values"
        raise ValueError(f"PV Access has no type for {what}")
    return array


def form_of(value: Any, attributes: Mapping[str, Any], *, images: bool) -> Form:
    """Return the form that suits a `plain` value.

    Parameters
    ----------
    value, attributes
        The value, and what is known about it; integers with ``enum_strings`` are enums.
    images
        Whether arrays of more than one dimension are images, or flat.
    """
    if isinstance(value, str):
        return Form("scalar", "s")
    choices = attributes.get("enum_strings")
    if value.dtype.kind == "U":
        return Form("array", "s")
    if value.ndim == 0:
        if choices and value.dtype.kind in "iu":
            return Form("enum", "", tuple(map(str, choices)))
        return Form("scalar", _CODES[value.dtype])
    if value.ndim > 1 and images:
        return Form("image")
    return Form("array", _CODES[value.dtype])


def fit(value: Any, form: Form) -> Any:
    """Return a `plain` value as a PV of that form holds it.

    Raises
    ------
    ValueError
        When it does not fit without loss.
    """
    text = isinstance(value, str) or value.dtype.kind == "U"
    if form.kind == "enum" and isinstance(value, str) and value in form.choices:
        return form.choices.index(value)
    if text != (form.code == "s"):
        raise ValueError(f"the PV holds {'text' if form.code == 's' else 'numbers'}")
    if form.kind == "image":
        if value.ndim < 2:
            raise ValueError("the PV holds images, the value has one dimension or none")
        return _cast(value, form.code) if form.code else value
    if form.kind == "array":
        if isinstance(value, str) or value.ndim == 0:
            raise ValueError("the PV holds an array, the value is a scalar")
        return value.reshape(-1) if form.code == "s" else _cast(value.reshape(-1), form.code)
    if not isinstance(value, str) and value.ndim:
        raise ValueError("the PV holds a scalar, the value is an array")
    if form.kind == "enum":
        if value.dtype.kind not in "iub" or not 0 <= int(value) < max(1, len(form.choices)):
            raise ValueError(f"{value} is none of the {len(form.choices)} states of the enum")
        return int(value)
    return value if isinstance(value, str) else _cast(value, form.code)[()].item()


def _cast(array: np.ndarray, code: str) -> np.ndarray:
    target = DTYPES[code]
    if array.dtype == target or np.can_cast(array.dtype, target, "safe") or array.size == 0:
        return array.astype(target, copy=False)
    made = array.astype(target)
    if array.dtype.kind == "f" and target.kind == "f":
        return made  # fewer digits are no loss that anybody would name
    if not np.array_equal(made.astype(array.dtype), array) or (made < 0).any() != (array < 0).any():
        raise ValueError(f"{array.dtype} values do not fit a PV of {target}")
    return made


def default(form: Form) -> Any:
    """Return what a PV holds before its first value."""
    if form.kind == "image":
        return np.zeros((0, 0), DTYPES[form.code or "B"])
    if form.code == "s":
        return np.empty(0, "U1") if form.kind == "array" else ""
    if form.kind == "array":
        return np.empty(0, DTYPES[form.code])
    return 0 if form.kind == "enum" else DTYPES[form.code].type(0).item()


def fields(
    form: Form, value: Any, attributes: Mapping[str, Any], now: float, number: int
) -> dict[str, Any]:
    """Return what is written into the structure of a PV.

    Parameters
    ----------
    form
        Of the PV.
    value
        What `fit` has made.
    attributes
        What is known about the value.
    now
        Its timestamp, seconds since 1970.
    number
        Unique id of an image that has none.
    """
    seconds = math.floor(now)
    stamp = {
        "secondsPastEpoch": seconds,
        "nanoseconds": min(999_999_999, round((now - seconds) * 1e9)),
    }
    severity = attributes.get("severity", 0)
    made: dict[str, Any] = {
        "timeStamp": stamp,
        "alarm": alarm_of(
            int(severity) if severity in (0, 1, 2, 3) else 0,
            int(attributes.get("status") or 0),
            str(attributes.get("alarm_message") or ""),
        ),
    }
    if form.kind == "image":
        return {**made, **_image(value, attributes, stamp, number)}
    if form.kind == "enum":
        return {**made, "value": {"index": value, "choices": list(form.choices)}}
    made["value"] = value.tolist() if form.code == "s" and form.kind == "array" else value
    if form.code not in "s?":
        made.update(_limits(form.code, attributes))
    return made


def _limits(code: str, attributes: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for group, names in _LIMITS.items():
        inner: dict[str, Any] = {}
        for field, name in names.items():
            known = attributes.get(name)
            if known is None:
                continue
            if name == "units":
                inner[field] = str(known)
            elif name == "precision":
                inner[field] = int(known)
            elif code in "fd":
                inner[field] = float(known)
            elif math.isfinite(known) and _in_range(known, code):
                inner[field] = int(known)
        if inner:
            found[group] = inner
    return found


def _in_range(number: float, code: str) -> bool:
    limits = np.iinfo(DTYPES[code])
    return limits.min <= number <= limits.max


def _image(
    value: np.ndarray, attributes: Mapping[str, Any], stamp: dict[str, Any], number: int
) -> dict[str, Any]:
    colour = value.ndim == 3 and value.shape[2] == 3
    unique = attributes.get("uniqueId", number)
    member = _MEMBERS[_CODES[value.dtype]]
    return {
        "value": (member, value.reshape(-1)),
        "codec": {"name": ""},
        "compressedSize": value.nbytes,
        "uncompressedSize": value.nbytes,
        "uniqueId": int(unique) & 0x7FFFFFFF,
        "dataTimeStamp": stamp,
        "dimension": [
            {"size": size, "offset": 0, "fullSize": size, "binning": 1, "reverse": False}
            for size in reversed(value.shape)
        ],
        "attribute": [{"name": "ColorMode", "value": ("i", 2 if colour else 0)}],
    }
