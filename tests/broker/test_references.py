"""What is written down of messages for another host: where their arrays lie, and it is found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from camagick_broker.errors import LocalProtocolError
from camagick_broker.ledger import Row
from camagick_broker.references import Layer, restored
from camagick_broker.segment import Segment
from camagick_broker.shared import SharedArrays
from camagick_broker.slotpool import SlotPool

if TYPE_CHECKING:
    from collections.abc import Iterator

LEAST = 1 << 16
LARGE, SMALL = (np.arange(size, dtype="u1") for size in (LEAST, LEAST - 1))


@pytest.fixture
def row() -> Row:
    return Row()


@pytest.fixture
def segment() -> Iterator[Segment]:
    made = Segment(1)
    yield made
    made.close()


@pytest.fixture
def shared(segment: Segment, row: Row) -> SharedArrays:
    made = SharedArrays({1: segment}, SlotPool(segment, row), least=LEAST)
    made.begin(0)
    return made


def contents(frames: list[Any]) -> list[bytes]:
    return [bytes(frame) for frame in frames]


def test_large_buffers_are_noted_and_small_ones_written(shared: SharedArrays) -> None:
    frames = [b"first", LARGE, SMALL, LARGE[::-1].copy()]
    sent, written = Layer(shared)(frames)
    assert contents(sent) == contents(frames)
    assert [len(bytes(frame)) for frame in written] == [5, 96, SMALL.nbytes]
    assert contents(restored(contents(written), shared.read)) == contents(frames)


def test_what_lies_there_is_not_copied(shared: SharedArrays) -> None:
    array = shared.empty(LEAST, "u1")
    array[:] = 7
    (_, sent), _ = Layer(shared)([b"first", array])
    assert bytes(sent) == bytes(array)
    assert shared.copied == 0


def test_a_successor_finds_them(shared: SharedArrays, segment: Segment, row: Row) -> None:
    _, written = Layer(shared)([b"first", LARGE])
    other = SharedArrays({1: segment}, SlotPool(segment, row, made=1))
    assert contents(restored(written, other.read)) == [b"first", LARGE.tobytes()]


def test_what_is_not_there_any_more_is_said(shared: SharedArrays, row: Row) -> None:
    _, written = Layer(shared)([b"first", LARGE])
    shared.end()
    row.low = 1
    shared.begin(1)
    Layer(shared)([b"next", LARGE])
    with pytest.raises(LocalProtocolError, match="what is not there"):
        restored(written, shared.read)


def test_without_room_they_are_written(segment: Segment, row: Row) -> None:
    full = SharedArrays({1: segment}, SlotPool(segment, row, most=0), least=LEAST)
    full.begin(0)
    sent, written = Layer(full)([b"first", LARGE])
    assert contents(written)[2:] == contents(sent)[1:] == [LARGE.tobytes()]
