"""Sink ``--to-csv``: single values into a table of text, one line in each iteration."""

from __future__ import annotations

import contextlib
import os
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from camagick.errors import BadOption, CamagickError
from camagick.options import truth
from camagick.processor import ProcessorBase, Role
from camagick.tools.csvtable import CsvTable
from camagick.tools.numbers import is_real
from camagick.tools.url import BadUrl, Template

if TYPE_CHECKING:
    from collections.abc import Iterator

    from camagick.data import Data

_NAMES = {"tab": "\t", "comma": ",", "semicolon": ";"}
#: How many files are kept open at a time.
_OPEN = 8


class CsvError(CamagickError):
    """A line cannot be written; the message names the file."""


class Processor(ProcessorBase):
    r"""Store numbers and texts in a table of text (CSV), one line an iteration.

    Every tag is a column. The first line has their names, with their units
    behind them where the source knows them: ``x [mm],I0``. Columns are those of
    the first iteration, or of the file that is there: lines are added to it. A
    value that is missing later leaves its place empty; a tag that is new then,
    and an array of more than one number, end the run.

    Each line is in the file at once, and as a whole. A killed program leaves
    whole lines, and none twice.

    What it hands on is, for each tag, where the value went: ``run.csv#x[3]``
    (line 3; the first one below the names is 0).

    Parameters
    ----------
    file : str
        Name of the file. Names in braces are values of the context (see
        ``--demote``): ``scan-{scan:03d}.csv``. Folders are made as needed.
    stamp : bool, default False
        Begin each line with the columns ``iteration`` and ``timestamp``: the
        time of the first value, in seconds since 1970, as its source tells it;
        of sources that do not, the time of writing.
    sep : str, default 'comma'
        What stands between two values: comma, semicolon, tab, or any other
        character.
    timeout : float, default 5
        Seconds to wait for another program that is writing the file.

    Examples
    --------
    A line for each change of a motor::

        caspy --from-epics x=MOTOR:x.RBV I0=DET:I0 --to-csv scan.csv stamp=1
    """

    role: Role = "sink"
    keeps_attributes: ClassVar[bool] = False
    stateful: ClassVar[bool] = True
    commits: ClassVar[bool] = True

    def __init__(
        self, file: str, *, stamp: bool = False, sep: str = "comma", timeout: float = 5.0
    ) -> None:
        try:
            self._file = Template(str(file))
        except BadUrl as error:
            raise BadOption(f"csv: {error}") from None
        if not str(file).strip() or "#" in str(file):
            raise BadOption(f"csv: {file!r}: name a file, such as scan.csv")
        if "tag" in self._file.fields:
            raise BadOption("csv: all tags are columns of one file: leave {tag} out of its name")
        self._separator = _NAMES.get(str(sep), str(sep))
        if len(self._separator) != 1 or self._separator in '"\n\r':
            raise BadOption(f"csv: sep={sep!r}: one character, or {', '.join(_NAMES)}")
        if not is_real(timeout) or timeout < 0:
            raise BadOption(f"csv: timeout={timeout!r}: seconds, 0 or more")
        self._stamp, self._timeout = truth("stamp", stamp), float(timeout)
        self._tables: OrderedDict[str, CsvTable] = OrderedDict()
        self._heads: dict[str, dict[str, str]] = {}
        self._count = 0

    async def shutdown(self) -> None:
        """Let others write."""
        while self._tables:
            self._tables.popitem()[1].close()

    def commit(self) -> None:
        """Do nothing: each line is in the file at once."""

    def process(self, data: Data, context: Data) -> dict[str, str]:
        """Add a line, and return where each value went."""
        seq = self.seq if self.placement.run else self._count
        self._count += 1
        if not data:
            return {}
        try:
            path = self._file.fill(context)
        except BadUrl as error:
            raise CsvError(f"csv: {error}") from None
        with _failing(path):
            words = {tag: _word(tag, value) for tag, value in data.items()}
            table, columns = self._table(path, data)
            new = [tag for tag in words if tag not in columns]
            if new:
                there = ", ".join(columns)
                raise ValueError(f"it has no column {new[0]}, but {there}")
            if self._stamp:
                words |= {"iteration": str(seq), "timestamp": _time(data)}
            done = table.has(seq) and bool(self.placement.run)
            named = {head: words[tag] for tag, head in columns.items() if tag in words}
            line = table.lines - 1 if done else table.add(named, seq)
        return {tag: f"{path}#{tag}[{line}]" for tag in data}

    def _table(self, path: str, data: Data) -> tuple[CsvTable, dict[str, str]]:
        """Return the open file, and the heads of its columns by their names."""
        key = os.path.realpath(path)
        if key not in self._tables:
            while len(self._tables) >= _OPEN:
                self._tables.popitem(last=False)[1].close()
            table = CsvTable(
                path, self._separator, self._timeout, self.placement.run_dir, self.placement.number
            )
            self._tables[key] = table
            if not table.columns:
                first = ["iteration", "timestamp"] if self._stamp else []
                table.head(first + [_head(data, tag) for tag in data])
            self._heads[key] = {head.partition(" [")[0]: head for head in table.columns}
            if self._stamp and "iteration" not in self._heads[key]:
                raise ValueError("it is there already, without stamp=1")
        self._tables.move_to_end(key)
        return self._tables[key], self._heads[key]


def _head(data: Data, tag: str) -> str:
    units = str(data.attributes(tag).get("units") or "").strip()
    return f"{tag} [{units}]" if units else tag


def _time(data: Data) -> str:
    for tag in data:
        when = data.attributes(tag).get("timestamp")
        if isinstance(when, (int, float)):
            return f"{when:.6f}"
    return f"{time.time():.6f}"


def _word(tag: str, value: Any) -> str:
    """Return a value as it stands in the table: the shortest text that is the same number."""
    if isinstance(value, str):
        return value
    array = np.asarray(value)
    if array.size != 1 or array.dtype.kind not in "biufcUS":
        what = f"an array of shape {array.shape}" if array.ndim else f"a {type(value).__name__}"
        raise ValueError(
            f"{tag} is {what}, and a table takes single values: store it with --to-hdf5, or make"
            " one number of it, as --npfun mean does"
        )
    one = array.reshape(-1)[0]
    return one.decode("utf-8", "replace") if isinstance(one, bytes) else str(one)


@contextlib.contextmanager
def _failing(path: str) -> Iterator[None]:
    """Say in one line what went wrong, and where."""
    try:
        yield
    except BlockingIOError:
        raise CsvError(f"csv: {path}: another program writes it") from None
    except (OSError, ValueError) as error:
        raise CsvError(f"csv: {path}: {getattr(error, 'strerror', None) or error}") from error
