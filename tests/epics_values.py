"""One table of typed values: what a record of a real IOC holds, and what clients have to see of it.

Whatever serves such values again, over whichever protocol, has to serve them as they were.
"""

from __future__ import annotations

from typing import NamedTuple

PREFIX = "TEST:"


class Row(NamedTuple):
    """A value.

    Attributes
    ----------
    tag
        Names the row; the record is PREFIX + tag.
    record
        Type of the record, and its fields.
    shown
        The value as ``caget -t -c`` shows it, text in arrays of characters with ``-S``.
    kind
        Native type, as ``cainfo`` shows it.
    declared
        What ``--to-ioc`` has to be told, where the first value does not say it.
    limits
        Display, control, alarm, and warning limits, lower before upper.
    labels
        Of an enum.
    """

    tag: str
    record: str
    shown: str
    kind: str
    declared: str = ""
    limits: tuple[float, ...] = ()
    labels: tuple[str, ...] = ()

    @property
    def db(self) -> str:
        """The record as a database has it."""
        kind, _, fields = self.record.partition(" ")
        pairs = [field.split("=", 1) for field in fields.split(";") if field]
        body = " ".join(f'field({name}, "{value}")' for name, value in pairs)
        return f'record({kind}, "{PREFIX}{self.tag}") {{ field(PINI, "YES") {body} }}\n'


def _wave(kind: str, values: str, count: int) -> str:
    return f"waveform FTVL={kind};NELM={count};INP={values}"


LONG_TEXT = "A text that is longer than the forty characters of a string. " * 2 + "So it is."

ROWS = (
    Row(
        "limits", "ao VAL=12.5;EGU=mm;PREC=3;LOPR=-20;HOPR=20;DRVL=-15;DRVH=15;LOLO=-14;HIHI=14;"
        "LOW=-10;HIGH=10;HSV=MINOR;LSV=MINOR;HHSV=MAJOR;LLSV=MAJOR", "12.5", "DBF_DOUBLE",
        limits=(-20, 20, -15, 15, -14, 14, -10, 10),
    ),
    Row("double", "ao VAL=-1.7976931348623157e308;EGU=µm", "-1.79769e+308", "DBF_DOUBLE"),
    Row("tiny", "ao VAL=2.2250738585072014e-308", "2.22507e-308", "DBF_DOUBLE"),
    Row("nan", "ao VAL=nan", "nan", "DBF_DOUBLE"),
    Row("inf", "ao VAL=-inf", "-inf", "DBF_DOUBLE"),
    Row("float", _wave("FLOAT", "[0.1]", 1), "0.1", "DBF_FLOAT"),
    Row("long", "longout VAL=2147483647;EGU=counts;HIGH=5;HSV=MAJOR;HOPR=2147483647;LOPR=-7",
        "2147483647", "DBF_LONG", limits=(-7, 2147483647, -7, 2147483647, 0, 0, 0, 5)),
    Row("least", "longout VAL=-2147483648", "-2147483648", "DBF_LONG"),
    Row("short", _wave("SHORT", "[-32768]", 1), "-32768", "DBF_SHORT"),
    Row("text", _wave("CHAR", "{const:'ok'}", 60), "ok", "DBF_CHAR", declared="text:60"),
    Row("longtext", _wave("CHAR", f"{{const:'{LONG_TEXT}'}}", 400), LONG_TEXT, "DBF_CHAR"),
    Row("string", "stringout VAL=blue °C", r"blue \xc2\xb0C", "DBF_STRING"),
    Row("nostring", "stringout VAL=", "", "DBF_STRING"),
    Row("states", "mbbo VAL=2;ZRST=off;ONST=on;TWST=auto;TWSV=MINOR", "auto", "DBF_ENUM",
        labels=("off", "on", "auto")),
    Row("bit", "bo VAL=1;ZNAM=shut;ONAM=open", "open", "DBF_ENUM", labels=("shut", "open")),
    Row("doubles", _wave("DOUBLE", "[1.5,-2.5e300,3]", 5), "3 1.5 -2.5e+300 3", "DBF_DOUBLE"),
    Row("floats", _wave("FLOAT", "[1.5,0.1]", 2), "2 1.5 0.1", "DBF_FLOAT"),
    Row("longs", _wave("LONG", "[1,-2147483648,2147483647]", 3),
        "3 1 -2147483648 2147483647", "DBF_LONG"),
    Row("shorts", _wave("SHORT", "[32767,-32768]", 2), "2 32767 -32768", "DBF_SHORT"),
    Row("strings", _wave("STRING", "['one','two three']", 2), "2 one two three", "DBF_STRING"),
    Row("empty", _wave("DOUBLE", "[]", 5), "", "DBF_DOUBLE", declared="float:5"),
)  # fmt: skip
DB = "".join(row.db for row in ROWS)
