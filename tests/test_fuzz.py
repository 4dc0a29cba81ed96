"""The fuzz target, in the size of a test: see `tests/fuzz_wire.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import fuzz_wire

if TYPE_CHECKING:
    import random

SEEDS = fuzz_wire.seeds()


@pytest.mark.parametrize("data", SEEDS)
def test_every_seed_is_read_or_refused(data: bytes) -> None:
    fuzz_wire.check(data)


@settings(max_examples=1000, deadline=None)
@given(st.sampled_from(SEEDS), st.randoms(use_true_random=False), st.integers(1, 3))
def test_mutations_are_read_or_refused(data: bytes, rng: random.Random, times: int) -> None:
    for _ in range(times):
        data = fuzz_wire.mutated(data, SEEDS, rng)
    fuzz_wire.check(data)


def test_a_fuzz_run_ends_in_time() -> None:
    assert fuzz_wire.fuzz(0.5, seed=1) > 0


def test_the_target_finds_what_is_to_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A decoder that lets a KeyError through is caught at once."""

    def careless(*_: object) -> None:
        raise KeyError("nobody's")

    monkeypatch.setattr(fuzz_wire, "decode", careless)
    with pytest.raises(KeyError):
        fuzz_wire.fuzz(10, seed=1)
