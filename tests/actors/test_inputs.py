"""Inputs of one iteration that do not belong together are never mixed."""

from __future__ import annotations

import pytest

from camagick.actor.inputs import Branch, Inputs, Torn, check_whole
from camagick.actor.messages import Writer
from camagick.actor.share import Shared
from camagick.data import Data, adopt
from camagick_broker.edges import Joined
from camagick_broker.events import Arrived
from camagick_broker.reader import decode
from camagick_broker.wire import unpack
from tests.broker.actors import wirings

#: Actor 1 feeds 2 and 3; 4 is fed by nobody.
LINES = {2: frozenset({1, 2}), 3: frozenset({1, 3}), 4: frozenset({4})}


@pytest.mark.parametrize(
    "lineages",
    [
        {2: {}, 3: {}},
        {2: {1: 2}, 3: {1: 2}},
        {2: {1: 2, 2: 5}, 3: {1: 2}},  # only one of them comes from 2
        {2: {1: 3}, 3: {1: 3}, 4: {}},  # and 4 from neither
        {2: {}, 3: {}, 4: {4: 7}},
    ],
)
def test_what_belongs_together(lineages: dict[int, dict[int, int]]) -> None:
    check_whole(lineages, LINES)


@pytest.mark.parametrize(
    "lineages", [{2: {1: 2}, 3: {}}, {2: {}, 3: {1: 2}}, {2: {1: 2}, 3: {1: 3}, 4: {}}]
)
def test_what_does_not(lineages: dict[int, dict[int, int]]) -> None:
    with pytest.raises(Torn, match="different attempts of actor 1"):
        check_whole(lineages, LINES)


def arrived(maker: int, lineage: dict[int, int], **values: object) -> Arrived:
    """Return a message as an actor sends it, with its values made by that actor."""
    write = Writer(wirings("", {1: (2, 3, 4), 2: (5,), 3: (5,), 4: (5,)})[maker], copies=False)
    context = adopt(1, {"scan": 7}, Data())
    frames = write(0, adopt(maker, values, Data()), context, lineage)
    head, body = unpack(frames[0])
    return Arrived(head, decode(body, frames[1:]), frames[1:])


def test_a_join_merges_what_belongs_together_and_nothing_else() -> None:
    tree = (Branch(2, "sum", frozenset({2})), Branch(3, "min", frozenset({3})))
    inputs = Inputs((2, 3), tree, LINES)
    for lineage in ({}, {1: 2}):
        messages = [arrived(2, lineage, x=5.0), arrived(3, lineage, y=[1])]
        given = inputs(Joined(0, messages, ended=False))
        assert given.data == {"x": 5.0, "y": [1]}
        assert given.data.marks["y"].origin == (3, "y")
        assert given.context == {"scan": 7}
        assert given.lineage == lineage
    with pytest.raises(Torn, match="different attempts of actor 1"):
        inputs(Joined(0, [arrived(2, {1: 2}, x=5.0), arrived(3, {}, y=[1])], ended=False))


def test_of_workers_only_the_one_whose_turn_it_was_counts() -> None:
    shared = Shared((2, 3))
    tree = (Branch(shared, "sum", frozenset()), Branch(4, "", frozenset()))
    lines = {2: frozenset({1, 2}), 3: frozenset({1, 3}), 4: frozenset({1, 4})}
    inputs = Inputs((2, 3, 4), tree, lines)
    alone = Inputs((2, 3), shared, lines)
    for seq in range(4):
        turn = 2 + seq % 2
        # What the others say of an iteration that was not theirs must not matter, nor its attempt.
        messages = [
            arrived(number, {1: 2} if number in (turn, 4) else {1: 1}, **{f"x{number}": seq})
            for number in (2, 3, 4)
        ]
        given = inputs(Joined(seq, messages, ended=False))
        assert given.data == {f"x{turn}": seq, "x4": seq}
        assert given.lineage == {1: 2}
        assert alone(Joined(seq, messages[:2], ended=False)).data == {f"x{turn}": seq}
