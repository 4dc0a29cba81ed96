"""From the frames of a socket to what the protocol takes."""

from __future__ import annotations

import operator
import time
from typing import TYPE_CHECKING, Any

from camagick_broker.construct import new_tuple
from camagick_broker.errors import RemoteProtocolError
from camagick_broker.events import Arrived
from camagick_broker.reader import decode
from camagick_broker.squeeze import restored
from camagick_broker.wire import SQUEEZED, Head, Kind, unpack, unpack_all

if TYPE_CHECKING:
    from collections.abc import Sequence

    from camagick_broker.protocol import ActorProtocol
    from camagick_broker.reader import SlotReader

_LONGEST_DELAY_S = 3600.0
_buffer_of = operator.attrgetter("buffer")


def take_apart(parts: list[Any], run: bytes) -> tuple[Head, Any, list[Any]]:
    """Return prefix, body and buffers of a message that stands alone.

    Raises
    ------
    RemoteProtocolError
        For anything that is not a message of this run, or not all of one.
    """
    head, body = unpack(_first(parts).buffer, run)
    return head, body, _buffers(head, parts)


def _first(parts: list[Any]) -> Any:
    if not parts:
        raise RemoteProtocolError("a topic without a message")
    return parts[0]


def _buffers(head: Head, parts: list[Any]) -> list[Any]:
    if head.buffers != len(parts) - 1:
        raise RemoteProtocolError(
            f"wrong number of buffers: {len(parts) - 1} instead of {head.buffers}"
        )
    return [*map(_buffer_of, parts[1:])]


class Reception:
    """Takes the messages of one input.

    Parameters
    ----------
    protocol
        Of the actor.
    producer
        Number of the input's producer.
    multicast
        Whether a topic stands before each message.
    slots
        Reads arrays that lie in shared memory; None where there is none.
    ahead_ns
        By how much this host's clock is ahead of that of the bus.
    """

    def __init__(
        self,
        protocol: ActorProtocol,
        producer: int,
        *,
        multicast: bool,
        slots: SlotReader | None = None,
        ahead_ns: int = 0,
    ) -> None:
        self._ahead_ns = ahead_ns
        self._slots = slots
        self._protocol = protocol
        self._producer = producer
        self._edge = protocol.inputs[producer]
        self._skips = multicast
        self._run = protocol.wiring.run

    def __call__(self, frames: list[Any]) -> None:
        """Take what came at once: one message, or several in one frame.

        Raises
        ------
        RemoteProtocolError
            For one that cannot be used, now or later; then nothing of what came at once has
            arrived.
        """
        parts = frames[1:] if self._skips else frames
        try:
            first = _first(parts).buffer
            found = unpack_all(first, self._run)
            buffers = _buffers(found[-1][0], parts)
            arrived = []
            for head, packed in found:
                arrived.append(self._read(head, packed, buffers))
            self._protocol.on_data(self._producer, *arrived)
        except RemoteProtocolError:
            self._edge.counters.refused += 1
            raise
        if arrived[-1].head.kind is not Kind.BYE:  # no part of the stream
            self._count(arrived, len(first) + sum(map(len, buffers)))

    def _read(self, head: Head, packed: memoryview, buffers: list[Any]) -> Arrived:
        body: Any = packed
        if head.kind is Kind.DATA and head.seq >= self._edge.expected:
            if head.flags & SQUEEZED:
                buffers = restored(buffers)
            body = decode(packed, buffers, self._slots)  # what cannot be read has not arrived
        return new_tuple(Arrived, (head, body, buffers))

    def _count(self, arrived: Sequence[Arrived], size: int) -> None:
        head, counters = arrived[-1].head, self._edge.counters
        for one in arrived:
            size += one.head.shared << 10
        counters.bytes += size
        delay_s = (time.time_ns() - self._ahead_ns - head.sent_ns) / 1e9
        if 0 <= delay_s < _LONGEST_DELAY_S:  # not where a clock has jumped, nor where none is
            counters.latency_s += 0.1 * (delay_s - counters.latency_s)
