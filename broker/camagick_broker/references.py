"""What is written down of a message for another host: where its large arrays lie. No I/O.

Such a message carries the bytes of its arrays. They lie in shared memory all the same, which
outlives the actor; so they need not be written a second time.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from camagick_broker.errors import LocalProtocolError
from camagick_broker.held import HeldFrames

if TYPE_CHECKING:
    from collections.abc import Sequence

    from camagick_broker.reader import SlotReader
    from camagick_broker.shared import SharedArrays

#: Segment, generation, offset, bytes; a buffer of which all four are 0 stands behind the table.
_WHERE = struct.Struct("<QQQQ")
_BEHIND = bytes(_WHERE.size)


class Layer:
    """Lays the buffers of messages in shared memory, where there is room.

    Parameters
    ----------
    shared
        The actor's arrays there.
    """

    def __init__(self, shared: SharedArrays) -> None:
        self._shared, self._held = shared, HeldFrames(shared.mapped)

    def __call__(self, frames: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        """Return the frames to send, of what lies there, and the frames to write down."""
        first, *buffers = frames
        shared, sent, table, behind = self._shared, [first], [], []
        for buffer in buffers:
            where, size = shared.place(buffer), buffer.nbytes
            if where is None:
                table.append(_BEHIND)
                behind.append(buffer)
                sent.append(buffer)
            else:
                table.append(_WHERE.pack(*where, size))
                sent.append(self._held(where, size) or buffer)
        shared.end()
        return sent, [first, b"".join(table), *behind]


def restored(frames: Sequence[Any], slots: SlotReader) -> list[Any]:
    """Return the frames of a message as it was sent, from those that were written down.

    Raises
    ------
    LocalProtocolError
        Where an array is not there any more.
    """
    first, table, *behind = frames
    buffers = []
    for segment, generation, offset, size in _WHERE.iter_unpack(table):
        if not size:
            buffers.append(behind.pop(0))
            continue
        try:
            buffers.append(slots(_descriptor(segment, generation, offset, size)))
        except (ValueError, OSError) as error:
            raise LocalProtocolError(f"a record of what is not there: {error}") from None
    return [first, *buffers]


def _descriptor(segment: int, generation: int, offset: int, size: int) -> list[Any]:
    return [segment, generation, offset, "|u1", [size], [1]]
