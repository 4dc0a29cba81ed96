"""The two ends of an edge, against simple models."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, precondition, rule

from camagick_broker.edges import InEdge, Join, OutEdge
from camagick_broker.errors import LocalProtocolError


def test_a_producer_is_ready_when_all_have_said_hello():
    edge = OutEdge[str]([3, 4])
    assert not edge.ready
    assert edge.missing == [3, 4]
    edge.hello(3, 1, 0)
    edge.hello(3, 1, 0)
    assert edge.missing == [4]
    edge.hello(4, 1, 0)
    assert edge.ready


def test_a_repeated_hello_asks_for_nothing_and_a_new_incarnation_for_what_is_kept():
    edge = OutEdge[str]([3])
    edge.hello(3, 1, 0)
    for seq in range(4):
        edge.push(seq, f"m{seq}")
    edge.state(3, 1)
    assert edge.hello(3, 1, 0) == []
    assert edge.hello(3, 2, 2) == ["m2", "m3"]
    assert edge.hello(3, 2, 0) == []
    assert edge.hello(3, 1, 0) == []


def test_strangers_and_states_of_the_future_change_nothing():
    edge = OutEdge[str]([3])
    edge.push(0, "m")
    assert edge.hello(9, 1, 0) == []
    assert not edge.state(9, 1)
    assert not edge.state(3, 2)
    assert (edge.kept, edge.low, edge.missing) == (1, 0, [3])
    assert edge.knows(3)
    assert not edge.knows(9)


def test_a_state_that_comes_late_takes_nothing_back():
    edge = OutEdge[str]([3])
    for seq in range(4):
        edge.push(seq, "m")
    assert edge.state(3, 3)
    assert not edge.state(3, 3)
    assert not edge.state(3, 1)
    assert (edge.low, edge.kept) == (3, 1)


@pytest.mark.parametrize("seq", [0, 2, -1])
def test_messages_are_made_in_order(seq):
    edge = OutEdge[str]([3])
    edge.push(0, "m")
    with pytest.raises(LocalProtocolError, match="out of order"):
        edge.push(seq, "n")


class Producer(RuleBasedStateMachine):
    """Frees exactly what every consumer has said to be done, whatever comes late or again."""

    states = Bundle("states")

    def __init__(self):
        super().__init__()
        self.edge = OutEdge[int]([1, 2, 3])
        self.done = {1: 0, 2: 0, 3: 0}
        self.made = 0

    @rule()
    def push(self):
        self.edge.push(self.made, self.made)
        self.made += 1

    @rule(target=states, consumer=st.integers(1, 3), behind=st.integers(-1, 3))
    def say(self, consumer, behind):
        return consumer, max(0, self.made - behind)

    @rule(state=states)  # any number of times, in any order, or never
    def hear(self, state):
        consumer, low = state
        before = min(self.done.values())
        if low <= self.made:  # nobody can have done what was not made
            self.done[consumer] = max(self.done[consumer], low)
        assert self.edge.state(consumer, low) == (min(self.done.values()) > before)

    @rule(seq=st.integers(0, 30))
    def again(self, seq):
        assert self.edge.since(seq) == [n for n in range(self.edge.low, self.made) if n >= seq]

    @invariant()
    def keeps_what_somebody_needs(self):
        assert self.edge.low == min(self.done.values())
        assert self.edge.kept == self.made - self.edge.low
        assert self.edge.since(0) == list(range(self.edge.low, self.made))


class Consumer(RuleBasedStateMachine):
    """Sees each iteration once, in order, whatever arrives again, late, early, or not at all."""

    window = 5

    def __init__(self):
        super().__init__()
        self.edge = InEdge[int](self.window)
        self.seen: list[int] = []
        self.early: set[int] = set()

    @rule(ahead=st.integers(-3, 8))
    def receive(self, ahead):
        expected = len(self.seen)
        seq = max(0, expected + ahead)
        missing = self.edge.receive(seq, seq)
        assert missing == (seq > expected and seq not in self.early)
        if expected < seq < expected + self.window:
            self.early.add(seq)
        self.seen += self.edge.waiting
        self.edge.waiting.clear()

    @precondition(lambda self: self.early)
    @rule()
    def resend(self):
        for seq in range(self.edge.expected, max(self.early) + 1):
            self.edge.receive(seq, seq)
        self.seen += self.edge.waiting
        self.edge.waiting.clear()
        assert len(self.seen) > max(self.early)
        self.early.clear()

    @invariant()
    def in_order_and_once(self):
        assert self.seen == list(range(len(self.seen)))
        assert self.edge.expected == len(self.seen) == self.edge.counters.messages
        assert len(self.edge.early) < self.window


TestProducer = Producer.TestCase
TestConsumer = Consumer.TestCase


@given(st.lists(st.integers(0, 2**64 - 1), max_size=200))
def test_memory_is_bounded_by_the_window_whatever_seq_is_claimed(seqs):
    edge = InEdge[int](4)
    for seq in seqs:
        edge.receive(seq, seq)
        assert len(edge.early) < 4


@given(st.permutations(range(8)), st.lists(st.integers(0, 7), max_size=8))
def test_any_order_within_the_window_with_duplicates_comes_out_straight(order, again):
    edge = InEdge[int](8)
    for seq in [*order, *again]:
        edge.receive(seq, seq)
    assert list(edge.waiting) == list(range(8))
    assert edge.counters.duplicates == len(again)


@given(st.lists(st.integers(0, 2), min_size=1, max_size=60), st.integers(0, 8))
def test_a_join_gives_whole_iterations_in_order_and_ends_with_the_first_end(turns, end):
    edges = [InEdge[int](99) for _ in range(3)]
    join = Join(edges)
    sent, taken = [0, 0, 0], []
    for turn in turns:
        edges[turn].receive(sent[turn], sent[turn])
        sent[turn] += 1
        while (joined := join.take(lambda seq: seq == end)) is not None:
            taken.append(joined)
            if joined.ended:
                break
        if taken and taken[-1].ended:
            break
    assert [joined.seq for joined in taken] == list(range(len(taken)))
    for joined in taken:
        if not joined.ended:
            assert joined.messages == [joined.seq] * 3
    whole = [joined for joined in taken if not joined.ended]
    assert len(whole) == min(*sent, end)
