"""npfun, and what is short for it."""

import asyncio
from typing import Any

import numpy as np
import pytest

from camagick.data import Data
from camagick.errors import BadOption, CamagickError
from camagick.pipe.max import Processor as MaxPipe
from camagick.pipe.min import Processor as MinPipe
from camagick.pipe.npfun import Processor as NpfunPipe
from camagick.pipe.sum import Processor as SumPipe

IMAGE = np.arange(2048.0).reshape(64, 32)


def run(pipe: Any, **data: Any) -> Any:
    return pipe.process(Data(data), Data())


def test_sum_over_everything_is_a_number():
    made = run(NpfunPipe("sum"), x=IMAGE)
    assert made == {"x": IMAGE.sum()}
    assert isinstance(made["x"], np.float64)


@pytest.mark.parametrize("pipe", [NpfunPipe("sum", axis=1), NpfunPipe("sum", 1), SumPipe(1)])
def test_axis_by_name_and_by_place(pipe):
    np.testing.assert_array_equal(run(pipe, x=IMAGE)["x"], IMAGE.sum(axis=1))


def test_tuples_reach_numpy():
    made = run(NpfunPipe("sum", axis=(0, 1), keepdims=True), x=IMAGE)["x"]
    assert made.shape == (1, 1)


def test_further_arguments_in_their_order():
    np.testing.assert_array_equal(
        run(NpfunPipe("clip", 1, 3), x=np.arange(6))["x"], [1, 1, 2, 3, 3, 3]
    )


def test_every_tag_is_treated_and_keeps_its_place():
    made = run(NpfunPipe("gradient"), b=np.arange(5.0), a=np.arange(3.0))
    assert list(made) == ["b", "a"]
    assert made["b"].shape == (5,)


@pytest.mark.parametrize(
    ("pipe", "expected"),
    [(SumPipe(), 6), (MinPipe(), 1), (MaxPipe(), 3), (NpfunPipe("median"), 2)],
)
@pytest.mark.parametrize("value", [np.array([1, 2, 3]), [1, 2, 3], (1.0, 2.0, 3.0)])
def test_short_forms_take_arrays_lists_and_tuples(pipe, expected, value):
    assert run(pipe, x=value)["x"] == expected


def test_plain_numbers_are_values_too():
    assert run(NpfunPipe("sqrt"), i=4, f=np.float64(9.0)) == {"i": 2.0, "f": 3.0}


def test_names_and_labels():
    assert [SumPipe().name, SumPipe().label] == ["sum", "sum"]
    assert [NpfunPipe("sum").name, NpfunPipe("std").label] == ["npfun", "std"]


@pytest.mark.parametrize(
    ("op", "text"),
    [
        ("summ", "did you mean.*sum"),
        ("Gradient", "did you mean gradient"),
        ("linalg.norm", "without a dot"),
        ("linalg", "is not a function"),
        ("pi", "is not a function"),
        ("float64", "is not a function"),
        ("__import__", "is not in numpy"),
        ("_core", "'_core'"),
        ("", "is not in numpy"),
        (3, "is not the name"),
    ],
)
def test_what_is_no_function_is_refused_at_once(op, text):
    with pytest.raises(BadOption, match=text):
        NpfunPipe(op)


@pytest.mark.parametrize("value", ["text", None, ["a", "b"], {"a": 1}])
def test_what_numpy_cannot_do_names_the_tag(value):
    with pytest.raises(CamagickError, match=r"^npfun sqrt: iffy ") as caught:
        run(NpfunPipe("sqrt"), iffy=value)
    assert "\n" not in str(caught.value)


def test_wrong_axis_tells_the_shape():
    with pytest.raises(CamagickError, match=r"^sum axis=2: x \(shape \(64, 32\), .*: .*axis 2"):
        run(SumPipe(axis=2), x=IMAGE)


def test_wrong_keyword_is_one_line():
    with pytest.raises(CamagickError, match=r"^max nosuch=1: x .*nosuch"):
        run(MaxPipe(nosuch=1), x=IMAGE)


def test_called_as_a_coroutine():
    made = asyncio.run(SumPipe()(data={"x": IMAGE}, context={}))
    assert made == {"x": IMAGE.sum()}


def test_no_data():
    assert asyncio.run(SumPipe()(None, None)) == {}


@pytest.mark.parametrize(
    ("words", "kind"),
    [("sqrt", "f8"), ("sqrt", "i4"), ("sqrt", "u1"), ("negative", "f4"), ("isnan", "f8"),
     ("add 1", "i2"), ("add 1.5", "i2"), ("multiply 2", "u1"), ("divide 3", "f4"),
     ("greater 1", "i8"), ("add 300", "u1"), ("power 2", "c8")],
)  # fmt: skip
def test_large_results_are_what_numpy_makes_in_the_place_that_the_runtime_has_for_them(
    words: str, kind: str
) -> None:
    name, *texts = words.split()
    args = [float(text) if "." in text else int(text) for text in texts]
    frame = np.arange(5000).reshape(50, 100).astype(kind)
    pipe = NpfunPipe(name, *args)
    places: list[np.ndarray] = []

    def allocate(shape: Any, dtype: Any) -> np.ndarray:
        places.append(np.empty(shape, dtype))
        return places[-1]

    pipe.allocate = allocate
    try:
        expected = getattr(np, name)(frame, *args)
    except OverflowError:
        with pytest.raises(CamagickError):
            run(pipe, x=frame)
        return
    made = run(pipe, x=frame)["x"]
    assert made is places[0]
    assert made.dtype == expected.dtype
    np.testing.assert_array_equal(made, expected)
    assert run(NpfunPipe(name, *args), x=frame)["x"].dtype == expected.dtype
