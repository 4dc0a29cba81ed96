"""What structures of PV Access mean: values and attributes. Knows no network, and no p4p."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from camagick.tools.pva_alarms import status_of
from camagick.tools.pva_images import image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

Spec = Any  # a type as p4p says it: "d", "ad", ("S", id, [(name, spec), ...]), ("U", ...), ...

DTYPES: dict[str, np.dtype[Any]] = {
    code: np.dtype(kind)
    for code, kind in {
        "?": np.bool_, "b": np.int8, "h": np.int16, "i": np.int32, "l": np.int64, "B": np.uint8,
        "H": np.uint16, "I": np.uint32, "L": np.uint64, "f": np.float32, "d": np.float64,
    }.items()
}  # fmt: skip

#: Fields that seldom change, and the names of what they say.
_FIXED = {
    "display.units": "units",
    "display.precision": "precision",
    "display.limitLow": "lower_disp_limit",
    "display.limitHigh": "upper_disp_limit",
    "control.limitLow": "lower_ctrl_limit",
    "control.limitHigh": "upper_ctrl_limit",
    "valueAlarm.lowAlarmLimit": "lower_alarm_limit",
    "valueAlarm.highAlarmLimit": "upper_alarm_limit",
    "valueAlarm.lowWarningLimit": "lower_warning_limit",
    "valueAlarm.highWarningLimit": "upper_warning_limit",
}
_PRECISION = re.compile(r"\.(\d+)")


class NotUnderstood(ValueError):
    """A structure, or something in it, that no value can be made of; says what to do."""


class Reading(NamedTuple):
    """A value of a PV and what is known about it.

    Attributes
    ----------
    value
        Number, text, array; `Columns` of a table; `Packed` where it is compressed.
    attributes
        units, timestamp, severity, ...
    stamp
        Seconds, nanoseconds, and the unique id of an image: two updates with the same one and the
        same value are the same update.
    """

    value: Any
    attributes: Mapping[str, Any]
    stamp: tuple[int, ...] = ()

    @property
    def nbytes(self) -> int:
        """How large the value is."""
        return int(getattr(self.value, "nbytes", 0))


class Columns(dict[str, Any]):
    """What one PV has under several names: the columns of a table, readings of its fields."""

    @property
    def nbytes(self) -> int:
        """How large they are together."""
        return sum(int(getattr(column, "nbytes", 0)) for column in self.values())


class Decoder:
    """Makes readings of structures of one type.

    Parameters
    ----------
    spec
        The type.
    path
        The field to look at, ``a.b``; '' for the whole.

    Raises
    ------
    NotUnderstood
        When that type cannot become a value.
    """

    def __init__(self, spec: Spec, path: str = "") -> None:
        found, parent = _descend(spec, path)
        whole = isinstance(found, tuple) and found[1] != "enum_t"
        self._path = path
        # What is known about a plain field stands beside it.
        self._around = _joined(path if whole else parent)
        self._known = _paths(spec)
        self._value = self._code = self._choices = ""
        self._columns: list[tuple[str, str]] = []
        self._read = self._reader(found)
        self._fixed_fields = [(self._at(old), new) for old, new in _FIXED.items() if self._has(old)]
        self._format = self._at("display.format") if self._has("display.format") else ""
        self._watched = [
            self._at(name) for name in ("display", "control", "valueAlarm") if self._has(name)
        ] + ([self._choices] if self._choices else [])
        self._fixed: dict[str, Any] = {}

    def __call__(self, value: Any) -> Reading:
        """Return what an update says.

        Raises
        ------
        NotUnderstood
            When it contradicts itself.
        """
        made, more = self._read(value)
        attributes = {**self._seldom(value), **self._always(value), **more}
        stamp = (
            int(value.get(self._at("timeStamp.secondsPastEpoch")) or 0),
            int(value.get(self._at("timeStamp.nanoseconds")) or 0),
            int(more.get("uniqueId", 0)),
        )
        return Reading(made, attributes, stamp)

    def _at(self, name: str) -> str:
        return self._around + name

    def _has(self, name: str) -> bool:
        return self._at(name) in self._known

    def _reader(self, found: Spec) -> Callable[[Any], tuple[Any, dict[str, Any]]]:
        if isinstance(found, str):
            self._code, self._value = found, self._path
            return self._plain
        fields = dict(found[2])
        identity, inner = found[1], fields.get("value")
        if identity == "enum_t":
            return self._enum_at(self._path)
        if identity.startswith("epics:nt/NTNDArray:"):
            return self._image
        if identity.startswith("epics:nt/NTTable:") and isinstance(inner, tuple):
            self._columns = [(name, spec) for name, spec in inner[2] if isinstance(spec, str)]
            return self._table
        if isinstance(inner, tuple) and {"index", "choices"} <= dict(inner[2]).keys():
            return self._enum_at(self._at("value"))
        if isinstance(inner, str):
            self._code, self._value = inner, self._at("value")
            return self._plain
        names = ", ".join(fields) or "none"
        what = identity if identity != "structure" else "a structure"
        raise NotUnderstood(f"is {what} with the fields {names}: name one of them, PV#field")

    def _enum_at(self, path: str) -> Callable[[Any], tuple[Any, dict[str, Any]]]:
        self._value, self._choices = f"{path}.index", f"{path}.choices"
        return self._enum

    def _plain(self, value: Any) -> tuple[Any, dict[str, Any]]:
        return as_numpy(value.get(self._value), self._code), {}

    def _enum(self, value: Any) -> tuple[Any, dict[str, Any]]:
        return np.int32(value.get(self._value)), {}

    def _table(self, value: Any) -> tuple[Any, dict[str, Any]]:
        at = self._at("value.")
        return Columns(
            (name, as_numpy(value.get(at + name), code)) for name, code in self._columns
        ), {}

    def _image(self, value: Any) -> tuple[Any, dict[str, Any]]:
        try:
            return image(value, self._around)
        except ValueError as error:
            raise NotUnderstood(str(error)) from error

    def _always(self, value: Any) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if self._has("timeStamp.secondsPastEpoch"):
            seconds = value.get(self._at("timeStamp.secondsPastEpoch"))
            found["timestamp"] = seconds + 1e-9 * value.get(self._at("timeStamp.nanoseconds"), 0)
        if self._has("alarm.severity"):
            message = value.get(self._at("alarm.message"), "")
            found["severity"] = min(3, max(0, value.get(self._at("alarm.severity"))))
            found["status"] = status_of(value.get(self._at("alarm.status"), 0), message)
            if message:
                found["alarm_message"] = message
        return found

    def _seldom(self, value: Any) -> dict[str, Any]:
        """Return what is looked at again only where it has changed."""
        if self._fixed and not any(value.changed(name) for name in self._watched):
            return self._fixed
        found = {new: value.get(old) for old, new in self._fixed_fields}
        if not found.get("units"):
            found.pop("units", None)
        if self._format and "precision" not in found:
            digits = _PRECISION.search(value.get(self._format, ""))
            if digits:
                found["precision"] = int(digits[1])
        if self._choices:
            found["enum_strings"] = tuple(value.get(self._choices, ()))
        self._fixed = found
        return found


def _descend(spec: Spec, path: str) -> tuple[Spec, str]:
    """Return the type of a field, and the path of the structure that it stands in."""
    parent, here = "", spec
    done: list[str] = []
    for name in path.split(".") if path else ():
        fields = dict(here[2]) if isinstance(here, tuple) and here[0] == "S" else {}
        if name not in fields:
            there = ", ".join(fields) or "none"
            raise NotUnderstood(f"has no field {path!r}: at {name!r} there are {there}")
        parent = ".".join(done)
        here = fields[name]
        done.append(name)
    if isinstance(here, tuple) and here[0] != "S":
        raise NotUnderstood(f"holds at {path!r} a union, or an array of structures: no value")
    return here, parent


def _joined(parent: str) -> str:
    return f"{parent}." if parent else ""


def _paths(spec: Spec, prefix: str = "") -> set[str]:
    """Return the paths of all fields in structures."""
    found: set[str] = set()
    for name, inner in spec[2]:
        found.add(prefix + name)
        if isinstance(inner, tuple) and inner[0] == "S":
            found |= _paths(inner, f"{prefix}{name}.")
    return found


def as_numpy(value: Any, code: str) -> Any:
    """Return a field's value as it goes on: numpy's scalars and arrays, text as str.

    Parameters
    ----------
    value
        What p4p says: None is an array without elements.
    code
        Type of the field: ``d``, ``ad``, ...; ``v`` for anything.

    Raises
    ------
    NotUnderstood
        When a field of any type holds a structure.
    """
    if code in DTYPES:
        return DTYPES[code].type(value)
    if code == "s":
        return str(value)
    if code == "as":
        return _texts(value or ())
    if code.startswith("a") and code[1:] in DTYPES:
        return np.empty(0, DTYPES[code[1:]]) if value is None else value
    if isinstance(value, str | bool | int | float | np.ndarray):
        return value if isinstance(value, str | np.ndarray) else np.asarray(value)[()]
    raise NotUnderstood(f"holds {type(value).__name__} in a field of any type: no value")


def _texts(texts: Iterable[str]) -> np.ndarray:
    found = list(texts)
    return np.array(found, dtype=np.str_) if found else np.empty(0, dtype="U1")
