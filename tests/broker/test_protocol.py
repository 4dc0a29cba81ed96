"""Whole pipes on a simulated network: any order of delivery, any pace of the processors."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from camagick_broker.errors import RemoteProtocolError
from camagick_broker.protocol import ActorProtocol, Arrived, Permit, Stop
from camagick_broker.wire import Head, Kind, unpack
from tests.broker.network import RUN, Network

Edges = dict[int, tuple[int, ...]]
CHAIN: Edges = {1: (2,), 2: (3,)}
FANOUT: Edges = {1: (2, 3), 2: (4,), 3: (4,), 4: (5,)}
BYPASS: Edges = {1: (2, 3), 2: (3,)}
TWO_HEADS: Edges = {1: (3,), 2: (3,), 3: (4,)}
NESTED: Edges = {1: (2, 3, 8), 2: (4, 5), 4: (6,), 5: (6,), 6: (7,), 3: (7,), 7: (8,)}
TWO_SINKS: Edges = {1: (2, 3)}
APART: Edges = {1: (3,), 2: (4,)}  # two heads that are never joined
THREE_HEADS: Edges = {1: (4,), 2: (4,), 3: (5,), 4: (5,)}

#: Edges, last gates, lockstep; a gate with several inputs is one because it joins heads.
PIPES: dict[str, tuple[Edges, tuple[int, ...], bool]] = {
    "alone": ({1: ()}, (), False),
    "chain": (CHAIN, (), False),
    "fanout": (FANOUT, (), False),
    "gate in a chain": (CHAIN, (2,), False),
    "gate at the end": (CHAIN, (3,), False),
    "two gates": (FANOUT, (2, 3), False),
    "bypass": (BYPASS, (), False),
    "two heads": (TWO_HEADS, (3,), False),
    "nested": (NESTED, (), False),
    "two sinks": (TWO_SINKS, (), False),
    "apart": (APART, (), False),
    "three heads": (THREE_HEADS, (4,), False),
    "chain in lockstep": (CHAIN, (), True),
    "fanout in lockstep": (FANOUT, (), True),
    "two heads in lockstep": (TWO_HEADS, (), True),
    "nested in lockstep": (NESTED, (), True),
    "apart in lockstep": (APART, (), True),
}
pipes = st.sampled_from(sorted(PIPES))
MOST = 20_000


def run(network: Network, data: Any, until: Any = None) -> None:
    """Let things happen, in an order that hypothesis chooses, until nothing can happen."""
    rng = data.draw(st.randoms(use_true_random=True))
    # Some processors and connections are slow: they wait as long as anything else can happen.
    late = st.sampled_from([*network.nodes, "data", "back", "loop"])
    lazy = set(data.draw(st.lists(late, max_size=2), label="lazy"))
    for _ in range(MOST):
        choices = network.choices()
        if until is not None:
            until(network)
        brisk = [what for what in choices if what not in lazy and _socket(what) not in lazy]
        if choices:
            network.happen(rng.choice(brisk or choices))
        elif not network.tick():
            return
    pytest.fail("it goes on for ever")


def _socket(what: Any) -> Any:
    return what[0] if isinstance(what, tuple) else None


def build(name: str, **options: Any) -> Network:
    edges, gates, lockstep = PIPES[name]
    joins = gates if "heads" in name else ()
    return Network(edges, gates=gates, joins=joins, lockstep=lockstep, **options)


def finished(network: Network) -> None:
    """See that every actor has ended, and that nothing is left anywhere."""
    left = [number for number, node in network.nodes.items() if not node.protocol.over]
    assert not left, f"these wait for ever: {left}"
    assert not network.refused
    for node in network.nodes.values():
        assert node.protocol.out is None or not node.protocol.out.kept
        assert not any(edge.waiting for edge in node.protocol.inputs.values())


@settings(max_examples=250, deadline=None)
@given(pipes, st.integers(0, 12), st.integers(1, 5), st.data())
def test_everybody_does_every_iteration_once_in_order_and_ends(name, count, window, data):
    network = build(name, count=count, window=window)
    run(network, data)
    finished(network)
    for node in network.nodes.values():
        assert node.seen == list(range(count))
        for edge in node.protocol.inputs.values():
            assert edge.counters.gaps == 0
            # Without any iteration, the end may be there before the hello, and is then sent again.
            assert edge.counters.duplicates <= (0 if count else 1)


@settings(max_examples=250, deadline=None)
@given(pipes, st.integers(-1, 8), st.integers(1, 4), st.data())
def test_an_actor_that_ends_itself_ends_everything(name, when, window, data):
    numbers = sorted(build(name).nodes)
    fails = {data.draw(st.sampled_from(numbers)): when}
    network = build(name, fails=fails, window=window)
    run(network, data)
    finished(network)
    (culprit,) = fails
    assert len(network.nodes[culprit].seen) == max(when, 0)


@settings(max_examples=200, deadline=None)
@given(pipes, st.integers(0, 30), st.integers(1, 4), st.data())
def test_a_stop_from_anybody_at_any_time_ends_everything(name, when, window, data):
    network = build(name, window=window)
    stopped = data.draw(st.sampled_from(sorted(network.nodes)))
    steps = iter(range(MOST))

    def stop(network: Network) -> None:
        if next(steps) >= when and network.running:
            network.nodes[stopped].protocol.stop()
            network.carry_out(network.nodes[stopped])

    run(network, data, stop)
    finished(network)
    heads = [node for node in network.nodes.values() if node.wiring.is_head]
    if len(heads) == 1:  # what was begun reaches everybody
        assert {len(node.seen) for node in network.nodes.values()} == {len(heads[0].seen)}


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["two heads", "three heads", "apart"]), st.data())
def test_when_a_head_ends_the_others_still_do_what_it_has_done(name, data):
    network = build(name, fails={1: 6}, window=3)
    run(network, data)
    finished(network)
    for node in network.nodes.values():
        assert len(node.seen) in (6, 7)
    assert name == "apart" or len(network.nodes[4].seen) == 6


@settings(max_examples=200, deadline=None)
@given(pipes, st.integers(1, 10), st.integers(1, 4), st.data())
def test_lost_states_and_doubled_messages_do_no_harm(name, count, window, data):
    rng = data.draw(st.randoms(use_true_random=True))

    def faults(kind: Kind) -> int:
        if kind is Kind.STATE:
            return int(rng.choice((0, 1, 1, 2)))
        return int(rng.choice((1, 1, 1, 2)))

    network = build(name, count=count, window=window, faults=faults, leave=False)
    for _ in range(400):  # acknowledgements are state: repeating them repairs any that was lost
        run(network, data)
        if network.over:
            break
        for node in network.nodes.values():
            node.protocol.acknowledge()
            if node.wiring.is_head:
                node.protocol._progress()
            network.carry_out(node)
    assert network.over
    for node in network.nodes.values():
        assert node.seen == list(range(count))


def head_of(network: Network, number: int) -> ActorProtocol:
    return network.nodes[number].protocol


def message(kind: Kind, edge: int, sender: int, seq: int) -> Head:
    return Head(kind, RUN, edge, sender, seq)


@pytest.mark.parametrize(
    ("kind", "edge", "sender", "seq"),
    [
        (Kind.HELLO, 1, 9, 0), (Kind.STATE, 1, 9, 1), (Kind.STOP, 1, 9, 0), (Kind.HELLO, 2, 2, 0),
        (Kind.DATA, 1, 2, 0), (Kind.GO, 1, 2, 0), (Kind.CONTROL, 1, 2, 0), (Kind.RESEND, 7, 2, 0),
    ],
)  # fmt: skip
def test_a_producer_refuses_strangers_and_strange_kinds(kind, edge, sender, seq):
    protocol = head_of(build("chain"), 1)
    protocol.take_effects()
    with pytest.raises(RemoteProtocolError):
        protocol.on_back(message(kind, edge, sender, seq))
    assert not protocol.take_effects()


@pytest.mark.parametrize(
    ("kind", "sender", "seq"),
    [
        (Kind.LEFT, 9, 1), (Kind.LEFT, 3, 2**63), (Kind.STATE, 1, 2**63),
        (Kind.STATE, 2, 2**64 - 1),
        (Kind.ARMED, 2, 2**63), (Kind.ARMED, 4, 1), (Kind.GO, 2, 1), (Kind.GO, 1, 2**63),
        (Kind.STOP, 9, 0), (Kind.HELLO, 2, 0), (Kind.DATA, 2, 0), (Kind.ENDED, 4, 1),
    ],
)  # fmt: skip
def test_a_head_refuses_strangers_and_what_cannot_be(kind, sender, seq):
    protocol = head_of(build("two heads"), 1)
    protocol.run()
    protocol.take_effects()
    with pytest.raises(RemoteProtocolError):
        protocol.on_loop(message(kind, sender, sender, seq))
    assert not protocol.take_effects()


@pytest.mark.parametrize("seq", [9, 2**63, 2**64 - 1])
def test_a_following_head_goes_no_farther_than_the_window(seq):
    protocol = head_of(build("two heads", window=8), 2)
    protocol.run()
    with pytest.raises(RemoteProtocolError, match="too far ahead"):
        protocol.on_loop(message(Kind.GO, 1, 1, seq))
    protocol.on_loop(message(Kind.GO, 1, 1, 8))
    permits = [one for one in protocol.take_effects() if isinstance(one, Permit | Stop)]
    assert permits == [Permit(seq) for seq in range(8)]


def test_nobody_but_a_head_has_a_loop():
    with pytest.raises(RemoteProtocolError, match="no head"):
        head_of(build("chain"), 2).on_loop(message(Kind.LEFT, 3, 3, 0))


@pytest.mark.parametrize(
    ("kind", "edge", "sender"), [(Kind.DATA, 2, 1), (Kind.DATA, 1, 2), (Kind.HELLO, 1, 1)]
)
def test_a_consumer_refuses_what_is_not_for_its_input(kind, edge, sender):
    protocol = head_of(build("chain"), 2)
    with pytest.raises(RemoteProtocolError):
        protocol.on_data(1, Arrived(message(kind, edge, sender, 0), b"", []))
    assert protocol.inputs[1].expected == 0


def test_nothing_comes_after_an_end():
    protocol = head_of(build("chain"), 2)
    protocol.on_data(1, Arrived(message(Kind.END, 1, 1, 0), b"", []))
    with pytest.raises(RemoteProtocolError, match="after the end"):
        protocol.on_data(1, Arrived(message(Kind.DATA, 1, 1, 1), b"", []))


def test_an_end_out_of_order_is_no_end_yet():
    protocol = head_of(build("chain"), 3)
    protocol.ended(0)
    protocol.closed()
    protocol.on_data(2, Arrived(message(Kind.END, 2, 2, 1), b"", []))
    over = [protocol.over]
    protocol.on_data(2, Arrived(message(Kind.DATA, 2, 2, 0), b"", []))
    over.append(protocol.over)
    assert over == [False, True]
    states = [unpack(one.frame)[0] for one in protocol.take_effects() if hasattr(one, "producer")]
    assert (states[-1].kind, states[-1].seq) == (Kind.STATE, 2)


def test_many_stops_make_one():
    protocol = head_of(build("nested"), 2)
    protocol.take_effects()
    for sender in (4, 5, 4):
        protocol.on_back(message(Kind.STOP, 2, sender, 0))
    effects = protocol.take_effects()
    assert [one for one in effects if isinstance(one, Permit | Stop)] == [Stop()]
    assert len(effects) == 2


def test_the_last_acknowledgement_is_repeated_until_the_producer_says_bye():
    """Whoever leaves before it has arrived would let its producers wait for ever."""
    consumer, producer = head_of(build("chain"), 3), head_of(build("chain"), 2)
    producer.ended(0)
    producer.closed()
    consumer.on_data(2, Arrived(message(Kind.END, 2, 2, 0), b"", []))
    consumer.ended(0)
    consumer.closed()
    assert consumer.over
    consumer.take_effects()  # lost
    released = [consumer.released]
    consumer.acknowledge()
    (said,) = consumer.take_effects()
    producer.take_effects()
    producer.on_back(unpack(said.frame)[0])
    byes = [one for one in producer.take_effects() if getattr(one, "consumer", None) == 3]
    consumer.on_data(2, Arrived(unpack(byes[0].frames[0])[0], b"", []))
    released.append(consumer.released)
    assert released == [False, True]
    assert not consumer.take_effects(), "an answer to a farewell would go on for ever"


def test_a_farewell_before_the_end_is_refused():
    consumer = head_of(build("chain"), 3)
    with pytest.raises(RemoteProtocolError, match="before the end"):
        consumer.on_data(2, Arrived(message(Kind.BYE, 2, 2, 1), b"", []))
    assert not consumer.released
