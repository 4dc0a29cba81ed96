"""slice does what numpy's square brackets do."""

import asyncio
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from camagick.data import Data
from camagick.errors import BadOption, CamagickError, MissingExtra
from camagick.pipe.slice import Processor as SlicePipe

IMAGE = np.arange(2048.0).reshape(64, 32)


def cut(value: Any, *dims: Any, **context: Any) -> Any:
    return SlicePipe(*dims).process(Data({"x": value}), Data(context))["x"]


@pytest.mark.parametrize(
    ("dims", "index"),
    [
        ((0,), np.s_[0]),
        (("0",), np.s_[0]),
        (("0:10", "3:8"), np.s_[0:10, 3:8]),
        (("16:48", "8:24"), np.s_[16:48, 8:24]),
        (("0:10,3:8",), np.s_[0:10, 3:8]),
        ((" 0:10 , 3:8 ",), np.s_[0:10, 3:8]),
        ((":",), np.s_[:]),
        (("::2", "::-1"), np.s_[::2, ::-1]),
        (("-1",), np.s_[-1]),
        (("None", ":", "3"), np.s_[None, :, 3]),
        (("", ":", "3"), np.s_[None, :, 3]),
        ((None, 5), np.s_[None, 5]),
        (("None:3",), np.s_[None:3]),
        (("...", "3"), np.s_[..., 3]),
        ((..., 3), np.s_[..., 3]),
        ((slice(2, None), 3), np.s_[2:, 3]),
        (((1, 2),), np.s_[1, 2]),
        ((("0:10", "3:8"),), np.s_[0:10, 3:8]),
        (("max(2,1):10",), np.s_[2:10]),
        ((("max(2", "1):10", 4),), np.s_[2:10, 4]),
        (("100:200",), np.s_[100:200]),
        ((), np.s_[...]),
    ],
)
def test_like_numpy(dims, index):
    np.testing.assert_array_equal(cut(IMAGE, *dims), IMAGE[index])


bounds = st.none() | st.integers(-9, 9)
steps = st.none() | st.integers(-4, 4).filter(bool)
ranges = st.builds(slice, bounds, bounds, steps)
dims = st.lists(ranges | st.integers(-3, 2) | st.none() | st.just(...), max_size=4)


def fits_three_dimensions(dims: list[Any]) -> bool:
    used = [dim for dim in dims if dim is not None and dim is not ...]
    return dims.count(...) <= 1 and len(used) <= 3


def text(dim: Any) -> str:
    if isinstance(dim, slice):
        parts = [dim.start, dim.stop] + ([dim.step] if dim.step is not None else [])
        return ":".join("" if part is None else str(part) for part in parts)
    return "..." if dim is ... else str(dim)


@given(dims.filter(fits_three_dimensions), st.booleans())
def test_any_index_is_numpys(dims, one_argument):
    value = np.arange(3 * 4 * 5).reshape(3, 4, 5)
    words = [",".join(map(text, dims))] if one_argument and dims else [text(dim) for dim in dims]
    np.testing.assert_array_equal(cut(value, *words), value[tuple(dims)])


def test_expressions_over_the_context():
    made = cut(IMAGE, "x0-5:x0+5", "w*2", x0=np.float64(20.0), w=np.array([3]))
    np.testing.assert_array_equal(made, IMAGE[15:25, 6])


def test_the_context_is_read_anew_each_time():
    pipe = SlicePipe("n")
    asyncio.run(pipe.startup())
    seen = [pipe.process(Data({"x": np.arange(9)}), Data({"n": n}))["x"] for n in (3, 0, 8)]
    assert seen == [3, 0, 8]


def test_a_name_that_is_gone_is_not_remembered():
    pipe = SlicePipe("n")
    pipe.process(Data({"x": np.arange(9)}), Data({"n": 1}))
    with pytest.raises(CamagickError, match="'n': NameError"):
        pipe.process(Data({"x": np.arange(9)}), Data())


@pytest.mark.parametrize("n", [1.5, "two", np.arange(3)])
def test_an_expression_must_give_an_integer(n):
    with pytest.raises(CamagickError, match="not an integer"):
        cut(IMAGE, "n", n=n)


def test_lists_are_arrays_here():
    np.testing.assert_array_equal(cut([1, 2, 3], "1:"), [2, 3])


@pytest.mark.parametrize(
    ("dim", "text"),
    [
        ("1.5", "not an integer"),
        (1.5, "neither an integer nor a range"),
        (True, "neither an integer nor a range"),
        ("1:2:3:4", "too many colons"),
        ("::0", "step of 0"),
        ("a b", "no expression"),
        ("...,...", "only one"),
    ],
)
def test_nonsense_is_refused_at_once(dim, text):
    with pytest.raises(BadOption, match=text):
        SlicePipe(dim)


@pytest.mark.parametrize(
    ("value", "dims", "text"),
    [
        (IMAGE, ("70",), r"^slice 70: x \(shape \(64, 32\), float64\): index 70 is out of bounds"),
        (IMAGE, ("1", "1", "1"), r"^slice 1 1 1: x .*too many indices"),
        (np.float64(3), ("0",), "^slice 0: x "),
        ("text", ("0",), "^slice 0: x .*text"),
        (None, ("0",), "^slice 0: x "),
    ],
)
def test_errors_name_tag_shape_and_request(value, dims, text):
    with pytest.raises(CamagickError, match=text):
        cut(value, *dims)


def test_no_argument_leaves_everything_alone():
    value = object()
    assert cut(value) is value


def test_asteval_is_needed_for_expressions_only(monkeypatch):
    monkeypatch.setitem(sys.modules, "asteval", None)
    asyncio.run(SlicePipe("1:3").startup())
    with pytest.raises(MissingExtra, match="slice needs asteval"):
        asyncio.run(SlicePipe("a:3").startup())
