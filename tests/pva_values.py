"""Typed values for round trips: what an IOC is given, and what comes out again at the other end."""

from __future__ import annotations

from typing import Any, NamedTuple


class Case(NamedTuple):
    """A record, and what it says.

    Attributes
    ----------
    name
        Of the record, behind the prefix.
    record
        Its definition, with $(P) for the prefix.
    put
        What is written to it, in the words of pvput; () leaves it at what its definition says.
    dtype
        What a pipe gets: numpy's name of the type; 'str' for text.
    """

    name: str
    record: str
    put: tuple[str, ...]
    dtype: str
    attributes: dict[str, Any] = {}  # noqa: RUF012 - never changed


_DISPLAY = """ field(EGU, "mm") field(PREC, "3") field(HOPR, "100") field(LOPR, "-100")
    field(DRVH, "50") field(DRVL, "-50") field(HIHI, "90") field(HIGH, "80") field(LOW, "-80")
    field(LOLO, "-90") field(HHSV, "MAJOR") field(HSV, "MINOR") field(LSV, "MINOR")
    field(LLSV, "MAJOR") """


def _wave(name: str, ftvl: str, length: int, more: str = "") -> str:
    return (
        f'record(waveform, "$(P){name}") {{ field(FTVL, "{ftvl}") field(NELM, "{length}") {more} }}'
    )


LIMITS = {
    "units": "mm", "precision": 3, "lower_disp_limit": -100.0, "upper_disp_limit": 100.0,
    "lower_ctrl_limit": -50.0, "upper_ctrl_limit": 50.0, "lower_alarm_limit": -90.0,
    "upper_alarm_limit": 90.0, "lower_warning_limit": -80.0, "upper_warning_limit": 80.0,
}  # fmt: skip

CASES = [
    Case("double", f'record(ao, "$(P)double") {{ {_DISPLAY} }}', ("12.3456789012345",), "float64",
         {**LIMITS, "severity": 0, "status": 0}),
    Case("alarm", f'record(ao, "$(P)alarm") {{ {_DISPLAY.replace("DRVH, ", "DRVH, ")} }}',
         ("-95",), "float64", {"severity": 0}),
    Case("hihi", f'record(ai, "$(P)hihi") {{ {_AI} }}' if False else
         'record(ai, "$(P)hihi") { field(HIHI, "5") field(HHSV, "MAJOR") field(VAL, "6")'
         ' field(PINI, "YES") field(INP, "6") }', (), "float64",
         {"severity": 2, "status": 3, "alarm_message": "HIHI"}),
]  # fmt: skip
