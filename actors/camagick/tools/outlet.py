"""Writing to a descriptor so that a successor knows what was written, also after a kill."""

from __future__ import annotations

import mmap
import os
import select
import stat

#: What a pipe takes at once, or not at all (PIPE_BUF): a kill cannot part it.
_PIPE_BYTES = 4096
_FILE_BYTES = 1 << 20
_SEQ, _DONE, _BASE, _FIRST, _OPENED = range(5)


class Progress:
    """How much of an iteration was written, in memory that outlives the process."""

    def __init__(self) -> None:
        self._words = memoryview(mmap.mmap(-1, mmap.PAGESIZE)).cast("Q")

    def done(self, seq: int) -> int:
        """Return how many bytes of an iteration were written already."""
        return self._words[_DONE] if self._words[_SEQ] == seq + 1 else 0

    def began(self, seq: int) -> bool:
        """Tell whether an iteration was begun by a predecessor, or this process."""
        return self._words[_SEQ] == seq + 1

    def begin(self, seq: int, base: int = 0) -> None:
        """Note that an iteration is written from now on."""
        self._words[_SEQ] = 0
        self._words[_FIRST] = self._words[_FIRST] or seq + 1
        self._words[_DONE], self._words[_BASE] = 0, base
        self._words[_SEQ] = seq + 1

    def note(self, done: int) -> None:
        """Note how much of it was written."""
        self._words[_DONE] = done

    def is_first(self, seq: int) -> bool:
        """Tell whether nothing was written before an iteration."""
        return self._words[_FIRST] in (0, seq + 1)

    def open_first(self) -> bool:
        """Tell whether this is the first process that opens what is written to."""
        first, self._words[_OPENED] = not self._words[_OPENED], 1
        return first

    @property
    def base(self) -> int:
        """Where the file ended before the iteration."""
        return self._words[_BASE]


def write_all(handle: int, content: bytes | memoryview, progress: Progress, seq: int) -> None:
    """Write an iteration to a pipe, a terminal or a device, from where it was left off.

    Raises
    ------
    BrokenPipeError
        When nobody reads any more.
    OSError
        When it cannot be written.
    """
    if not progress.began(seq):
        progress.begin(seq)
    view, done = memoryview(content), progress.done(seq)
    pieces = _PIPE_BYTES if not stat.S_ISREG(os.fstat(handle).st_mode) else _FILE_BYTES
    room = select.poll()
    room.register(handle, select.POLLOUT)
    while done < len(view):
        room.poll()
        done += os.write(handle, view[done : done + pieces])
        progress.note(done)
