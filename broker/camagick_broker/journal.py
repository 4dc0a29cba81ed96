"""What an actor has made that nobody could make again, in memory that the launcher holds.

A source that is asked again answers something else. So its messages are written here before they
are sent, and a source that was killed sends again what lies here. The memory has no name to leave
behind, and goes with the last process of the run. Large arrays of a message lie in shared memory,
which outlives the actor as well (`camagick_broker.slotpool`); what is written here says where.
"""

from __future__ import annotations

import functools
import mmap
import os
import struct
from typing import TYPE_CHECKING, Any, NamedTuple

from camagick_broker.errors import LocalProtocolError
from camagick_broker.ledger import LOW

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from camagick_broker.ledger import Row

#: Large records lie so far apart that any message fits; the file is sparse, and holds what was
#: written.
_STRIDE = 1 << 36
#: A record up to this size, in bytes, stands where its head does, which is mapped: no system call.
_SMALL_BYTES = 4096
_HEAD = struct.Struct("<QIIQ")
_LENGTH = struct.Struct("<Q")
#: How many buffers the kernel takes at once (IOV_MAX).
_MOST_AT_ONCE = 1024


class Record(NamedTuple):
    """What one iteration has left.

    Attributes
    ----------
    frames
        The message that was sent.
    remembered
        What the processor has to know of that call, encoded likewise; empty for nothing.
    """

    frames: list[Any]
    remembered: list[Any]


class Journal:
    """The last records of one actor.

    The writer says elsewhere (`camagick_broker.ledger`, `made`) that a record is complete: whoever
    is killed while writing one leaves the others as they are.

    Parameters
    ----------
    slots
        How many records to keep at most.
    row
        Where its actor notes how far everything has ended: the place of what nobody will ask for
        again is used again, so that large records take no more memory than are under way.
    memory
        How many records before that may be asked for all the same.
    """

    def __init__(self, slots: int, row: Row | None = None, memory: int = 0) -> None:
        self.slots = slots
        self._words = row.words if row is not None else None
        self._memory = memory
        self._file = os.memfd_create("caspy-journal", os.MFD_CLOEXEC)
        os.ftruncate(self._file, slots * _SMALL_BYTES)
        self._heads = mmap.mmap(self._file, slots * _SMALL_BYTES)

    def write(self, seq: int, frames: Sequence[Any], remembered: Sequence[Any] = ()) -> None:
        """Write the record of an iteration in the place of the oldest that nobody needs.

        Parameters
        ----------
        seq
            The iteration.
        frames, remembered
            See `Record`; each of bytes, or an array or a view of single bytes.

        Raises
        ------
        OSError
            Where there is no memory left.
        """
        parts = [*frames, *remembered]
        lengths = [*map(len, parts)]
        table = struct.pack(f"<{len(parts)}Q", *lengths)
        size = sum(lengths) + len(table)
        head = _HEAD.pack(seq, len(frames), len(remembered), size)
        slot = self._place_for(seq)
        at = slot * _SMALL_BYTES
        if _HEAD.size + size <= _SMALL_BYTES:
            self._heads[at : at + _HEAD.size + size] = b"".join((head, table, *parts))
        else:
            self._write_all([memoryview(part).cast("B") for part in (table, *parts)],
                            (slot + 1) * _STRIDE)  # fmt: skip
            self._heads[at : at + _HEAD.size] = head
        self._places[seq] = slot

    def read(self, seq: int) -> Record:
        """Return the record of an iteration.

        Raises
        ------
        LocalProtocolError
            Where it is not here: it was never written, or replaced since.
        """
        slot = self._places.get(seq)
        if slot is None:
            raise LocalProtocolError(f"no record of iteration {seq}")
        _, frames, remembered, size = self._head(slot)
        at = slot * _SMALL_BYTES + _HEAD.size
        if _HEAD.size + size <= _SMALL_BYTES:
            content = memoryview(self._heads[at : at + size])
        else:
            content = self._read_all((slot + 1) * _STRIDE, size)
        parts = list(_parts(content, frames + remembered))
        return Record(parts[:frames], parts[frames:])

    def close(self) -> None:
        """Let go of the memory, as far as this process is concerned."""
        self._heads.close()
        os.close(self._file)

    def _place_for(self, seq: int) -> int:
        places = self._places
        if seq in places:  # a predecessor was killed while it wrote it
            return places[seq]
        oldest = next(iter(places), seq)
        is_free = self._words is not None and oldest < self._words[LOW] - self._memory
        if is_free or len(places) >= self.slots:
            return places.pop(oldest)
        return len(places)

    @functools.cached_property
    def _places(self) -> dict[int, int]:
        """Where each record is, the oldest first; who takes the place of another looks, once."""
        heads = [(self._head(slot), slot) for slot in range(self.slots)]
        return dict(sorted((head[0], slot) for head, slot in heads if any(head[1:3])))

    def _head(self, slot: int) -> tuple[int, int, int, int]:
        return _HEAD.unpack_from(self._heads, slot * _SMALL_BYTES)

    def _read_all(self, offset: int, size: int) -> memoryview:
        content = memoryview(bytearray(size))
        done = 0
        while done < size:
            got = os.preadv(self._file, [content[done:]], offset + done)
            if not got:
                raise LocalProtocolError("a record that ends too early")
            done += got
        return content.toreadonly()

    def _write_all(self, parts: list[memoryview], offset: int) -> None:
        while parts:
            written = os.pwritev(self._file, parts[:_MOST_AT_ONCE], offset)
            offset += written
            while parts and written >= len(parts[0]):
                written -= len(parts.pop(0))
            if parts:
                parts[0] = parts[0][written:]


def _parts(content: memoryview, count: int) -> Iterator[memoryview]:
    offset = count * _LENGTH.size
    for (length,) in _LENGTH.iter_unpack(content[:offset]):
        yield content[offset : offset + length]
        offset += length
