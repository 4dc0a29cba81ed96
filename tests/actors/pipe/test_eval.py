"""eval: expressions that asteval evaluates."""

import asyncio
import sys
from typing import Any

import numpy as np
import pytest

from camagick.data import Data
from camagick.errors import BadOption, CamagickError, MissingExtra
from camagick.pipe.eval import Processor as EvalPipe


def run(expression: str, value: Any, **context: Any) -> Any:
    return EvalPipe(expression).process(Data({"x": value}), Data(context))["x"]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("{} * 2", 8.0),
        ("sqrt({})", 2.0),
        ("{}**2 + {}", 20.0),
        ("{} if {} > 3 else 0", 4.0),
        ("{} == 4", True),
        ("{} / norm", 2.0),
        (" ( {} +\n 1 ) ", 5.0),
        ("7", 7),
        ("'text'", "text"),
    ],
)
def test_expressions(expression, expected):
    assert run(expression, np.float64(4.0), norm=2) == expected


def test_arrays():
    made = run("{}[1:] - {}.mean()", np.arange(4.0))
    np.testing.assert_array_equal(made, [-0.5, 0.5, 1.5])


def test_text():
    assert run("{} + '!'", "hi") == "hi!"


def test_the_context_hides_names_of_numpy_only_while_it_has_them():
    pipe = EvalPipe("pi")
    assert pipe.process(Data({"x": 0}), Data({"pi": 3})) == {"x": 3}
    assert pipe.process(Data({"x": 0}), Data()) == {"x": np.pi}


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("{} + nosuch", "NameError: name 'nosuch' is not defined"),
        ("1 / (1 - 1)", "ZeroDivisionError"),
        ("{}[9]", "IndexError"),
        ("__import__('os')", "NameError"),
        ("open('/nowhere/x', 'w')", "open"),
    ],
)
def test_errors_name_tag_and_expression(expression, said):
    with pytest.raises(CamagickError, match=r"^eval: x \(shape \(3,\), ") as caught:
        run(expression, np.arange(3))
    assert said in str(caught.value)
    assert expression in str(caught.value)
    assert "\n" not in str(caught.value)


def test_it_goes_on_after_an_error():
    pipe = EvalPipe("1 / {}")
    with pytest.raises(CamagickError):
        pipe.process(Data({"x": 0}), Data())
    assert pipe.process(Data({"x": 2}), Data()) == {"x": 0.5}


@pytest.mark.parametrize("expression", ["", "{} +", "a = 1", "import os"])
def test_what_is_no_expression_is_refused_at_once(expression):
    with pytest.raises(BadOption, match="is not an expression"):
        EvalPipe(expression)


def test_without_asteval(monkeypatch):
    monkeypatch.setitem(sys.modules, "asteval", None)
    with pytest.raises(MissingExtra, match="eval needs asteval"):
        asyncio.run(EvalPipe("{}").startup())
