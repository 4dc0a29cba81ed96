"""What an actor has made that nobody could make again, in memory that the launcher holds.

A source that is asked again answers something else. So its messages are written here before they
are sent, and a source that was killed sends again what lies here. The memory has no name to leave
behind, and goes with the last process of the run. Large arrays of a message lie in shared memory,
which outlives the actor as well (`camagick_broker.slotpool`); what is written here says where.
"""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING, Any, NamedTuple

from camagick_broker.errors import LocalProtocolError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from camagick_broker.ledger import Row

#: Slots lie so far apart that any message fits; the file is sparse, and holds what was written.
_STRIDE = 1 << 36
_HEAD = struct.Struct("<QII")
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
        self._row, self._memory = row, memory
        self._places: dict[int, int] | None = None  # slot of each record, as far as it is known
        self._file = os.memfd_create("caspy-journal", os.MFD_CLOEXEC)

    def write(self, seq: int, frames: Sequence[Any], remembered: Sequence[Any] = ()) -> None:
        """Write the record of an iteration in the place of the oldest that nobody needs.

        Raises
        ------
        OSError
            Where there is no memory left.
        """
        parts = [memoryview(part).cast("B") for part in (*frames, *remembered)]
        lengths = b"".join(_LENGTH.pack(len(part)) for part in parts)
        head = _HEAD.pack(seq, len(frames), len(remembered)) + lengths
        slot = self._place_for(seq)
        self._write_all([memoryview(head), *parts], slot * _STRIDE)
        self._known()[seq] = slot

    def read(self, seq: int) -> Record:
        """Return the record of an iteration.

        Raises
        ------
        LocalProtocolError
            Where it is not here: it was never written, or replaced since.
        """
        places = self._known()
        if seq not in places:
            raise LocalProtocolError(f"no record of iteration {seq}")
        offset = places[seq] * _STRIDE
        _, frames, remembered = self._head(places[seq])
        parts = list(self._parts(offset + _HEAD.size, frames + remembered))
        return Record(parts[:frames], parts[frames:])

    def close(self) -> None:
        """Let go of the memory, as far as this process is concerned."""
        os.close(self._file)

    def _place_for(self, seq: int) -> int:
        places = self._known()
        if seq in places:  # a predecessor was killed while it wrote it
            return places[seq]
        oldest = min(places, default=seq)
        is_free = self._row is not None and oldest < self._row.low - self._memory
        if is_free or len(places) >= self.slots:
            return places.pop(oldest)
        return len(places)

    def _known(self) -> dict[int, int]:
        """Return where each record is; whoever takes the place of another looks."""
        if self._places is None:
            heads = {slot: self._head(slot) for slot in range(self.slots)}
            self._places = {seq: slot for slot, (seq, *many) in heads.items() if any(many)}
        return self._places

    def _head(self, slot: int) -> tuple[int, int, int]:
        head = os.pread(self._file, _HEAD.size, slot * _STRIDE)
        return _HEAD.unpack(head) if len(head) == _HEAD.size else (0, 0, 0)

    def _parts(self, offset: int, count: int) -> Iterator[memoryview]:
        table = os.pread(self._file, count * _LENGTH.size, offset)
        offset += len(table)
        for (length,) in _LENGTH.iter_unpack(table):
            part = memoryview(bytearray(length))
            done = 0
            while done < length:
                got = os.preadv(self._file, [part[done:]], offset + done)
                if not got:
                    raise LocalProtocolError("a record that ends too early")
                done += got
            offset += length
            yield part.toreadonly()

    def _write_all(self, parts: list[memoryview], offset: int) -> None:
        while parts:
            written = os.pwritev(self._file, parts[:_MOST_AT_ONCE], offset)
            offset += written
            while parts and written >= len(parts[0]):
                written -= len(parts.pop(0))
            if parts:
                parts[0] = parts[0][written:]
