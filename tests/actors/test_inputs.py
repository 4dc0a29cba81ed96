"""Inputs of one iteration that do not belong together are never mixed."""

from __future__ import annotations

import pytest

from camagick.actor.inputs import Torn, check_whole

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
