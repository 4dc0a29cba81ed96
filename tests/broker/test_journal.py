"""The journal of what nobody could make again: what is needed is there, and little more."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from camagick_broker.errors import LocalProtocolError
from camagick_broker.journal import Journal
from camagick_broker.ledger import Row

if TYPE_CHECKING:
    from collections.abc import Iterator

MB = 1 << 20


@pytest.fixture
def row() -> Row:
    return Row()


@pytest.fixture
def journal(row: Row) -> Iterator[Journal]:
    made = Journal(10, row, memory=2)
    yield made
    made.close()


def held(journal: Journal) -> int:
    return os.fstat(journal._file).st_blocks * 512


def test_the_last_records_are_there_and_older_ones_are_not(journal: Journal) -> None:
    for seq in range(25):
        journal.write(seq, [b"%d" % seq, bytes(seq)], [b"r"])
    for seq in range(15, 25):
        record = journal.read(seq)
        assert [bytes(one) for one in record.frames] == [b"%d" % seq, bytes(seq)]
        assert [bytes(one) for one in record.remembered] == [b"r"]
    for seq in (14, 25):
        with pytest.raises(LocalProtocolError, match=f"no record of iteration {seq}"):
            journal.read(seq)


def test_it_holds_no_more_than_what_is_under_way(journal: Journal, row: Row) -> None:
    for seq in range(40):
        journal.write(seq, [bytes(MB)])
        row.low = max(0, seq - 2)  # 3 are under way; 2 more are to be remembered
    assert held(journal) <= 7 * MB
    for seq in range(row.low - 2, 40):
        assert journal.read(seq).frames[0].nbytes == MB


def test_a_successor_finds_everything_and_replaces_what_was_half_written(row: Row) -> None:
    first, second = Journal(10, row, memory=2), Journal(10, row, memory=2)
    second._file, second._heads = first._file, first._heads  # as a fork inherits them
    for seq in range(6):
        first.write(seq, [b"first %d" % seq])
    row.low = 3
    assert [bytes(second.read(seq).frames[0]) for seq in range(1, 6)] == [
        b"first %d" % seq for seq in range(1, 6)
    ]
    second.write(5, [b"second 5"])
    second.write(6, [b"second 6"])
    assert bytes(second.read(5).frames[0]) == b"second 5"
    assert len(second._places) == 6
    first.close()
