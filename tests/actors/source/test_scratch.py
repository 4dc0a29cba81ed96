"""scratch."""

import asyncio
from typing import Any

import numpy as np
import pytest

from camagick.data import Data
from camagick.errors import BadOption
from camagick.source.scratch import METHODS
from camagick.source.scratch import Processor as ScratchSource


def make(method: str, *tags: str, **kwargs: Any) -> dict[str, Any]:
    return ScratchSource(method, *tags, **{"rate": 0, **kwargs}).process(Data(), Data())


@pytest.mark.parametrize("method", [name for name in METHODS if name != "static"])
def test_shapes_and_order(method):
    made = make(method, "iffy", jedda=2048, one=1, image=(4, 3), none=0, listed=[2, 2])
    assert {tag: value.shape for tag, value in made.items()} == {
        "jedda": (2048,),
        "one": (1,),
        "image": (4, 3),
        "none": (0,),
        "listed": (2, 2),
        "iffy": (1,),
    }
    assert list(made) == ["jedda", "one", "image", "none", "listed", "iffy"]
    assert {value.dtype for value in made.values()} == {np.dtype("float64")}


@pytest.mark.parametrize("method", [name for name in METHODS if name != "static"])
def test_every_iteration_has_arrays_of_its_own(method):
    source = ScratchSource(method, x=5, rate=0)
    first = source.process(Data(), Data())["x"]
    kept = first.copy()
    second = source.process(Data(), Data())["x"]
    assert not np.shares_memory(first, second)
    np.testing.assert_array_equal(first, kept)
    first[:] = -1
    assert (source.process(Data(), Data())["x"] != -1).all()


@pytest.mark.parametrize(
    ("method", "opts", "expected"),
    [
        ("zeros", {}, [0, 0, 0, 0]),
        ("ones", {}, [1, 1, 1, 1]),
        ("ones", {"factor": 3}, [3, 3, 3, 3]),
        ("linspace", {}, np.linspace(0, 1, 4)),
        ("linspace", {"start": 1, "stop": 3}, np.linspace(1, 3, 4)),
        ("linspace", {"endpoint": False}, [0, 0.25, 0.5, 0.75]),
        ("sinus", {}, np.sin(np.linspace(0, 6.28, 4))),
        (
            "sinus",
            {"start": 1, "stop": 2, "ampl": 3, "freq": 4},
            3 * np.sin(np.linspace(1, 2, 4) * 4),
        ),
        ("counter", {"start": 5}, [5, 5, 5, 5]),
    ],
)
def test_values_and_options(method, opts, expected):
    np.testing.assert_allclose(make(method, x=4, opts=opts)["x"], expected)


def test_curves_of_several_dimensions_go_row_by_row():
    np.testing.assert_allclose(make("linspace", x=(2, 3))["x"].ravel(), np.linspace(0, 1, 6))


def test_random_is_between_0_and_1_and_new_each_time():
    source = ScratchSource("random", x=1000, rate=0)
    first, second = (source.process(Data(), Data())["x"] for _ in range(2))
    assert 0 <= first.min() < first.max() < 1
    assert (first != second).any()


def test_the_seed_repeats_a_run():
    def run(seed: int) -> list[Any]:
        source = ScratchSource("random", "a", x=3, rate=0, seed=seed)
        asyncio.run(source.startup())
        return [source.process(Data(), Data())["x"].tolist() for _ in range(2)]

    assert run(7) == run(7)
    assert run(7) != run(8)


def test_the_counter_counts_iterations():
    source = ScratchSource("counter", "b", a=2, rate=0, opts={"start": 1, "inc": 0.5})
    seen = [source.process(Data(), Data()) for _ in range(3)]
    assert [made["a"].tolist() for made in seen] == [[1, 1], [1.5, 1.5], [2, 2]]
    assert [made["b"].tolist() for made in seen] == [[1], [1.5], [2]]


@pytest.mark.parametrize(
    ("opts", "expected"),
    [
        ({}, ""),
        ({"value": "3"}, 3),
        ({"value": "3.5"}, 3.5),
        ({"value": "text"}, "text"),
        ({"value": 2.0}, 2.0),
        ({"value": "7.0", "asint": True}, 7),
    ],
)
def test_static_gives_the_value_itself(opts, expected):
    if opts.get("asint"):
        opts = {**opts, "value": float(opts["value"])}
    made = make("static", "b", a=4, opts=opts)
    assert made["a"] == expected
    assert type(made["a"]) is type(expected)
    assert made["b"].shape == ()
    assert made["b"] == expected


@pytest.mark.parametrize(
    ("args", "kwargs", "text"),
    [
        (("nosuch", "a"), {}, "no method 'nosuch': there are static, sinus, "),
        (("zeros",), {}, "names no data"),
        (("zeros", "a"), {"a": 3}, "a is named twice"),
        (("zeros", "a", "a"), {}, "a is named twice"),
        (("zeros",), {"a": -1}, "a=-1 is neither a length nor a shape"),
        (("zeros",), {"a": "4,x"}, "neither a length nor a shape"),
        (("zeros",), {"a": 2.5}, "neither a length nor a shape"),
        (("zeros",), {"a": True}, "neither a length nor a shape"),
        (("zeros", "a"), {"opts": {"factor": 2}}, "zeros has no option 'factor': it has none"),
        (("ones", "a"), {"opts": {"fac": 2}}, "ones has no option 'fac': it has factor"),
        (("ones", "a"), {"opts": {"factor": "x"}}, "factor='x' is not a number"),
        (("ones", "a"), {"opts": "factor"}, "is not of the form"),
        (("static", "a"), {"opts": {"value": "x", "asint": True}}, "is not an integer"),
        (("zeros", "a"), {"rate": "fast"}, "rate='fast'"),
        (("zeros", "a"), {"rate": float("nan")}, "rate=nan"),
        (("random", "a"), {"seed": -1}, "seed=-1"),
        (("random", "a"), {"seed": 1.5}, "seed=1.5"),
    ],
)
def test_nonsense_is_refused_at_once(args, kwargs, text):
    with pytest.raises(BadOption) as caught:
        ScratchSource(*args, **kwargs)
    assert text in str(caught.value)


def test_the_rate_is_kept(monkeypatch):
    now = 50.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    source = ScratchSource("zeros", "a")
    assert source.due() == 0
    source.process(Data(), Data())
    now = 50.004
    assert source.due() == pytest.approx(0.006)
    now = 50.013
    assert source.due() == 0
    source.process(Data(), Data())
    assert source.due() == pytest.approx(0.007)


@pytest.mark.parametrize("rate", [0, -1, 0.0, float("inf"), 1e9])
def test_no_limit(rate):
    source = ScratchSource("zeros", "a", rate=rate)
    for _ in range(3):
        assert source.due() == 0
        source.process(Data(), Data())


def test_it_is_a_source():
    assert ScratchSource("zeros", "a").role == "source"
