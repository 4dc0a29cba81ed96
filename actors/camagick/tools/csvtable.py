"""A table of text that gets line after line, each one as a whole."""

from __future__ import annotations

import csv
import io
import os
from typing import TYPE_CHECKING

from camagick.tools.filelock import WriterLock
from camagick.tools.redo import write_all
from camagick.tools.runrecord import RunRecord

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class CsvTable:
    """One file of lines.

    Parameters
    ----------
    path
        Its name; the folders above it are made where they do not exist.
    separator
        What stands between two values.
    timeout
        Seconds to wait for another program that writes it.
    run_dir, actor
        Where it is noted how far it has come, and by whom; '' where nothing is ever done again.

    Attributes
    ----------
    columns
        The names in the header, with their units; empty before there is one.
    lines
        How many lines there are behind the header.

    Raises
    ------
    BlockingIOError
        When another program writes it.
    OSError, ValueError
        When it cannot be written, or is no such table.
    """

    def __init__(
        self, path: str, separator: str, timeout: float, run_dir: str = "", actor: int = 0
    ) -> None:
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        self._separator = separator
        self._lock = WriterLock(path, timeout)
        self._record: RunRecord | None = None
        self.columns: list[str] = []
        self.lines, self._seq, self._size = 0, -1, 0
        try:
            if run_dir:
                self._record = RunRecord(run_dir, actor, path)
            self._recover()
            self._read()
        except BaseException:
            self._let_go()
            raise

    def _recover(self) -> None:
        """Take back what a killed process may have done by half."""
        self._size = self._lock.size
        known = self._record.read() if self._record is not None else None
        if known is not None:
            self._seq, length = known
            self._cut(min(length, self._size))  # the rest is given again
            return
        # Of another run, nobody knows more than what a line is.
        end = self._size
        while end:
            start = max(0, end - 2**16)
            found = os.pread(self._lock.fd, end - start, start).rfind(b"\n")
            if found >= 0:
                self._cut(start + found + 1)
                return
            end = start
        self._cut(0)

    def _cut(self, size: int) -> None:
        if size < self._size:
            os.ftruncate(self._lock.fd, size)
            self._size = size

    def _read(self) -> None:
        with open(self._lock.fd, encoding="utf-8-sig", newline="", closefd=False) as file:
            rows = csv.reader(file, delimiter=self._separator)
            try:
                self.columns = next(rows, [])
                self.lines = sum(1 for row in rows if row)
            except (csv.Error, UnicodeDecodeError):
                raise ValueError("it is there already, and no table of text") from None

    def has(self, seq: int) -> bool:
        """Tell whether an iteration of this run is in the file."""
        return seq <= self._seq

    def head(self, columns: Sequence[str]) -> None:
        """Write the header of a new table."""
        self._append(columns)
        self.columns = list(columns)
        if self._record is not None:
            self._record.write(self._seq, self._size)

    def add(self, values: Mapping[str, str], seq: int) -> int:
        """Add a line, and return its number.

        Parameters
        ----------
        values
            The text of each column; what is missing stays empty.
        seq
            The iteration.
        """
        if self._lock.deleted:
            raise OSError("it was deleted while it was being written")
        self._append([values.get(name, "") for name in self.columns])
        self._seq = seq
        if self._record is not None:
            self._record.write(seq, self._size)
        self.lines += 1
        return self.lines - 1

    def _append(self, words: Sequence[str]) -> None:
        out = io.StringIO(newline="")
        csv.writer(out, delimiter=self._separator, lineterminator="\n").writerow(words)
        line = out.getvalue().encode()
        try:
            write_all(self._lock.fd, memoryview(line), self._size)
        except OSError:
            os.ftruncate(self._lock.fd, self._size)  # a full disk leaves no half line
            raise
        self._size += len(line)

    def close(self) -> None:
        """Let others write."""
        self._let_go()

    def _let_go(self) -> None:
        if self._record is not None:
            self._record.close()
        self._lock.release()
