"""One input: what is counted of its messages, whatever their clocks say."""

from __future__ import annotations

import time

import pytest

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
