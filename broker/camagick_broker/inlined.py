"""A message for those who have no part in the shared memory: arrays in raw buffers. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from camagick_broker.encoder import Encoder
from camagick_broker.errors import RemoteProtocolError
from camagick_broker.reader import decode
from camagick_broker.squeeze import restored
from camagick_broker.wire import SQUEEZED, pack, shared_bytes, unpack

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np

    from camagick_broker.mark import Mark
    from camagick_broker.reader import SlotReader
    from camagick_broker.wire import Head


class Inliner:
    """Makes messages for a consumer on another host: with their arrays behind them, not copied.

    What is in flight may be overwritten when the consumer has acknowledged it, as it is then of no
    use to him; until then its slot belongs to it, as on one host.

    Parameters
    ----------
    slots
        Reads arrays that lie in shared memory.
    """

    def __init__(self, slots: SlotReader) -> None:
        self._slots, self._encode = slots, Encoder()

    def __call__(self, frames: list[Any]) -> list[Any]:
        """Return the frames of a message that anybody can read.

        Raises
        ------
        RemoteProtocolError
            Where what it refers to is not there any more.
        """
        if not shared_bytes(frames[0]):
            return frames
        head, packed = unpack(frames[0])
        return _rewritten(head, packed, frames[1:], self._slots, self._encode)


def inlined(frames: list[Any], slots: SlotReader | None) -> list[Any]:
    """Return the frames of a message that anybody can read, and keep: its arrays are copies.

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
        return _rewritten(head, packed, frames[1:], copied, Encoder())
    except OSError as error:
        raise RemoteProtocolError(f"no memory for a copy: {error.strerror or error}") from None


def _rewritten(
    head: Head, packed: Any, buffers: Sequence[Any], slots: SlotReader, encode: Encoder
) -> list[Any]:
    body = decode(packed, buffers, slots)
    content, beside = encode(body.lineage, _entries(body.context), _entries(body.data))
    return [pack(head._replace(shared=0, buffers=len(beside)), content), *beside]


def _entries(marks: Mapping[str, Mark]) -> list[tuple[str, int, str, Mapping[str, Any], Any]]:
    return [(tag, *mark) for tag, mark in marks.items()]
