"""Alarm status of EPICS records, and what PV Access makes of it."""

from __future__ import annotations

#: Names of the record's alarm status codes, as IOCs write them into ``alarm.message``.
CONDITIONS = (
    "NO_ALARM", "READ", "WRITE", "HIHI", "HIGH", "LOLO", "LOW", "STATE", "COS", "COMM", "TIMEOUT",
    "HWLIMIT", "CALC", "SCAN", "LINK", "SOFT", "BAD_SUB", "UDF", "DISABLE", "SIMM",
    "READ_ACCESS", "WRITE_ACCESS",
)  # fmt: skip

# PV Access has classes (device, driver, record, database, ...) where records have codes; IOCs
# translate as follows.
_CLASSES = {
    0: (0,),
    1: (1, 2, 3, 4, 5, 6, 7, 8, 11),
    2: (9, 10, 17),
    3: (12, 13, 14, 15, 16),
    4: (18, 19, 20, 21),
}
_CLASS_OF = {code: number for number, codes in _CLASSES.items() for code in codes}
#: Where no name is told, the code that says least about the class: read, comm, soft, simm, udf.
_CODE_OF = {1: 1, 2: 9, 3: 15, 4: 19, 5: 14, 6: 17, 7: 14}


def status_of(number: int, message: str) -> int:
    """Return the record's alarm status code.

    Parameters
    ----------
    number
        ``alarm.status``: the class.
    message
        ``alarm.message``, mostly the name of the code.
    """
    if message in CONDITIONS:
        return CONDITIONS.index(message)
    return _CODE_OF.get(number, 0)


def alarm_of(severity: int, status: int, message: str = "") -> dict[str, object]:
    """Return the fields of ``alarm`` for a severity and a record's alarm status code.

    Parameters
    ----------
    severity
        0 to 3: NO_ALARM, MINOR, MAJOR, INVALID.
    status
        Code, an index of `CONDITIONS`.
    message
        Text; without one, the name of the code.
    """
    name = CONDITIONS[status] if 0 <= status < len(CONDITIONS) else ""
    return {
        "severity": severity,
        "status": _CLASS_OF.get(status, 6),
        "message": message or (name if status else ""),
    }
