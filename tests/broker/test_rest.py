"""When messages of another host may gather before they are read."""

from __future__ import annotations

from dataclasses import replace

import pytest

from camagick_broker.rest import Rest
from camagick_broker.wiring import Wiring

FAR = Wiring(
    run=b"12345678", bus="b", bus_dir="", number=2, name="sum.2", inputs=(1,), consumers=(),
    heads=(1,), gates=(), terminals=(2,), window=16, far=frozenset({1}),
)  # fmt: skip


def after(interval_s: float, messages: int = 1, count: int = 50) -> tuple[Rest, float]:
    """Return one to whom messages came at equal intervals, and the time of the last."""
    rest, now = Rest(FAR), 100.0
    for _ in range(count):
        now += interval_s
        rest.note(messages, now)
    return rest, now


def test_whoever_is_far_and_has_several_under_way_may_wait() -> None:
    assert Rest(FAR).inputs == {1}
    assert not Rest(replace(FAR, far=frozenset())).inputs, "of this host: latency counts"
    assert not Rest(replace(FAR, lockstep=True)).inputs
    assert not Rest(replace(FAR, window=4)).inputs


@pytest.mark.parametrize("interval_s", [0.0002, 0.0008])
def test_a_fast_stream_gathers_for_a_few_messages(interval_s: float) -> None:
    rest, now = after(interval_s)
    assert rest.wanted_s(now) == pytest.approx(min(3 * interval_s, 0.002), rel=0.05)


def test_what_comes_together_already_hardly_waits() -> None:
    rest, now = after(0.001, messages=50)
    assert rest.wanted_s(now) < 0.0001


def test_a_slow_stream_a_first_message_and_a_pause_do_not_wait() -> None:
    rest, now = after(0.004)
    assert rest.wanted_s(now) == 0
    assert Rest(FAR).wanted_s(1.0) == 0
    rest, now = after(0.0005)
    assert rest.wanted_s(now + 0.0021) == 0
