"""Typed values for round trips: what an IOC is given, and what comes out again at the other end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Case:
    """A record of a C IOC, and what a pipe gets of it.

    Attributes
    ----------
    name
        Of the record, behind the prefix.
    record
        Its type and its fields; ``VAL`` and ``PINI`` among them where nothing is put.
    put
        What is written to it, in the words of pvput; () for what its definition says.
    dtype
        Numpy's name of the type that a pipe gets; 'str' for text.
    attributes
        What is known about it, beside its timestamp.
    """

    name: str
    record: tuple[str, dict[str, str]]
    put: tuple[str, ...]
    dtype: str
    attributes: dict[str, Any] = field(default_factory=dict)

    @property
    def stored(self) -> Any:
        """The value as a file has to have it: a number, an array, text, or a list of texts."""
        is_array = self.record[0] == "waveform"
        texts = list(self.put[1:] if is_array else self.put or ("",))
        if self.dtype == "str":  # the C IOC itself serves no more than 39 characters of a string
            return texts if is_array else texts[0][:39]
        labels = self.attributes.get("enum_strings", ())
        numbers = [labels.index(text) if text in labels else text for text in texts]
        made = np.array(numbers, dtype=self.dtype)
        return made if is_array else made[0]

    @property
    def text(self) -> str:
        """The record as a database says it."""
        kind, fields = self.record
        inner = " ".join(f'field({name}, "{value}")' for name, value in fields.items())
        return f'record({kind}, "$(P){self.name}") {{ {inner} }}'


_DISPLAY = {
    "EGU": "mm", "PREC": "3", "HOPR": "100", "LOPR": "-100", "DRVH": "150", "DRVL": "-150",
    "HIHI": "90", "HIGH": "80", "LOW": "-80", "LOLO": "-90",
    "HHSV": "MAJOR", "HSV": "MINOR", "LSV": "MINOR", "LLSV": "MAJOR",
}  # fmt: skip
LIMITS = {
    "units": "mm", "precision": 3, "lower_disp_limit": -100.0, "upper_disp_limit": 100.0,
    "lower_ctrl_limit": -150.0, "upper_ctrl_limit": 150.0, "lower_alarm_limit": -90.0,
    "upper_alarm_limit": 90.0, "lower_warning_limit": -80.0, "upper_warning_limit": 80.0,
}  # fmt: skip
_FINE = {"severity": 0, "status": 0}
_LONG_TEXT = "A text that is longer than the forty characters of a string record: äöü €"


def _ao(name: str, value: str, **attributes: Any) -> Case:
    return Case(name, ("ao", _DISPLAY), (value,), "float64", {**LIMITS, **attributes})


def _wave(name: str, ftvl: str, dtype: str, *values: str, length: int = 8) -> Case:
    record = ("waveform", {"FTVL": ftvl, "NELM": str(length)})
    return Case(name, record, (str(len(values)), *values), dtype)


CASES = [
    _ao("double", "12.3456789012345", **_FINE),
    _ao("high", "85.5", severity=1, status=4),
    _ao("lolo", "-95", severity=2, status=5),
    Case("nan", ("ao", {}), ("nan",), "float64", {"severity": 3, "status": 17}),
    Case("inf", ("ao", {}), ("-inf",), "float64"),
    Case("tiny", ("ao", {}), ("2.2250738585072014e-308",), "float64"),
    Case("huge", ("ao", {}), ("1.7976931348623157e308",), "float64"),
    Case("long", ("longout", {"EGU": "counts"}), ("-2147483648",), "int32", {"units": "counts"}),
    Case("int64", ("int64out", {}), ("9223372036854775807",), "int64"),
    Case("string", ("stringout", {}), ("hällo wörld",), "str"),
    Case("nothing", ("stringout", {"VAL": "", "PINI": "YES"}), (), "str"),
    Case("longtext", ("lso", {"SIZV": "200"}), (_LONG_TEXT,), "str"),
    Case("switch", ("bo", {"ZNAM": "closed", "ONAM": "open"}), ("open",), "int32",
         {"enum_strings": ("closed", "open")}),
    Case("choice", ("mbbo", {"ZRST": "zero", "ONST": "one", "TWST": "two"}), ("two",), "int32",
         {"enum_strings": ("zero", "one", "two")}),
    _wave("doubles", "DOUBLE", "float64", "1.5", "nan", "-inf", "1e300"),
    _wave("floats", "FLOAT", "float32", "1.5", "-0.25"),
    _wave("longs", "LONG", "int32", "2147483647", "-2147483648", "0"),
    _wave("int64s", "INT64", "int64", "9223372036854775807", "-9223372036854775808"),
    _wave("uint64s", "UINT64", "uint64", "18446744073709551615", "0"),
    _wave("ulongs", "ULONG", "uint32", "4294967295"),
    _wave("shorts", "SHORT", "int16", "32767", "-32768"),
    _wave("ushorts", "USHORT", "uint16", "65535", "1"),
    _wave("bytes", "CHAR", "int8", "127", "-128"),
    _wave("ubytes", "UCHAR", "uint8", "255", "0"),
    _wave("strings", "STRING", "str", "first", "", "third"),
    _wave("empty", "DOUBLE", "float64"),
]  # fmt: skip
DATABASE = "\n".join(case.text for case in CASES)
