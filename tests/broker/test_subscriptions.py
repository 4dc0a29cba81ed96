"""A hello counts once its subscription has arrived, in whichever order they come."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from camagick_broker.errors import RemoteProtocolError
from camagick_broker.subscriptions import Subscriptions, identity
from camagick_broker.wire import Head, Kind

RUN = b"01234567"


def hello(sender: int, incarnation: int = 1) -> Head:
    return Head(Kind.HELLO, RUN, 1, sender, 0, incarnation)


def test_hello_first():
    subscriptions = Subscriptions([3, 30])
    subscriptions.hello(hello(3))
    assert list(subscriptions.admitted()) == []
    subscriptions.take(b"\1D")
    subscriptions.take(b"\1" + identity(30, 1))
    assert list(subscriptions.admitted()) == []
    subscriptions.take(b"\1" + identity(3, 1))
    assert list(subscriptions.admitted()) == [hello(3)]
    assert list(subscriptions.admitted()) == []


def test_subscription_first_and_hello_repeated():
    subscriptions = Subscriptions([3])
    subscriptions.take(b"\1" + identity(3, 1))
    for _ in range(3):
        subscriptions.hello(hello(3))
        assert list(subscriptions.admitted()) == [hello(3)]


def test_a_new_incarnation_needs_its_own_subscription():
    subscriptions = Subscriptions([3])
    subscriptions.take(b"\1" + identity(3, 1))
    subscriptions.hello(hello(3, 2))
    assert list(subscriptions.admitted()) == []
    subscriptions.take(b"\1" + identity(3, 2))
    assert list(subscriptions.admitted()) == [hello(3, 2)]
    assert subscriptions.topics(3) == [identity(3, 1), identity(3, 2)]
    subscriptions.take(b"\0" + identity(3, 1))
    assert subscriptions.topics(3) == [identity(3, 2)]


def test_a_reconnection_that_overlaps_is_still_there():
    subscriptions = Subscriptions([3])
    subscriptions.take(b"\1" + identity(3, 1))
    subscriptions.take(b"\1" + identity(3, 1))  # the new connection
    subscriptions.take(b"\0" + identity(3, 1))  # the old one, noticed late
    assert subscriptions.topics(3) == [identity(3, 1)]
    subscriptions.take(b"\0" + identity(3, 1))
    subscriptions.take(b"\0" + identity(3, 1))
    assert subscriptions.topics(3) == []


def test_numbers_that_begin_alike_are_told_apart():
    subscriptions = Subscriptions([1, 12])
    subscriptions.take(b"\1" + identity(12, 1))
    assert subscriptions.topics(1) == []


@pytest.mark.parametrize(
    "frame", [b"", b"\1", b"\2D", b"\1~9\x001", b"\1~3", b"\1~3\0", b"\1~3\x00x", b"GET /", b"\0x"]
)
def test_other_subscriptions_are_refused(frame):
    with pytest.raises(RemoteProtocolError):
        Subscriptions([3]).take(frame)


def test_the_hello_of_a_stranger_is_refused():
    with pytest.raises(RemoteProtocolError, match="no consumer"):
        Subscriptions([3]).hello(hello(4))


@given(st.lists(st.tuples(st.sampled_from([b"\0", b"\1"]), st.integers(0, 2**33))))
def test_memory_is_bounded(frames):
    subscriptions = Subscriptions([3])
    for verb, incarnation in frames:
        subscriptions.take(verb + identity(3, incarnation % 10**10))
    for incarnation in range(2000):
        try:
            subscriptions.take(b"\1" + identity(3, incarnation))
        except RemoteProtocolError:
            break
    assert len(subscriptions.topics(3)) <= 1024
