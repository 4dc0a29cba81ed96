"""What an array remembers: compared with a plain list of everything that was stored."""

from hypothesis import given
from hypothesis import strategies as st

from camagick.tools.record import UNKNOWN, Record, Stamp


@given(
    gaps=st.lists(st.tuples(st.integers(1, 3), st.sampled_from([1, 1, 1, 5])), max_size=40),
    asked=st.integers(0, 130),
)
def test_it_knows_or_says_that_it_does_not(gaps, asked):
    record, stored, seq, frame = Record(), {}, -1, -1
    for later, further in gaps:
        seq, frame = seq + later, frame + further
        record.note(Stamp("run", 1, seq), frame)
        stored[seq] = frame
    record = Record.parse(record.text())  # as if read from the file
    assert record.has(Stamp("run", 1, asked)) == (bool(stored) and asked <= seq)
    if record.has(Stamp("run", 1, asked)):
        assert record.frame(Stamp("run", 1, asked)) in (stored.get(asked), UNKNOWN)
        newest = sorted(stored)[-8:]
        if asked >= newest[0]:  # it is exact for at least the last eight
            assert record.frame(Stamp("run", 1, asked)) == stored.get(asked)
    assert not record.has(Stamp("run", 2, asked))
    assert not record.has(Stamp("other", 1, asked))


def test_a_steady_sink_takes_little_room():
    record = Record()
    for seq in range(10000):
        record.note(Stamp("run", 1, seq), seq + 7)
    rows = [{"run": "run", "actor": 1, "seq": 9999, "frames": [[0, 7, 10000]]}]
    assert record.rows() == rows


def test_it_does_not_grow_for_ever():
    record = Record()
    for run in range(100):
        for seq in range(0, 100, 2):
            record.note(Stamp(f"run {run}", 1, seq), seq)
    assert [row["run"] for row in record.rows()] == [f"run {run}" for run in range(96, 100)]
    assert len(record.text()) < 1000


def test_what_is_no_record_is_none():
    for text in ("", "no JSON", "7", "[7]", '[{"run": 1}]', '[{"run":"a","actor":1,"frames":[7]}]'):
        assert Record.parse(text).rows() == []
