"""What outlives an actor: its journal and its row of the ledger."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np
import pytest

from camagick_broker.errors import LocalProtocolError
from camagick_broker.journal import Journal
from camagick_broker.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def journal() -> Iterator[Journal]:
    made = Journal(4)
    yield made
    made.close()


def bytes_of(parts: list[object]) -> list[bytes]:
    return [bytes(part) for part in parts]  # type: ignore[call-overload]


def test_what_is_written_is_read(journal: Journal) -> None:
    big = np.arange(100_000, dtype=np.int16)
    journal.write(7, [b"head", big.view(np.uint8), b""], [b"state"])
    record = journal.read(7)
    assert bytes_of(record.frames) == [b"head", big.tobytes(), b""]
    assert bytes_of(record.remembered) == [b"state"]


def test_the_last_few_are_there_and_older_ones_are_not(journal: Journal) -> None:
    for seq in range(10):
        journal.write(seq, [b"%d" % seq * (20 - seq)])
    assert [bytes(journal.read(seq).frames[0])[:1] for seq in range(6, 10)] == [
        b"6",
        b"7",
        b"8",
        b"9",
    ]
    for seq in (0, 5, 10):
        with pytest.raises(LocalProtocolError, match=f"no record of iteration {seq}"):
            journal.read(seq)


def test_many_frames_are_more_than_the_kernel_takes_at_once(journal: Journal) -> None:
    journal.write(0, [b"%d" % number for number in range(3000)])
    assert bytes_of(journal.read(0).frames)[2999] == b"2999"


def test_memory_is_bounded_by_the_slots(journal: Journal) -> None:
    for seq in range(40):
        journal.write(seq, [bytes(1 << 20)])
    assert os.fstat(journal._file).st_blocks * 512 < 6 << 20


def test_it_survives_the_process_that_wrote_it(journal: Journal) -> None:
    ledger = Ledger(2)
    pid = os.fork()
    if not pid:
        journal.write(3, [b"from the dead"])
        ledger[2].made = 4
        ledger[1].low = 2**64 - 1
        os.kill(os.getpid(), 9)
    os.waitpid(pid, 0)
    assert ledger[2].made == 4
    assert (ledger[1].low, ledger[2].low) == (2**64 - 1, 0)
    assert bytes(journal.read(3).frames[0]) == b"from the dead"


def test_every_number_of_a_row_is_one_of_its_own() -> None:
    row = Ledger(1)[1]
    names = ("begun", "made", "low", "go", "ended", "over", "failed", "beat")
    for number, name in enumerate(names):
        setattr(row, name, number + 1)
    assert [getattr(row, name) for name in names] == list(range(1, 9))
