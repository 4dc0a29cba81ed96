"""Lines of text columns: numbers where they are, under the names of their columns."""

from __future__ import annotations

import csv
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from camagick.tools.decoders import BadFormat, Lines, Unreadable, shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: Name of a column that is left out.
NOTHING = "_"
#: Behind the last name: it takes all columns that are left, as an array.
REST = "..."
_FIELD = re.compile(r'"((?:[^"]|"")*)"|(\S+)')


class Columns(Lines):
    """Splits lines into columns.

    The first line of data says which columns are numbers; they stay so.

    Parameters
    ----------
    names
        Of the columns, from the first on; further ones are left out. Empty: of the header.
    sep
        What stands between them; None for any white space.
    dtype
        Of numbers; None: all columns are text.
    comment
        Lines that begin so are left out; '' for none.
    header
        The first line holds the names; they are used where `names` is empty.
    skip
        Lines to leave out before that.
    """

    def __init__(
        self, names: Sequence[str], sep: str | None, dtype: np.dtype[Any] | None, comment: str,
        *, header: bool, skip: int,
    ) -> None:  # fmt: skip
        super().__init__(skip=skip)
        self._given, self._sep, self._comment = check_names(names), sep, comment
        self._make = dtype.type if dtype is not None else None
        self._header = header
        self._names = list(self._given)
        self._awaits_header = header
        self._numbers: list[bool] = []
        self._rows = 0

    def line(self, text: str) -> Mapping[str, Any] | None:
        bare = text.strip()
        if not bare:
            return None
        if self._awaits_header:
            self._take_header(bare)
            return None
        if self._comment and bare.startswith(self._comment):
            return None
        fields = self._fields(text)
        names = self._names
        if len(fields) < len(names):
            has = f"{len(fields)} column{'s' * (len(fields) != 1)}, {len(names)} are named"
            raise Unreadable(f"has {has}: {shown(text)}")
        if names and names[-1].endswith(REST):
            values = self._converted(fields, text)
            last = len(names) - 1
            rest = values[last:]
            array = np.array(rest, None if isinstance(rest[0], str) else self._make)
            found = {**dict(zip(names[:-1], values, strict=False)), names[-1][: -len(REST)]: array}
        else:
            values = self._converted(fields[: len(names)], text)
            found = dict(zip(names, values, strict=True))
        found.pop(NOTHING, None)
        return found

    def _take_header(self, text: str) -> None:
        self._awaits_header = False
        if not self._given:
            if self._comment:
                text = text.removeprefix(self._comment)
            try:
                self._names = check_names(self._fields(text.strip()))
            except BadFormat as error:
                raise Unreadable(f"is no header: {error}: {shown(text)}", fatal=True) from None

    def _fields(self, text: str) -> list[str]:
        if self._sep is None:
            if '"' not in text:
                return text.split()
            return [quoted.replace('""', '"') or word for quoted, word in _FIELD.findall(text)]
        if '"' not in text:
            return [field.strip() for field in text.split(self._sep)]
        return next(csv.reader([text], delimiter=self._sep, skipinitialspace=True), [])

    def _converted(self, fields: Sequence[str], text: str) -> list[Any]:
        if self._make is None:
            return list(fields)
        values = [_number(field, self._make) for field in fields]
        are = [not isinstance(value, str) for value in values]
        self._learn(are)
        for place, (number, is_number) in enumerate(zip(self._numbers, are, strict=False)):
            if not number:
                values[place] = fields[place]
            elif not is_number:
                name = self._names[min(place, len(self._names) - 1)].removesuffix(REST)
                if name != NOTHING:
                    raise Unreadable(
                        f"has {shown(fields[place])} in column {place + 1} ({name}), not a number:"
                        f" {shown(text)}"
                    )
        return values

    def _learn(self, are: list[bool]) -> None:
        self._rows += 1
        if self._rows == 1 or len(are) != len(self._numbers):
            self._numbers = are
        elif self._rows == 2 and any(are) and not any(self._numbers):
            self._numbers = are
            raise Unreadable(
                "has numbers where the line before has none: was that a header?"
                " header=1 takes names from it, skip=1 leaves it out"
            )

    def restart(self) -> None:
        super().restart()
        self._awaits_header = self._header

    def remember(self) -> Mapping[str, Any]:
        known: dict[str, Any] = {"lines": self._lines, "rows": self._rows}
        return {**known, "numbers": self._numbers, "names": self._names}

    def recall(self, known: Mapping[str, Any]) -> None:
        super().recall(known)
        self._rows = int(known["rows"])
        self._numbers, self._names = list(known["numbers"]), list(known["names"])
        self._awaits_header = False


def check_names(names: Sequence[str]) -> list[str]:
    """Return names of columns.

    Raises
    ------
    BadFormat
        Where they are none.
    """
    words = [str(name) for name in names]
    bare = [word.removesuffix(REST) for word in words if word != NOTHING]
    if any(word.endswith(REST) for word in words[:-1]):
        raise BadFormat(f"only the last column can be named NAME{REST}")
    for place, name in enumerate(bare):
        if not name or name in bare[:place]:
            raise BadFormat(f"{name!r} is named twice" if name else "a column without a name")
    return words


def _number(field: str, make: Any) -> Any:
    """Return a field as a number, or as it is."""
    try:
        return make(field)
    except (ValueError, OverflowError):
        return field
