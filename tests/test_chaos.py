"""Whatever is killed or frozen, at any time: every file has every iteration once, in order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.chaos import TOPOLOGIES, Run, compare

if TYPE_CHECKING:
    from pathlib import Path

SEEDS = range(20)
KILLS = 15


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_lost_and_nothing_is_twice_whoever_is_killed(seed: int, tmp_path: Path) -> None:
    topology = sorted(TOPOLOGIES)[seed % len(TOPOLOGIES)]
    outcome = Run(tmp_path, topology, seed)(["kill"], KILLS, source=seed >= len(SEEDS) // 2)
    assert outcome.good, f"{outcome.wrong}\n{outcome.log}"
    assert outcome.done["kill"] >= KILLS // 2


@pytest.mark.parametrize("topology", ["chain", "nested", "workers"])
def test_nor_where_processes_freeze_and_the_broker_is_killed(topology: str, tmp_path: Path) -> None:
    outcome = Run(tmp_path, topology, 7)(["freeze", "broker", "kill"], 12)
    assert outcome.good, f"{outcome.wrong}\n{outcome.log}"


def test_nor_where_hosts_are_lost(tmp_path: Path) -> None:
    outcome = Run(tmp_path, "hosts", 7)(["agent", "link", "kill"], 8)
    assert outcome.good, f"{outcome.wrong}\n{outcome.log}"
    assert outcome.done["agent"] + outcome.done["link"] > 2


@pytest.mark.parametrize(
    ("numbers", "wrong"),
    [([0, 1, 2], ""), ([0, 2], "lost [1]"), ([0, 1, 1, 2], "twice [1]"), ([1, 0, 2], "3 frames")],
)
def test_this_test_would_see_what_is_wrong(numbers: list[int], wrong: str) -> None:
    found = compare([[4 * n] for n in numbers], 4, 3)
    assert bool(found) == bool(wrong)
    assert wrong in found
