"""Bytes that were read and not yet used, in memory that outlives the process that reads them."""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import struct
import termios

#: So much is read at once, at most.
CHUNK_BYTES = 1 << 20
#: So much of what nobody needs any more stays in memory, at most.
_SPARE_BYTES = 8 << 20
_HEAD_BYTES = mmap.PAGESIZE
_MARK_BYTES = 16
_NORESERVE = 0x4000  # of <sys/mman.h>: memory is taken when it is written to
# Words of the head.
_END, _GOAL, _FLOOR, _COUNT, _BASE = range(5)
_MARK_AT = 64


class Reservoir:
    """A ring of bytes between a file descriptor and whoever understands them.

    Positions count the bytes since the beginning of the stream; they only grow. The memory is
    anonymous and shared: made in the launcher, it is inherited by every process that is forked from
    there. So a process that takes the place of a killed one finds what that had read.

    To be killed while reading is no loss either: a random mark is put where the bytes will come to,
    and the number of bytes that wait, which a pipe then gives at once and in full, is noted before.
    A successor sees by the mark whether they came.

    Parameters
    ----------
    capacity : int
        Bytes that it can hold; only what is used takes memory.

    Attributes
    ----------
    capacity
        See above.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = -(-capacity // mmap.PAGESIZE) * mmap.PAGESIZE
        flags = mmap.MAP_SHARED | mmap.MAP_ANONYMOUS | _NORESERVE
        self._memory = mmap.mmap(-1, _HEAD_BYTES + self.capacity, flags=flags)
        whole = memoryview(self._memory)
        self._words = whole[:_MARK_AT].cast("Q")
        self._ring = whole[_HEAD_BYTES:]
        self._trimmed = 0  # before this, memory was given back
        self._memory[_MARK_AT : _MARK_AT + _MARK_BYTES] = os.urandom(_MARK_BYTES)

    @property
    def end(self) -> int:
        """Position behind the last byte that was read."""
        return self._words[_END]

    @property
    def floor(self) -> int:
        """Position of the first byte that is kept."""
        return self._words[_FLOOR]

    @property
    def count(self) -> int:
        """How many items lie before `floor`, as was said to `release`."""
        return self._words[_COUNT]

    @property
    def room(self) -> int:
        """How many bytes can be read now."""
        return self.capacity - (self.end - self.floor)

    def recover(self) -> None:
        """See what a predecessor had read, in its last moment too."""
        words = self._words
        end, goal = words[_END], words[_GOAL]
        if goal > end:
            size = min(_MARK_BYTES, goal - end)
            if self.copy(end, end + size) != self._mark(size):
                words[_END] = goal
        self._trimmed = self.floor - self.floor % mmap.PAGESIZE

    def release(self, position: int, count: int) -> None:
        """Let go of what lies before a position, and note how many items those were."""
        if position > self.floor:
            self._words[_COUNT] = count
            self._words[_FLOOR] = position
            if position - self._trimmed >= _SPARE_BYTES:
                self._trim(position - position % mmap.PAGESIZE)

    def forget(self, position: int = 0) -> None:
        """Begin again with another stream, or at another place of it; nothing is kept."""
        for word in (_GOAL, _COUNT, _END, _FLOOR):
            self._words[word] = position if word in (_END, _FLOOR) else 0
        self._trimmed = position - position % mmap.PAGESIZE

    def fill(self, handle: int, offset: int | None = None) -> int:
        """Read once, as much as waits; tell how many bytes, 0 at the end.

        Parameters
        ----------
        handle : int
            A file descriptor that is ready to be read.
        offset : int, optional
            Where to read a file; None for what has no such places, as a pipe.

        Raises
        ------
        OSError
            When it cannot be read.
        """
        words, end, size = self._words, self.end, min(self.room, CHUNK_BYTES)
        if offset is not None:
            got = os.preadv(handle, self._parts(end, end + size), offset)
            words[_END] = end + got
            return got
        waits = min(waiting(handle), size)
        if waits:
            size = waits
            self._write(end, self._mark(min(_MARK_BYTES, size)))
            words[_GOAL] = end + size
        got = os.readv(handle, self._parts(end, end + size))
        words[_END] = end + got
        words[_GOAL] = 0
        return got

    def base(self, handle: int) -> int | None:
        """Return where a file on a descriptor stood at first; None where it has no places."""
        if not self._words[_BASE]:
            try:
                self._words[_BASE] = os.lseek(handle, 0, os.SEEK_CUR) + 1
            except OSError:
                return None
        return self._words[_BASE] - 1

    def find(self, what: bytes, start: int, stop: int) -> int:
        """Return the position of a byte between two positions; -1 where it is not."""
        for low, high, position in self._spans(start, stop):
            at = self._memory.find(what, low + _HEAD_BYTES, high + _HEAD_BYTES)
            if at >= 0:
                return position + at - _HEAD_BYTES - low
        return -1

    def copy(self, start: int, stop: int) -> bytes:
        """Return the bytes between two positions."""
        return b"".join(self._parts(start, stop))

    def copy_to(self, start: int, target: memoryview) -> None:
        """Fill a view of bytes with what stands from a position on."""
        done = 0
        for part in self._parts(start, start + len(target)):
            target[done : done + len(part)] = part
            done += len(part)

    def _trim(self, position: int) -> None:
        """Give memory back: a ring that may hold much mostly holds little."""
        if self.capacity > 2 * _SPARE_BYTES:
            first = max(self._trimmed, position - self.capacity)
            for low, high, _ in self._spans(first, position):
                with contextlib.suppress(OSError):
                    self._memory.madvise(mmap.MADV_REMOVE, low + _HEAD_BYTES, high - low)
        self._trimmed = position

    def _mark(self, size: int) -> bytes:
        return self._memory[_MARK_AT : _MARK_AT + size]

    def _write(self, start: int, content: bytes) -> None:
        done = 0
        for part in self._parts(start, start + len(content)):
            part[:] = content[done : done + len(part)]
            done += len(part)

    def _parts(self, start: int, stop: int) -> list[memoryview]:
        return [self._ring[low:high] for low, high, _ in self._spans(start, stop)]

    def _spans(self, start: int, stop: int) -> list[tuple[int, int, int]]:
        """Return where positions lie in the ring, in one or two pieces, and where each begins."""
        if stop <= start:
            return []
        low = start % self.capacity
        high = low + stop - start
        if high <= self.capacity:
            return [(low, high, start)]
        first = self.capacity - low
        return [(low, self.capacity, start), (0, high - self.capacity, start + first)]


def waiting(handle: int) -> int:
    """Return how many bytes wait in a pipe or a socket; 0 where nobody knows."""
    try:
        return int(struct.unpack("i", fcntl.ioctl(handle, termios.FIONREAD, b"\0" * 4))[0])
    except OSError:
        return 0
