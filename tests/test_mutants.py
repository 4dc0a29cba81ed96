"""The tests of this folder would see it if a promise of the bus were broken."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos import Run
from tests.mutants import MUTANTS

ROOT = Path(__file__).resolve().parents[1]
#: Some faults need some luck to show.
TRIES = 8


@pytest.fixture(autouse=True)
def _find_the_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", sorted(MUTANTS.keys() - {"unlucky"}))
def test_a_broken_promise_is_seen(name: str, tmp_path: Path) -> None:
    for seed in range(TRIES):
        folder = tmp_path / str(seed)
        folder.mkdir()
        command = ("-m", "tests.mutants", name)
        run = Run(folder, "fanout", seed, 600, command, deadline_s=6)
        if not run(["kill"], 8).good:
            return
    pytest.fail(f"{name} does no harm that is seen")


@pytest.mark.parametrize("topology", ["chain", "nested"])
def test_a_sink_that_dies_between_commit_and_acknowledgement(topology: str, tmp_path: Path) -> None:
    run = Run(tmp_path, topology, 0, 600, ("-m", "tests.mutants", "unlucky"))
    outcome = run(["kill"], 0)
    assert outcome.good, f"{outcome.wrong}\n{outcome.log}"
    assert outcome.log.count("is started again") >= 3
