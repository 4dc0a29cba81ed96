"""Values between numpy and Tango. Knows no network, and needs no pytango."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: Tango's states, in the order of their numbers.
STATES = (
    "ON", "OFF", "CLOSE", "OPEN", "INSERT", "EXTRACT", "MOVING", "STANDBY", "FAULT", "INIT",
    "RUNNING", "ALARM", "DISABLE", "UNKNOWN",
)  # fmt: skip

#: Severity of each quality: VALID, INVALID, ALARM, CHANGING, WARNING.
SEVERITIES = (0, 3, 2, 0, 1)
INVALID = 3

_DTYPES: dict[str, Any] = {
    "DevBoolean": np.bool_,
    "DevDouble": np.float64,
    "DevEnum": np.int16,
    "DevFloat": np.float32,
    "DevLong": np.int32,
    "DevLong64": np.int64,
    "DevShort": np.int16,
    "DevState": np.int16,
    "DevUChar": np.uint8,
    "DevULong": np.uint32,
    "DevULong64": np.uint64,
    "DevUShort": np.uint16,
}
_TEXTS = ("DevString", "ConstDevString")
_YES, _NO = ("1", "on", "true", "yes"), ("0", "off", "false", "no")
_DIMENSIONS = {"SCALAR": 0, "SPECTRUM": 1, "IMAGE": 2}


class Reading(NamedTuple):
    """A value of an attribute, or of a command, and what is known about it."""

    value: Any
    attributes: Mapping[str, Any]


class Form(NamedTuple):
    """What an attribute, or the argument of a command, takes.

    Attributes
    ----------
    kind
        Tango's name of the type: DevDouble, DevString, ...
    dimensions
        0 for a scalar, 1 for a spectrum, 2 for an image.
    labels
        Of an enumeration, or of states; empty otherwise.
    """

    kind: str
    dimensions: int = 0
    labels: tuple[str, ...] = ()

    @classmethod
    def of(cls, kind: str, layout: str = "SCALAR", labels: Sequence[str] = ()) -> Form:
        """Return the form for Tango's own names of a type and a format."""
        return cls(kind, _DIMENSIONS[layout], STATES if kind == "DevState" else tuple(labels))

    @classmethod
    def of_command(cls, kind: str) -> Form:
        """Return the form for the argument type of a command, such as DevVarDoubleArray.

        Raises
        ------
        ValueError
            Where numbers and texts are mixed, or the type is unknown here.
        """
        element = kind
        if kind.startswith("DevVar") and kind.endswith("Array"):
            element = {"Char": "UChar"}.get(kind[6:-5], kind[6:-5])
            element = f"Dev{element}"
        if element not in (*_DTYPES, *_TEXTS):
            raise ValueError(f"arguments of type {kind} are not supported")
        return cls.of(element, "SCALAR" if element == kind else "SPECTRUM")


def incoming(value: Any, form: Form, *, text: bool = False) -> Any:
    """Return a value of Tango as it goes on.

    Parameters
    ----------
    value
        As pytango gives it; None where there is none.
    form
        What it is.
    text
        Whether states and enumerations become their labels instead of their numbers.

    Returns
    -------
    Any
        A numpy scalar, an array of the same shape in native byte order, or str. None where a
        scalar has no value.
    """
    if form.kind == "DevEncoded":
        return np.frombuffer(bytes(value[1]), np.uint8) if value is not None else None
    if value is None:  # older pytango's empty spectrum, or no value at all
        empty = np.empty((0,) * form.dimensions, _DTYPES.get(form.kind, np.str_))
        return empty if form.dimensions else None
    if form.kind in _TEXTS or form.kind not in _DTYPES:
        return str(value) if form.dimensions == 0 else np.array(value, dtype=np.str_)
    array = np.array(value, dtype=_DTYPES[form.kind])  # a copy: pytango's belongs to its event
    if text and form.labels:
        return _labelled(array, form.labels)
    return array if form.dimensions else array[()]


def missing(form: Form) -> Any:
    """Return what stands for an invalid value: NaN for a float, None (nothing) otherwise."""
    is_float = form.kind in ("DevDouble", "DevFloat") and form.dimensions == 0
    return _DTYPES[form.kind](math.nan) if is_float else None


