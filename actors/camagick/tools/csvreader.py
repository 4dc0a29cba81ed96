"""Tables of text: one line a frame, one column an array."""

from __future__ import annotations

import csv
import io
import os
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from camagick.tools.arrayfile import TIMES, ArrayFile, Missing, ReadError, StoredArray

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from camagick.tools.arrayfile import Empty

#: Columns that count and date the lines.
ITERATION, TIMESTAMP = "iteration", "timestamp"
_HEAD = re.compile(r"\s*(?P<name>.*?)\s*(?:\[(?P<units>[^\[\]]*)\])?\s*")
_TRUTH = {"True": True, "False": False}


class Column(StoredArray):
    """One column.

    Parameters
    ----------
    values
        What is in it.
    units
        What its numbers are counted in, '' where nobody knows.
    """

    def __init__(self, values: np.ndarray[Any, Any], units: str) -> None:
        self._values, self._units = values, units
        self.shape = values.shape
        self.dtype = np.dtype("U") if values.dtype.kind == "U" else values.dtype

    @property
    def attributes(self) -> Mapping[str, Any]:
        return {"units": self._units} if self._units else {}

    def read(self, index: tuple[int | slice, ...], empty: Empty) -> Any:
        return np.array(self._values[index])


class CsvReader(ArrayFile):
    """A table that was read; see `ArrayFile`.

    Parameters
    ----------
    path
        Name of the file.
    separator
        What stands between two values; '' finds out: a comma, a semicolon, a tab, or blanks.
    growing
        Somebody may be writing it: a last line without its end is left for later.
    """

    noun = "column"

    def __init__(self, path: str, separator: str = "", *, growing: bool = False) -> None:
        super().__init__(path)
        try:
            self._seen = _seen(path)
            with open(path, encoding="utf-8-sig", newline="") as file:
                text = file.read()
        except FileNotFoundError:
            raise Missing(f"{path}: there is no such file") from None
        except UnicodeDecodeError:
            raise ReadError(f"{path}: it is no text") from None
        except OSError as error:
            raise ReadError(f"{path}: {error.strerror}") from error
        if growing and not text.endswith("\n"):
            text = text[: text.rfind("\n") + 1]
        self._columns = self._parsed(text, separator)

    def _parsed(self, text: str, separator: str) -> dict[str, Column]:
        lines = list(io.StringIO(text, newline="\n"))
        start = next((at for at, line in enumerate(lines) if line.strip()), len(lines))
        # Comments; the last of them may be the names, as numpy and many others write it.
        first = next((at for at in range(start, len(lines)) if lines[at][:1] != "#"), len(lines))
        head = lines[first] if first < len(lines) else "".join(lines[start:first])
        separator = separator or _separator([head, *lines[first + 1 : first + 10]])
        rows = list(_rows(lines[first:], separator))
        names: list[str] = []
        if first > start:
            [names] = _rows([lines[first - 1].lstrip("# ")], separator) or [[]]
        if not names or (rows and len(names) != len(rows[0])):
            if not rows:
                raise Missing(f"{self.path}: it has no header and no lines")
            named = not all(_is_number(word) for word in rows[0])
            names = rows.pop(0) if named else [str(at) for at in range(len(rows[0]))]
        for at, row in enumerate(rows, first + 2):
            if len(row) != len(names):
                raise ReadError(
                    f"{self.path}: line {at} has {len(row)} values, not {len(names)}: is it"
                    f" divided by {separator!r}? sep= says by what"
                )
        return _columns(names, rows)

    def look(self, name: str) -> StoredArray | None:
        plain = name.strip("/")
        if plain.endswith(TIMES) and plain not in self._columns:
            return self._columns.get(TIMESTAMP)
        return self._columns.get(plain)

    def keys(self, group: str) -> list[str] | None:
        return list(self._columns) if not group.strip("/") else None

    def members(self, group: str) -> list[str] | None:
        names = super().members(group)
        return [name for name in names or () if name not in (ITERATION, TIMESTAMP)] or names

    def group_attributes(self, group: str) -> Mapping[str, Any]:
        return {}

    def changed(self) -> bool:
        try:
            return _seen(self.path) != self._seen
        except OSError:
            return True

    def close(self) -> None:
        """Do nothing: all of it was read."""


def _seen(path: str) -> tuple[int, int]:
    found = os.stat(path)
    return found.st_size, found.st_mtime_ns


def _separator(lines: list[str]) -> str:
    """Find out what stands between two values; blanks only where all lines agree on that."""
    found = next((mark for mark in "\t;," if mark in lines[0]), "")
    words = {len(line.lstrip("#").split()) for line in lines if line.strip()}
    return found or (" " if len(words) == 1 and words != {1} else ",")


def _rows(lines: list[str], separator: str) -> list[list[str]]:
    if separator == " ":
        return [line.split() for line in lines if line.strip()]
    return [row for row in csv.reader(lines, delimiter=separator) if row]


def _columns(names: list[str], rows: list[list[str]]) -> dict[str, Column]:
    found = {}
    for at, head in enumerate(names):
        match = _HEAD.fullmatch(head)
        name, units = (match["name"], match["units"] or "") if match else (head, "")
        found[name] = Column(_values([row[at] for row in rows]), units)
    return found


def _values(words: list[str]) -> np.ndarray[Any, Any]:
    """Return a column in the narrowest type that all of its words have; what is empty is NaN."""
    if not any(words):
        return np.full(len(words), np.nan)
    makers: tuple[tuple[Any, Callable[[str], Any]], ...] = (
        (np.int64, int), (bool, _TRUTH.__getitem__), (float, _float), (complex, _complex),
    )  # fmt: skip
    for kind, make in makers:
        try:
            return np.array([make(word) for word in words], dtype=kind)
        except (ValueError, KeyError, OverflowError):
            continue
    return np.array(words, dtype=str)


def _float(word: str) -> float:
    return float(word) if word.strip() else float("nan")


def _complex(word: str) -> complex:
    return complex(word) if word.strip() else complex("nan")


def _is_number(word: str) -> bool:
    try:
        complex(word)
    except ValueError:
        return False
    return True
