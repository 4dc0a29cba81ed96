"""stack, against a list."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from camagick.data import Data
from camagick.errors import BadOption, CamagickError
from camagick.pipe.stack import Processor as StackPipe


def run(pipe: StackPipe, value: Any) -> Any:
    return pipe.process(Data({"x": value}), Data())["x"]


@given(
    size=st.integers(1, 12),
    values=st.lists(st.floats(allow_nan=False), min_size=1, max_size=60),
    width=st.sampled_from([(), (1,), (3,), (2, 2)]),
    reslice=st.booleans(),
)
def test_like_a_list_that_forgets(size, values, width, reslice):
    pipe = StackPipe(size, reslice)
    seen, handed_out = [], []
    for value in values:
        frame = np.full(width, value)
        seen.append(value if reslice and width == (1,) else frame)
        made = run(pipe, frame)
        expected = np.array(seen[-size:])
        np.testing.assert_array_equal(made, expected)
        assert made.shape == expected.shape
        assert made.dtype == np.float64
        handed_out.append((made, expected))
    for made, expected in handed_out:  # what was handed out never changes
        np.testing.assert_array_equal(made, expected)


def test_default_size():
    pipe = StackPipe()
    for n in range(200):
        made = run(pipe, n)
    assert made.tolist() == list(range(72, 200))


@pytest.mark.parametrize(("first", "fill"), [(np.float64(4.0), 4.0), (np.array([2.0, 4.0]), 3.0)])
def test_filled_with_the_mean(first, fill):
    made = run(StackPipe(5, fill="mean"), first)
    assert made.shape == (5, *first.shape)
    np.testing.assert_array_equal(made[-1], first)
    assert (made[:-1] == fill).all()


def test_filled_stays_full():
    pipe = StackPipe(3, fill="mean")
    assert [run(pipe, n).tolist() for n in (1, 2, 3, 4)] == [
        [1, 1, 1],
        [1, 1, 2],
        [1, 2, 3],
        [2, 3, 4],
    ]


@pytest.mark.parametrize("value", [3, 3.0, True, np.int32(3), np.uint8(3), np.array(3)])
def test_numbers_of_all_kinds(value):
    assert run(StackPipe(), value).tolist() == [float(value)]


def test_each_tag_has_its_own_history():
    pipe = StackPipe(2)
    pipe.process(Data({"a": 1}), Data())
    made = pipe.process(Data({"a": 2, "b": np.zeros(3)}), Data())
    assert made["a"].tolist() == [1, 2]
    assert made["b"].shape == (1, 3)


def test_results_cannot_be_written_to():
    assert not run(StackPipe(), 1).flags.writeable


def test_the_value_is_not_kept():
    value = np.array([1.0, 2.0])
    pipe = StackPipe()
    run(pipe, value)
    value[:] = 7
    assert run(pipe, value).tolist() == [[1, 2], [7, 7]]


def test_another_shape_is_an_error():
    pipe = StackPipe()
    run(pipe, np.zeros(3))
    with pytest.raises(CamagickError, match=r"^stack: x had shape \(3,\) .* has \(4,\)"):
        run(pipe, np.zeros(4))


@pytest.mark.parametrize("value", ["3.5", b"x", None, np.array(["a"]), 1j, object()])
def test_what_is_no_number_names_the_tag(value):
    with pytest.raises(CamagickError, match=r"^stack: x "):
        run(StackPipe(), value)


@pytest.mark.parametrize(
    "kwargs", [{"size": 0}, {"size": -1}, {"size": 2.5}, {"size": True}, {"fill": "zero"}]
)
def test_nonsense_is_refused_at_once(kwargs):
    with pytest.raises(BadOption, match=r"^stack: "):
        StackPipe(**kwargs)


def test_it_says_that_it_has_a_memory():
    assert StackPipe.stateful
