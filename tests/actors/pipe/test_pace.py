"""pace, with a clock that stands still unless it is told to move."""

import asyncio

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from camagick.data import Data
from camagick.errors import BadOption
from camagick.pipe.pace import Processor as PacePipe
from camagick.tools.schedule import Schedule


@pytest.mark.parametrize(
    ("args", "kwargs", "period"),
    [
        ((2.0,), {}, 0.5),
        ((), {"Hz": 4}, 0.25),
        ((), {"ms": 20}, 0.02),
        ((), {"s": 3}, 3.0),
        ((None, 5), {}, 0.005),
        ((None, None, 7), {}, 7.0),
    ],
)
def test_units(args, kwargs, period):
    assert PacePipe(*args, **kwargs).period == pytest.approx(period)


@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"Hz": 1, "s": 1},
        {"Hz": 0},
        {"ms": -1},
        {"s": "x"},
        {"s": True},
        {"Hz": float("inf")},
        {"Hz": float("nan")},
    ],
)
def test_nonsense_is_refused_at_once(kwargs):
    with pytest.raises(BadOption, match=r"^pace: "):
        PacePipe(**kwargs)


def test_data_goes_through_and_the_next_has_to_wait(monkeypatch):
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    pipe = PacePipe(s=2)
    data = Data({"x": np.arange(3)})
    assert pipe.due() == 0
    assert pipe.process(data, Data()) is data
    assert pipe.due() == pytest.approx(2.0)
    now = 101.5
    assert pipe.due() == pytest.approx(0.5)
    now = 102.25
    assert pipe.due() == 0
    pipe.process(data, Data())
    assert pipe.due() == pytest.approx(1.75)  # the lateness is not handed on


def test_called_as_a_coroutine_it_waits():
    pipe = PacePipe(ms=1)
    for _ in range(3):
        assert asyncio.run(pipe({"x": 1}, {})) == {"x": 1}


def test_after_a_long_break_there_is_no_burst():
    schedule = Schedule(1.0)
    schedule.passed(0.0)
    schedule.passed(10.5)
    assert schedule.due(10.5) == 1.0


@given(st.floats(0.001, 10), st.lists(st.floats(0, 0.9), min_size=1, max_size=50))
def test_late_passes_do_not_add_up(period, delays):
    schedule = Schedule(period)
    schedule.passed(0.0)
    now = 0.0
    for n, delay in enumerate(delays, 1):
        now += schedule.due(now)
        assert now == pytest.approx(n * period)
        now += delay * period
        schedule.passed(now)


def test_it_says_what_it_is():
    assert PacePipe.paces
    assert PacePipe.stateful
