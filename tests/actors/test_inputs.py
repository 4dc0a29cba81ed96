"""Inputs of one iteration that do not belong together are never mixed."""

from __future__ import annotations

import pytest

from camagick.actor.inputs import Branch, Inputs, Torn, check_whole
from camagick.actor.share import Shared
from camagick_broker.edges import Joined
from camagick_broker.encoder import Encoder
from camagick_broker.events import Arrived
from camagick_broker.reader import decode
from camagick_broker.wire import Head, Kind

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
            arrived(number, seq, {1: 2} if number in (turn, 4) else {1: 1}) for number in (2, 3, 4)
        ]
        given = inputs(Joined(seq, messages, ended=False))
        assert given.data == {f"x{turn}": seq, "x4": seq}
        assert given.lineage == {1: 2}
        assert alone(Joined(seq, messages[:2], ended=False)).data == {f"x{turn}": seq}


def arrived(number: int, seq: int, lineage: dict[int, int]) -> Arrived:
    body, buffers = Encoder()(lineage, [], [(f"x{number}", number, f"x{number}", {}, seq)])
    head = Head(Kind.DATA, b"12345678", number, number, seq)
    return Arrived(head, decode(memoryview(body), buffers), buffers)
