"""Whole pipes on a simulated network whose actors are killed, and whose messages get lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from camagick_broker.loopside import LoopSide
from camagick_broker.post import Post
from camagick_broker.wire import Kind, unpack
from tests.broker.test_protocol import MOST, PIPES, build, pipes

if TYPE_CHECKING:
    from tests.broker.network import Network

#: With how many chances to repair something a run has to get on.
PATIENCE = 60


def run(network: Network, data: Any, kills: int = 0) -> None:
    """Let things happen in any order, and kill actors in between."""
    rng = data.draw(st.randoms(use_true_random=True))
    when = {rng.randrange(400) for _ in range(kills)}
    idle = 0
    for moment in range(MOST):
        living = [number for number, node in network.nodes.items() if not node.gone]
        if moment in when and network.running and living:
            network.kill(rng.choice(living), rng, told=rng.random() < 0.5)
        choices = network.choices()
        if choices:
            network.happen(rng.choice(choices))
        elif network.tick():
            pass
        elif all(node.gone or node.protocol.over for node in network.nodes.values()):
            return
        else:
            idle += 1
            assert idle < PATIENCE, waiting(network)
            network.repair()
    pytest.fail(f"it goes on for ever: {network.choices()} {waiting(network)}")


def waiting(network: Network) -> str:
    """Say who waits, and how far each has come."""
    lines = []
    for number, node in network.nodes.items():
        protocol, out = node.protocol, node.protocol.out
        edges = {key: edge.expected for key, edge in protocol.inputs.items()}
        kept = None if out is None else (out.low, out.next, out._low, out.missing)
        lines.append(
            f"{number}: gone={node.gone} over={protocol.over} ended={protocol._standing.ended_at}"
            f" closed={node.closed} seen={len(node.seen)} in={edges} out={kept}"
            f" running={node.running} inbox={list(node.inbox)[:2]}"
        )
    return "nothing gets it on:\n" + "\n".join(lines)


def everything_once(network: Network, count: int) -> None:
    """See that every effect, and every call that cannot be repeated, was there once, in order."""
    for node in network.nodes.values():
        if node.outliving.journal is not None or not node.wiring.consumers:
            assert node.outliving.made == list(range(count)), node.wiring.name
        else:  # done again perhaps, but all of it
            assert set(node.outliving.made) == set(range(count)), node.wiring.name
    assert not network.refused
    for node in network.nodes.values():
        assert node.gone or node.protocol.over
        assert node.protocol.out is None or not node.protocol.out.kept


@settings(max_examples=400, deadline=None)
@given(pipes, st.integers(0, 25), st.integers(1, 5), st.integers(1, 15), st.data())
def test_whoever_is_killed_everything_is_done_once_in_order(name, count, window, kills, data):
    network = build(name, count=count, window=window)
    run(network, data, kills)
    everything_once(network, count)


@settings(max_examples=300, deadline=None)
@given(pipes, st.integers(0, 12), st.integers(1, 4), st.integers(0, 4), st.data())
def test_whatever_is_lost_comes_in_the_end(name, count, window, kills, data):
    rng = data.draw(st.randoms(use_true_random=True))
    network = build(name, count=count, window=window)
    left = iter([0] * 15)

    def faults(kind: Kind) -> int:
        return next(left, 1) if network.running and rng.random() < 0.1 else 1

    network.faults = faults
    run(network, data, kills)
    everything_once(network, count)


def test_what_a_successor_repeats_is_never_less_than_it_said():
    # A gate may join before it runs; then it says how far it was when it began.
    wiring = build("three heads", count=3).nodes[4].wiring
    post = Post(wiring)
    side = LoopSide(wiring, post)
    for kind, seqs, last in ((Kind.LEFT, (2, 1), 2), (Kind.STOP, (2, 3), 2)):
        for seq in seqs:
            side.say(1, kind, seq)
        post.effects.clear()
        side.repeat()
        said = {head.kind: head.seq for head in (unpack(e.frame)[0] for e in post.effects)}
        assert said[kind] == last


@pytest.mark.parametrize("name", sorted(PIPES))
def test_the_pipes_of_this_test_can_be_killed_at_all(name):
    network = build(name, count=3)
    for number in network.nodes:
        network.kill(number, _Never(), told=True)
    assert {node.wiring.incarnation for node in network.nodes.values()} == {2}


class _Never:
    def random(self) -> float:
        return 1.0

    def randint(self, low: int, _high: int) -> int:
        return low


def test_a_leading_head_is_over_when_no_other_needs_it():
    network = build("apart in lockstep", count=1)
    leader, other = network.nodes[1], network.nodes[2]

    def concerns_other(choice: Any) -> bool:
        return choice == 2 or (isinstance(choice, tuple) and (choice[0] == 2 or choice[1] == 2))

    def happen(*, to_other: bool) -> bool:
        choices = [one for one in network.choices() if to_other or not concerns_other(one)]
        if choices:
            network.happen(choices[0])
        return bool(choices) or network.tick()

    while not leader.outliving.made:  # both have to be ready for that
        assert happen(to_other=False) or happen(to_other=True)
    while happen(to_other=False):
        pass
    assert leader.protocol._standing.may_leave
    assert not other.outliving.made
    assert not leader.outliving.row.over, "who dies now has a successor: the other one may ask it"
    while happen(to_other=True):
        pass
    assert other.outliving.made == [0]
    assert leader.outliving.row.over
