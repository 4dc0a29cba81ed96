"""Slots: given out once, taken back when nobody can need them, whoever is killed in between."""

from __future__ import annotations

import fcntl
import itertools
import mmap
import os
import resource
from typing import TYPE_CHECKING

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from camagick_broker.ledger import Row
from camagick_broker.segment import SEGMENT_BYTES, Segment
from camagick_broker.slotpool import SlotPool
from camagick_broker.slottable import (
    MOST_SLOTS,
    SMALL_BYTES,
    TABLE_BYTES,
    Slot,
    SlotTable,
    size_for,
    window_of,
)  # fmt: skip
from camagick_broker.windows import map_part

if TYPE_CHECKING:
    from collections.abc import Iterator

MB = 1 << 20


@pytest.fixture
def segment() -> Iterator[Segment]:
    made = Segment(1)
    yield made
    made.close()


def taken(pool: SlotPool, size: int, seq: int) -> Slot:
    slot = pool.take(size, seq)
    assert slot is not None
    return slot


def held(segment: Segment) -> int:
    return os.fstat(segment.handle).st_blocks * 512


class Pools(RuleBasedStateMachine):
    """An actor makes iterations, they end, and it is killed now and then."""

    def __init__(self) -> None:
        super().__init__()
        self.segment, self.row = Segment(1), Row()
        self.pool = SlotPool(self.segment, self.row)
        self.journalled = False
        self.seq = 0
        self.live: list[tuple[int, Slot]] = []
        self.generations: set[int] = set()

    def teardown(self) -> None:
        self.segment.close()

    @rule(size=st.sampled_from([1, 4096, 5000, SMALL_BYTES, SMALL_BYTES + 1, 200_000, MB]))
    def take(self, size: int) -> None:
        slot = taken(self.pool, size, self.seq)
        assert slot.size >= size
        assert slot.offset >= TABLE_BYTES
        assert slot.generation not in self.generations, "a reader could not tell it from another"
        for _, other in self.live:
            apart = slot.offset + slot.size <= other.offset
            assert apart or other.offset + other.size <= slot.offset, "it is in use"
        self.generations.add(slot.generation)
        self.live.append((self.seq, slot))

    @rule()
    def send(self) -> None:
        self.seq += 1
        self.row.made = self.seq

    @rule(most=st.integers(0, 5))
    def end(self, most: int) -> None:
        self.row.low = max(self.row.low, min(self.seq, self.row.low + most))
        self.live = [one for one in self.live if one[0] >= self.row.low]

    @rule()
    def be_killed_as_what_is_repeated(self) -> None:
        self.seq = self.row.low  # everything since is made again; what was sent is still looked at
        self.pool = SlotPool(self.segment, self.row)

    @rule()
    def be_killed_as_what_has_a_journal(self) -> None:
        self.seq = self.row.made  # what it was at was never sent
        self.live = [one for one in self.live if one[0] < self.row.made]
        self.pool = SlotPool(self.segment, self.row, made=self.row.made)

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def read(self, data: st.DataObject) -> None:
        _, slot = data.draw(st.sampled_from(self.live))
        table = SlotTable(map_part(self.segment, 0, TABLE_BYTES, writable=False))
        assert table.current(slot.generation) == slot

    @invariant()
    def it_holds_what_it_says(self) -> None:
        assert self.pool.held <= held(self.segment) <= self.pool.held + TABLE_BYTES


Pools.TestCase.settings = settings(max_examples=40, stateful_step_count=40)
TestPools = Pools.TestCase


def test_no_more_slots_than_are_under_way(segment: Segment) -> None:
    row = Row()
    pool = SlotPool(segment, row)
    for seq in range(100):
        taken(pool, MB, seq)
        row.low = max(0, seq - 7)
    assert pool.held == 9 * MB
    assert held(segment) <= 10 * MB


@pytest.mark.parametrize(("step_s", "most"), [(0.05, 3 * MB), (0.001, 40 * MB)])
def test_what_has_become_smaller_is_given_back_in_time(
    segment: Segment, step_s: float, most: int
) -> None:
    row = Row()
    pool = SlotPool(segment, row, clock=itertools.count(0.0, step_s).__next__)
    for seq in range(8):
        taken(pool, 4 * MB, seq)
    for seq in range(8, 700):
        row.low = seq
        taken(pool, MB, seq)
    assert most - 8 * MB < held(segment) < most
    row.low = 700
    taken(pool, 4 * MB, 700)
    assert held(segment) > 4 * MB


def test_memory_is_there_before_it_is_written(segment: Segment) -> None:
    pool = SlotPool(segment, Row())
    slot = taken(pool, MB, 0)
    before = held(segment)
    start, length = window_of(slot)
    map_part(segment, start, length, writable=True)[:] = bytes([1]) * length
    assert held(segment) == before


def test_where_there_is_no_memory_there_is_no_slot(segment: Segment) -> None:
    row = Row()
    pool = SlotPool(segment, row, most=3 * MB)
    slots = [pool.take(MB, seq) for seq in range(5)]
    assert [slot is None for slot in slots] == [False, False, False, True, True]
    row.low = 1
    assert pool.take(MB, 5) is not None, "one is free again"


def test_the_table_has_an_end(segment: Segment) -> None:
    pool = SlotPool(segment, Row())
    slots = [pool.take(1, 0) for _ in range(MOST_SLOTS + 1)]
    assert slots[-2] is not None
    assert slots[-1] is None


@pytest.mark.parametrize("size", [1, 4096, 4097, SMALL_BYTES + 1, 33 * MB, (1 << 31) - 1])
def test_a_slot_is_at_most_a_quarter_too_large(size: int) -> None:
    assert size <= size_for(size) <= max(4096, size + size // 4 + 4096)


def test_nobody_can_cut_it_off_and_only_its_actor_writes(segment: Segment) -> None:
    for size in (0, 2 * SEGMENT_BYTES):
        with pytest.raises(OSError, match="not permitted"):
            os.ftruncate(segment.handle, size)
    with pytest.raises(OSError, match="not permitted"):
        fcntl.fcntl(segment.handle, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)
    segment.only_read()
    with pytest.raises(OSError, match="denied"):
        map_part(segment, 0, mmap.PAGESIZE, writable=True)
    with pytest.raises(TypeError):
        map_part(segment, 0, mmap.PAGESIZE, writable=False)[0] = 1


def test_mappings_take_no_open_files_and_leave_no_addresses(segment: Segment) -> None:
    def addresses() -> int:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[0]) * resource.getpagesize()

    files, before = len(os.listdir("/proc/self/fd")), addresses()
    views = [map_part(segment, 0, 64 * MB, writable=False) for _ in range(8)]
    assert len(os.listdir("/proc/self/fd")) == files
    assert addresses() >= before + 512 * MB
    del views
    assert addresses() < before + 64 * MB
