"""``--to-file``: values as text columns, JSON lines, raw frames or npy arrays in a file."""

from __future__ import annotations

import os
from pathlib import Path

from camagick.errors import BadOption, CamagickError
from camagick.streamsink import StreamSink


class Processor(StreamSink):
    """Write values into a file: columns of text, JSON lines, frames, arrays.

    One line (frame, array) for each iteration, written as a whole; so a reader that follows the
    file sees whole lines, and several programs may append to one file. Formats are those of
    ``--to-pipe``. A file that is there already is not touched, unless one says what to do with it.

    When the process is killed, the next one goes on at the very byte: nothing is lost and nothing
    written twice. Lines are safe from a power cut when the run has ended.

    Parameters
    ----------
    *tags : str
        The file, unless ``file=`` names it, and then which tags to write, in which order; all, if
        none is named.
    file : str, optional
        The file.
    append : bool, default False
        1: write behind what is there.
    overwrite : bool, default False
        1: replace what is there.
    format : str, default 'text'
        `text`, `json`, `lines`, `raw` or `npy`.
    sep : str, optional
        What stands between columns: a blank, if not given.
    header : bool, default False
        1: the first line holds the names of the columns, behind a ``#``.

    Examples
    --------
    A table of two values, and its header::

        caspy --from-epics ene=ENERGY cur=CURRENT --to-file scan.csv ene cur sep=, header=1

    All values as JSON, added to what is there::

        caspy --from-epics EXAMPLE:jedda --to-file log.json format=json append=1
    """

    def __init__(
        self,
        *tags: str,
        file: str | None = None,
        append: bool = False,
        overwrite: bool = False,
        format: str = "text",  # noqa: A002 - the word that people look for
        sep: str | None = None,
        header: bool = False,
    ) -> None:
        names = list(tags)
        if file is None:
            if not names:
                raise BadOption("file: name a file: --to-file scan.txt x y")
            file = names.pop(0)
        for key, value in (("append", append), ("overwrite", overwrite)):
            if value not in (0, 1):
                raise BadOption(f"file: {key}={value!r} is neither 0 nor 1")
        if append and overwrite:
            raise BadOption("file: append=1 and overwrite=1: one of them")
        self.prepare(names, format, sep, header)
        self._path = Path(str(file)).expanduser()
        self._append, self._overwrite = bool(append), bool(overwrite)
        self._handle: int | None = None

    async def startup(self) -> None:
        """Open the file.

        Raises
        ------
        CamagickError
            When it cannot be opened, or is there already.
        """
        first = self.progress.open_first()
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        if first and self._overwrite:
            flags |= os.O_TRUNC
        try:
            self._handle = os.open(self._path, flags, 0o666)
            size = os.fstat(self._handle).st_size
        except OSError as error:
            raise CamagickError(f"cannot write {self._path}: {error.strerror}") from None
        if first and size and not self._append:
            raise CamagickError(
                f"{self._path} is there already: append=1 adds to it, overwrite=1 replaces it"
            )
        self.continues = first and size > 0

    def write(self, content: bytes | memoryview) -> None:
        """Append the bytes of an iteration.

        Raises
        ------
        CamagickError
            When they cannot be written; the cause is the system's error.
        """
        if self._handle is None:
            raise RuntimeError("a sink that was not started")
        try:
            self._write(self._handle, content)
        except OSError as error:
            raise CamagickError(f"cannot write {self._path}: {error.strerror}") from error

    def _write(self, handle: int, content: bytes | memoryview) -> None:
        done = 0
        if self.progress.began(self.seq):  # by a predecessor: how much of it is there?
            there = os.pread(handle, len(content), self.progress.base)
            done = len(there) if bytes(content[: len(there)]) == there else 0
        else:
            self.progress.begin(self.seq, os.fstat(handle).st_size)
        view = memoryview(content)
        while done < len(view):
            done += os.write(handle, view[done:])

    async def shutdown(self) -> None:
        """Make safe what was written, and close the file."""
        handle, self._handle = self._handle, None
        if handle is not None:
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
