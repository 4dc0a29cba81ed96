"""Exact counts of what a listener missed, and when a message is due; no sockets."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from camagick_broker.errors import RemoteProtocolError
from camagick_broker.tapping import MAX_RATE, Schedule, Tally, rate_of, stamp_of, stamped, topic_of

#: What becomes of each message: left out by the rate, dropped on the way, or received.
FATES = st.lists(st.sampled_from(["skipped", "dropped", "arrives", "reopened"]), max_size=60)


@settings(deadline=None)
@given(fates=FATES, ends_seen=st.booleans())
def test_every_message_is_counted_once_for_what_it_was(fates: list[str], ends_seen: bool) -> None:
    tally, opened, ordinal = Tally(), 1, 0
    counts = dict.fromkeys(("skipped", "dropped", "arrives"), 0)
    begun = reopened = False
    pending = {"skipped": 0, "dropped": 0}
    for seq, fate in enumerate(fates):
        if fate == "reopened":  # by a restarted actor; this message is the first of the new tap
            opened, ordinal, reopened, fate = opened + 1, 0, True, "arrives"
        if fate == "arrives":
            assert tally.take(seq, (opened, ordinal))
            if begun:
                if reopened:  # nobody can know why what lies between did not come
                    pending = {"skipped": 0, "dropped": sum(pending.values())}
                counts["skipped"] += pending["skipped"]
                counts["dropped"] += pending["dropped"]
            counts["arrives"] += 1
            begun, reopened, pending = True, False, {"skipped": 0, "dropped": 0}
        else:
            pending[fate] += 1
        ordinal += fate != "skipped"
    tally.end(len(fates), (opened, ordinal) if ends_seen else None)
    if begun:
        counts["skipped"] += pending["skipped"] if ends_seen else 0
        counts["dropped"] += pending["dropped"] + (0 if ends_seen else pending["skipped"])
    assert (tally.received, tally.missed, tally.skipped, tally.repeated) == (
        counts["arrives"], counts["dropped"], counts["skipped"], 0
    )  # fmt: skip


def test_what_comes_again_is_no_news() -> None:
    tally = Tally()
    assert tally.take(5, (1, 0))
    assert not tally.take(5, (2, 0))
    assert not tally.take(3, (2, 1))
    assert tally.take(6, (2, 2))
    assert (tally.received, tally.missed, tally.repeated) == (2, 0, 2)


def test_the_end_counts_once() -> None:
    tally = Tally()
    tally.end(7, (1, 0))
    assert tally == Tally(), "nothing was missed of what was before the first message"
    tally.take(1, (1, 0))
    for _ in range(2):
        tally.end(4, None)
    assert tally.missed == 2


@pytest.mark.parametrize("rate", [None, 25.0, 0.1, 1e-3, 1 / 3, MAX_RATE])
def test_topics(rate: float | None) -> None:
    assert rate_of(topic_of(rate)) == rate
    assert stamp_of(stamped(topic_of(rate), 2**63, 7)) == (2**63, 7)


@pytest.mark.parametrize(
    "topic",
    [b"", b"t", b"tall", b"t25", b"t0\0", b"t-1\0", b"tnan\0", b"tinf\0", b"t1e99\0", b"t1e7\0",
     b"t1.2.3\0", b"D", b"t" + b"1" * 60 + b"\0", b"\xff" * 1000],
)  # fmt: skip
def test_what_is_no_topic(topic: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        rate_of(topic)


@pytest.mark.parametrize("frame", [b"", b"t1\0", b"t1\0" + b"x" * 15, b"t1" + b"\1" * 20])
def test_what_is_no_stamp(frame: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        stamp_of(frame)


def due(rate: float | None, times: list[float]) -> list[float]:
    schedule = Schedule(rate)
    return [now for now in times if schedule.is_due(now)]


def test_no_more_than_the_rate_and_no_less() -> None:
    times = [n / 1000 for n in range(10_000)]
    assert due(None, times) == times
    for rate in (1.0, 25.0, 300.0):
        chosen = due(rate, times)
        assert len(chosen) == pytest.approx(10 * rate, abs=1)
    assert due(5.0, [0.0, 100.0, 100.01, 100.02, 100.19, 100.21]) == [0.0, 100.0, 100.21]
