"""Compressed arrays: the same bytes again, and no time where that gains little."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest

from camagick_broker.errors import RemoteProtocolError
from camagick_broker.squeeze import AUTO, CODECS, Squeezer, restored
from camagick_broker.trial import Trial


def bytes_of(array: Any) -> Any:
    return np.asarray(array).reshape(-1).view(np.uint8)


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("dtype", ["u1", "<u2", ">i4", "<f8", "c16", "S5"])
def test_the_same_again(codec: str, dtype: str) -> None:
    arrays = [np.arange(5000).astype(dtype), np.zeros(4097, dtype)]
    buffers = [bytes_of(array) for array in arrays]
    made = Squeezer(codec)(buffers, [arrays[0].itemsize])
    assert made is not None
    assert sum(map(len, made)) < sum(buffer.nbytes for buffer in buffers)
    assert [bytes(one) for one in restored(made)] == [bytes(one) for one in buffers]


def test_bits_are_sorted_by_elements() -> None:
    buffer = bytes_of(np.random.default_rng(1).poisson(5, 100_000).astype("u2"))
    known, unknown = (Squeezer("bslz4")([buffer], sizes) for sizes in ([2], []))
    assert known is not None
    assert unknown is None or len(known[0]) < 0.7 * len(unknown[0])


def test_what_cannot_be_made_smaller_is_not_tried_each_time() -> None:
    squeezer, noise = Squeezer("lz4"), bytes_of(np.frombuffer(os.urandom(50_000), "u1"))
    zeros = bytes_of(np.zeros(50_000))
    assert squeezer([noise], [1]) is None
    assert [squeezer([zeros], [1]) is None for _ in range(64)] == [True] * 63 + [False]


def hostile() -> list[bytes]:
    (good,) = Squeezer("lz4")([bytes_of(np.zeros(50_000))], [8]) or [b""]
    bomb = bytearray(good)
    bomb[4:8] = (1 << 30).to_bytes(4, "little")
    other = bytearray(good)
    other[20:40] = b"\xff" * 20
    return [b"", good[:10], good[:-1], good + b"x", bytes(bomb), b"\0" * 100, os.urandom(100)]


@pytest.mark.parametrize("index", range(7))
def test_what_is_none_is_refused(index: int) -> None:
    with pytest.raises(RemoteProtocolError, match="compressed array"):
        restored([hostile()[index]])


def course(
    trial: Trial, clock: Clock, with_it_s: float, without_s: float, count: int
) -> list[bool]:
    """Return what a trial says of messages that take so long, compressed or not."""
    said = []
    for _ in range(count):
        said.append(trial())
        clock.now += with_it_s if said[-1] else without_s
    return said


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("with_it_s", "without_s", "kept"), [(0.1, 0.2, True), (0.2, 0.1, False), (0.1, 0.1, False)]
)
def test_the_faster_one_is_kept_for_a_while(
    with_it_s: float, without_s: float, *, kept: bool
) -> None:
    clock = Clock()
    trial = Trial(clock)
    said = course(trial, clock, with_it_s, without_s, 2000)
    assert said[0] is False
    assert True in said[:64], "both are tried"
    assert set(said[64:500]) == {kept}
    assert (not kept) in said[500:], "and again, later"
    assert said.count(kept) > 1800


def test_a_trial_takes_its_time() -> None:
    clock = Clock()
    said = course(Trial(clock), clock, 0.0001, 0.001, 600)
    # A quarter of a second of each, behind the 16 that say nothing; then what is faster.
    assert said.index(True) == pytest.approx(16 + 250, abs=2)
    assert all(said[266:])


def test_auto_begins_without() -> None:
    squeezer, zeros = Squeezer(AUTO), bytes_of(np.zeros(50_000))
    assert squeezer([zeros], [8]) is None