def _labelled(numbers: Any, labels: Sequence[str]) -> Any:
    names = [labels[n] if 0 <= n < len(labels) else str(n) for n in numbers.reshape(-1)]
    return names[0] if numbers.ndim == 0 else np.array(names, np.str_).reshape(numbers.shape)


def outgoing(value: Any, form: Form) -> Any:
    """Return a value in the very type that Tango asks for.

    Parameters
    ----------
    value
        A number, text, or an array of these.
    form
        What the attribute, or the command, takes.

    Returns
    -------
    Any
        bool, int, float or str for a scalar; for others an array, or (nested) lists of str.

    Raises
    ------
    ValueError
        When it does not fit, with the reason.
    """
    array = np.asarray(value.decode("utf-8", "replace") if isinstance(value, bytes) else value)
    if form.dimensions == 0 and array.size == 1:
        array = array.reshape(())
    elif form.dimensions == 1 and array.ndim == 0:
        array = array.reshape(1)
    if array.ndim != form.dimensions:
        names = {number: name for name, number in _DIMENSIONS.items()}
        given = f"array of shape {array.shape}" if array.ndim else "scalar"
        raise ValueError(f"it is a {names[form.dimensions].lower()}, and this is a {given}")
    if form.kind in _TEXTS:
        return array.astype(np.str_).tolist()
    if form.kind not in _DTYPES:
        raise ValueError(f"values of type {form.kind} are not supported")
    numbers = _numbers(array, form)
    return numbers if form.dimensions else numbers.item()


def _numbers(array: Any, form: Form) -> Any:
    if array.dtype.kind == "U":
        one = [_number(str(text), form) for text in array.reshape(-1)]
        array = np.array(one).reshape(array.shape)
    if array.dtype.kind not in "biuf":
        raise ValueError("this is neither a number nor text")
    target = np.dtype(_DTYPES[form.kind])
    if target.kind in "iu":
        _check_integer(array, form, target)
    return array.astype(target)


def _check_integer(array: Any, form: Form, target: np.dtype[Any]) -> None:
    if array.size == 0:
        return
    if array.dtype.kind == "f" and not np.all(np.isfinite(array) & (array == np.rint(array))):
        raise ValueError(f"it takes whole numbers ({form.kind})")
    limits = np.iinfo(target)
    least, most = limits.min, limits.max
    if form.labels:
        least, most = 0, len(form.labels) - 1
    low, high = int(array.min()), int(array.max())
    if low < least or high > most:
        names = f" ({', '.join(form.labels)})" if form.labels else ""
        raise ValueError(f"it takes {least} to {most}{names}")


def _number(text: str, form: Form) -> float | int | bool:
    word = text.strip()
    if word in form.labels:
        return form.labels.index(word)
    folded = [label.casefold() for label in form.labels]
    if word.casefold() in folded:
        return folded.index(word.casefold())
    if form.kind == "DevBoolean" and word.lower() in (*_YES, *_NO):
        return word.lower() in _YES
    for kind in (int, float):
        try:
            return kind(word)
        except ValueError:
            continue
    known = f"{', '.join(form.labels)}, or a number" if form.labels else "a number"
    raise ValueError(f"it takes {known}, not the text {word!r}")


def described(config: Any) -> dict[str, Any]:
    """Return what the configuration of an attribute says about each of its values.

    Parameters
    ----------
    config
        pytango's AttributeInfoEx.

    Returns
    -------
    dict
        `units`, `precision`, `enum_strings` and limits, as far as they are set.
    """
    alarms = config.alarms
    limits = {
        "lower_ctrl_limit": config.min_value,
        "upper_ctrl_limit": config.max_value,
        "lower_alarm_limit": alarms.min_alarm,
        "upper_alarm_limit": alarms.max_alarm,
        "lower_warning_limit": alarms.min_warning,
        "upper_warning_limit": alarms.max_warning,
    }
    found: dict[str, Any] = {}
    if config.unit and config.unit != "No unit":
        found["units"] = str(config.unit)
    precision = config.format.partition(".")[2][:-1]
    if config.format[-1:] in ("f", "e", "g") and precision.isdigit():
        found["precision"] = int(precision)
    for name, text in limits.items():
        try:
            found[name] = float(text)
        except ValueError:  # "Not specified"
            continue
    return found
