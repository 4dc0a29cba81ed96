"""What an actor has made that nobody could make again, in memory that the launcher holds.

A source that is asked again answers something else. So its messages are written here before they
are sent, and a source that was killed sends again what lies here. The memory has no name to leave
behind, and goes with the last process of the run.
"""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING, Any, NamedTuple

from camagick_broker.errors import LocalProtocolError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

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
    """A ring of the last records of one actor.

    The writer says elsewhere (`camagick_broker.ledger`, `made`) that a record is complete: whoever
    is killed while writing one leaves the others as they are.

    Parameters
    ----------
    slots
        How many records to keep.
    """

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self._file = os.memfd_create("caspy-journal", os.MFD_CLOEXEC)

    def write(self, seq: int, frames: Sequence[Any], remembered: Sequence[Any] = ()) -> None:
        """Write the record of an iteration; it replaces the one of `slots` iterations before.

        Raises
        ------
        OSError
            Where there is no memory left.
        """
        parts = [memoryview(part).cast("B") for part in (*frames, *remembered)]
        lengths = b"".join(_LENGTH.pack(len(part)) for part in parts)
        head = _HEAD.pack(seq, len(frames), len(remembered)) + lengths
        self._write_all([memoryview(head), *parts], self._offset(seq))

    def read(self, seq: int) -> Record:
        """Return the record of an iteration.

        Raises
        ------
        LocalProtocolError
            Where it is not here: it was never written, or replaced since.
        """
        offset = self._offset(seq)
        head = os.pread(self._file, _HEAD.size, offset)
        its, frames, remembered = _HEAD.unpack(head) if len(head) == _HEAD.size else (-1, 0, 0)
        if its != seq or not frames + remembered:
            raise LocalProtocolError(f"no record of iteration {seq}")
        parts = list(self._parts(offset + _HEAD.size, frames + remembered))
        return Record(parts[:frames], parts[frames:])

    def close(self) -> None:
        """Let go of the memory, as far as this process is concerned."""
        os.close(self._file)

    def _offset(self, seq: int) -> int:
        return seq % self.slots * _STRIDE

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
