"""reshape."""

import asyncio
from typing import Any

import numpy as np
import pytest

from camagick.data import Data
from camagick.errors import BadOption, CamagickError
from camagick.pipe.reshape import Processor as ReshapePipe

VALUE = np.arange(2048.0)


def reshape(value: Any, *dims: Any, known: Any = (), **kwargs: Any) -> Any:
    return ReshapePipe(*dims, **kwargs).process(Data({"x": value}), Data(known))["x"]


@pytest.mark.parametrize(
    ("dims", "kwargs", "shape"),
    [
        ((64, 32), {}, (64, 32)),
        (("64", "32"), {}, (64, 32)),
        ((64, -1), {}, (64, 32)),
        ((-1,), {}, (2048,)),
        (("64,32",), {}, (64, 32)),
        (((64, 32),), {}, (64, 32)),
        (("(64, 32)",), {}, (64, 32)),
        ((), {"shape": (64, 32)}, (64, 32)),
        ((), {"shape": [64, 32]}, (64, 32)),
        ((), {"shape": "64,32"}, (64, 32)),
        ((), {"shape": "(64, 32)"}, (64, 32)),
        ((), {"shape": -1}, (2048,)),
        (("rows", "(8*4)"), {}, (64, 32)),
        (("rows", -1, 2), {}, (64, 16, 2)),
    ],
)
def test_shapes(dims, kwargs, shape):
    made = reshape(VALUE, *dims, known={"rows": np.float64(64)}, **kwargs)
    np.testing.assert_array_equal(made, VALUE.reshape(shape))


def test_a_single_number_and_a_list_have_elements_too():
    assert reshape(np.float64(3.0), 1, 1).shape == (1, 1)
    assert reshape([1, 2, 3, 4], 2, 2).tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("dims", "kwargs", "text"),
    [
        ((), {}, "at least one dimension"),
        ((3,), {"shape": 3}, "not both"),
        ((-1, -1), {}, "one may be -1"),
        ((-2,), {}, "0 or more"),
        ((1.5,), {}, "not the length"),
        ((True,), {}, "not the length"),
        (("a b",), {}, "no expression"),
    ],
)
def test_nonsense_is_refused_at_once(dims, kwargs, text):
    with pytest.raises(BadOption, match=text):
        ReshapePipe(*dims, **kwargs)


def test_wrong_size_names_tag_shape_and_request():
    text = r"^reshape 64 32: x \(shape \(100,\), float64\): cannot reshape array of size 100"
    with pytest.raises(CamagickError, match=text) as caught:
        reshape(np.zeros(100), 64, 32)
    assert isinstance(caught.value, ValueError)


def test_text_cannot_be_reshaped():
    with pytest.raises(CamagickError, match=r"^reshape 2: x .*text"):
        reshape("ab", 2)


def test_unknown_name_in_an_expression():
    pipe = ReshapePipe("rows", -1)
    asyncio.run(pipe.startup())
    with pytest.raises((CamagickError, ValueError), match="'rows': NameError"):
        pipe.process(Data({"x": VALUE}), Data())
