"""One input: what is counted of its messages, whatever their clocks say."""

from __future__ import annotations

import time

import pytest

from camagick_broker.edges import Joined
from camagick_broker.errors import RemoteProtocolError
from camagick_broker.protocol import ActorProtocol
from camagick_broker.reception import Reception
from camagick_broker.wire import Head, Kind, pack
from tests import hostile
from tests.broker.actors import wirings
from tests.broker.conftest import RUN

YEAR_NS = 365 * 86400 * 10**9


class Part:
    """A frame as a socket gives it."""

    def __init__(self, content: bytes) -> None:
        self.buffer = memoryview(content)

    def __len__(self) -> int:
        return len(self.buffer)


def test_a_clock_that_jumps_leaves_the_statistics_sane() -> None:
    protocol = ActorProtocol(wirings("", {1: (2,)})[2])
    take = Reception(protocol, 1, multicast=False)
    counters = protocol.inputs[1].counters
    now = time.time_ns()
    moments = [0, 1, 2**64 - 1, now - 20 * YEAR_NS, now + 20 * YEAR_NS, now + 10**9]
    for seq, sent_ns in enumerate(moments):
        head = Head(Kind.DATA, RUN, 1, 1, seq, sent_ns=sent_ns)
        take([Part(pack(head, hostile.body_of(1.0)))])
    assert counters.latency_s == 0
    head = Head(Kind.DATA, RUN, 1, 1, len(moments), sent_ns=time.time_ns() - 10**9)
    take([Part(pack(head, hostile.body_of(1.0)))])
    assert counters.latency_s == pytest.approx(0.1, abs=0.05)
    assert counters.messages == len(moments) + 1


def test_messages_that_share_a_frame_arrive_one_by_one() -> None:
    protocol = ActorProtocol(wirings("", {1: (2,)})[2])
    take = Reception(protocol, 1, multicast=False)
    counters = protocol.inputs[1].counters
    frames = [pack(Head(Kind.DATA, RUN, 1, 1, seq), hostile.body_of(seq)) for seq in range(6)]
    take([Part(b"".join(frames[:3]))])
    with pytest.raises(RemoteProtocolError):  # nothing of it arrives
        take([Part(frames[3] + frames[4][:-1])])
    take([Part(b"".join(frames[2:6]))])  # the first of them is a duplicate
    items = [effect for effect in protocol.take_effects() if isinstance(effect, Joined)]
    assert [item.messages[0].body.data["tag"].value for item in items] == list(range(6))
    assert (counters.messages, counters.refused, counters.duplicates) == (6, 1, 1)
    assert counters.bytes == sum(map(len, frames)) + len(frames[2])
