"""A message for those who have no part in the shared memory: arrays in raw buffers. No I/O.

They are copies: whoever gets them may keep them, and holds no slot.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from camagick_broker.encoder import Encoder
from camagick_broker.errors import RemoteProtocolError
from camagick_broker.reader import decode
from camagick_broker.squeeze import restored
from camagick_broker.wire import SQUEEZED, pack, unpack

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np

    from camagick_broker.mark import Mark
    from camagick_broker.reader import SlotReader


def inlined(frames: list[Any], slots: SlotReader | None) -> list[Any]:
    """Return the frames of a message that anybody can read.

    Raises
    ------
    RemoteProtocolError
        Where what it refers to is not there any more, or there is no memory for a copy of it.
    """
    head, packed = unpack(frames[0])
    if head.flags & SQUEEZED:
        frames = [
            pack(head._replace(flags=head.flags & ~SQUEEZED), bytes(packed)),
            *restored(frames[1:]),
        ]
    if not head.shared:
        return frames

    def copied(descriptor: Sequence[Any]) -> np.ndarray:
        if slots is None:
            raise RemoteProtocolError("arrays in shared memory, of which this process has none")
        return slots(descriptor).copy()

    try:
        body = decode(packed, frames[1:], copied)
    except OSError as error:
        raise RemoteProtocolError(f"no memory for a copy: {error.strerror or error}") from None
    content, buffers = Encoder()(body.lineage, _entries(body.context), _entries(body.data))
    return [pack(head._replace(shared=0, buffers=len(buffers)), content), *buffers]


def _entries(marks: Mapping[str, Mark]) -> list[tuple[str, int, str, Mapping[str, Any], Any]]:
    return [(tag, *mark) for tag, mark in marks.items()]
