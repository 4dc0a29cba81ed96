"""From the frames of a socket to what the protocol takes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from camagick_broker.errors import RemoteProtocolError
from camagick_broker.events import Arrived
from camagick_broker.reader import decode
from camagick_broker.wire import Head, Kind, unpack

if TYPE_CHECKING:
    from camagick_broker.protocol import ActorProtocol
    from camagick_broker.reader import SlotReader

_LONGEST_DELAY_S = 3600.0


def take_apart(parts: list[Any], run: bytes) -> tuple[Head, Any, list[Any]]:
    """Return prefix, body and buffers of a message.

    Raises
    ------
    RemoteProtocolError
        For anything that is not a message of this run, or not all of one.
    """
    if not parts:
        raise RemoteProtocolError("a topic without a message")
    head, body = unpack(parts[0].buffer, run)
    if head.buffers != len(parts) - 1:
        raise RemoteProtocolError(
            f"wrong number of buffers: {len(parts) - 1} instead of {head.buffers}"
        )
    return head, body, [part.buffer for part in parts[1:]]


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
    """

    def __init__(
        self,
        protocol: ActorProtocol,
        producer: int,
        *,
        multicast: bool,
        slots: SlotReader | None = None,
    ) -> None:
        self._slots = slots
        self._protocol = protocol
        self._producer = producer
        self._edge = protocol.inputs[producer]
        self._skip = 1 if multicast else 0

    def __call__(self, frames: list[Any]) -> None:
        """Take one message.

        Raises
        ------
        RemoteProtocolError
            For one that cannot be used, now or later; then it has not arrived.
        """
        counters = self._edge.counters
        try:
            head = self._take(frames[self._skip :])
        except RemoteProtocolError:
            counters.refused += 1
            raise
        if head.kind is Kind.BYE:  # no part of the stream
            return
        counters.bytes += sum(map(len, frames)) + (head.shared << 10)
        delay_s = (time.time_ns() - head.sent_ns) / 1e9
        if 0 <= delay_s < _LONGEST_DELAY_S:  # not where a clock has jumped, nor where none is
            counters.latency_s += 0.1 * (delay_s - counters.latency_s)

    def _take(self, parts: list[Any]) -> Head:
        head, body, buffers = take_apart(parts, self._protocol.wiring.run)
        if head.kind is Kind.DATA and head.seq >= self._edge.expected:
            body = decode(body, buffers, self._slots)  # what cannot be read has not arrived
        self._protocol.on_data(self._producer, Arrived(head, body, buffers))
        return head
