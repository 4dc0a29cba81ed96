"""Processors with a memory are killed, and know what they knew."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.chaos import titles
from tests.launch.test_supervisor import rest, start, wait_for

if TYPE_CHECKING:
    from pathlib import Path

COUNT = 400


def killed_in_between(victim: str, *words: str) -> list[str]:
    """Return the lines of a run whose actor was killed three times."""
    process = start("-restart", "9", "-count", str(COUNT), *words, "--to-summary")
    assert process.stdout is not None
    lines: list[str] = []
    killed: set[int] = set()
    for _ in range(3):
        lines += [process.stdout.readline() for _ in range(60)]
        found = wait_for(lambda: titles(process).get(victim), victim)
        wait_for(lambda: titles(process)[victim].pid not in killed, "a new process")
        found = titles(process)[victim]
        killed.add(found.pid)
        found.kill()
    out, err = rest(process)
    assert process.returncode == 0, err
    return [line.strip() for line in lines] + out.splitlines()


def test_a_history_is_whole() -> None:
    words = ["--from-scratch", "counter", "n=1", "rate=300", "--stack", "10", "--npfun", "sum"]
    lines = killed_in_between("stack.2", *words)
    assert lines == [f"n: {sum(range(max(0, n - 9), n + 1))}.0" for n in range(COUNT)]


def test_random_numbers_with_a_seed_go_on() -> None:
    words = ["--from-scratch", "random", "n=2", "seed=5", "rate=300"]
    undisturbed = start("-count", str(COUNT), *words, "--to-summary")
    expected, _ = rest(undisturbed)
    assert killed_in_between("scratch.1", *words) == expected.splitlines()


@pytest.mark.parametrize("victim", ["scratch.1", "scratch.2"])
def test_a_source_in_mid_chain_is_asked_once_for_each_iteration(
    victim: str, tmp_path: Path
) -> None:
    words = ["--from-scratch", "counter", "a=1", "rate=300"]
    words += ["--from-scratch", "counter", "b=1", "rate=0"]
    words += ["{", "--to-summary", "mode=table", f"path={tmp_path / 'rows'}"]
    killed_in_between(victim, *words, "[", "--only", "a", "--npfun", "sum", "]", "}")
    rows = (tmp_path / "rows").read_text().splitlines()
    numbers = [row.replace("[", "").replace("]", "").split() for row in rows if row[0] != "#"]
    assert [float(a) for a, _ in numbers] == list(range(COUNT))
    assert [float(b) for _, b in numbers] == list(range(COUNT))
