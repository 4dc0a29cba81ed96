"""What words mean as values."""

from __future__ import annotations

import inspect
import math
from typing import TYPE_CHECKING, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caspy import casting
from caspy.casting import cast, guess, is_text, parameters, target

if TYPE_CHECKING:  # a name that is not there when the program runs
    from fractions import Fraction as Nowhere


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5),
        (" 5", 5),
        ("+5", 5),
        ("-1", -1),
        ("1_000", 1000),
        ("1e3", 1000.0),
        ("-inf", -math.inf),
        ("0x10", "0x10"),
        ("True", True),
        ("true", True),
        ("False", False),
        ("false", False),
        ("None", None),
        ("none", "none"),
        ("", ""),
        ("yes", "yes"),
        ("64,32", (64, 32)),
        ("5,", (5,)),
        ("(0,1)", (0, 1)),
        ("( 0 , 1 )", (0, 1)),
        ("(5)", 5),
        ("(5,)", (5,)),
        ("()", ()),
        ("[]", []),
        ("[5,6]", [5, 6]),
        ("[5]", [5]),
        ("((1,2),3)", ((1, 2), 3)),
        ("[(1,2),[3]]", [(1, 2), [3]]),
        ("(1,2),(3,4)", ((1, 2), (3, 4))),
        ("None,2", (None, 2)),
        ("a,b", "a,b"),
        ("1,b", "1,b"),
        ("(a,b)", "(a,b)"),
        ("0:10,3:8", "0:10,3:8"),
        ("(1,2", "(1,2"),
        ("(1)+(2)", "(1)+(2)"),
        (",", ","),
        (",,", ",,"),
        ('"a","b"', ("a", "b")),
        ('"5",5', ("5", 5)),
        ('"5"', "5"),
        ('"A:b==0"', "A:b==0"),
        ("'5'", "'5'"),
        ('"', '"'),
        ('""', ""),
        ('"a', '"a'),
        ("a=1,b=2.5,c=x", {"a": 1, "b": 2.5, "c": "x"}),
        ("a=b=c", {"a": "b=c"}),
        ("a=1,", {"a": 1}),
        ("start=1,stop=3", {"start": 1, "stop": 3}),
        ("shape=(3,4),x=1", {"shape": (3, 4), "x": 1}),
        ('a="5",b="x,y"', {"a": "5", "b": "x,y"}),
        ("a=", {"a": ""}),
        ("a=1,b", "a=1,b"),
        ("a==1", "a==1"),
        ("A:b==0", "A:b==0"),
        ("{tag}={}", "{tag}={}"),
        ("a=1,b==2", "a=1,b==2"),
        ("a<=1", "a<=1"),
    ],
)
def test_guess(text, value):
    found = guess(text)
    assert found == value
    assert type(found) is type(value)


def test_deep_nesting_is_text():
    text = "(" * 100_000
    assert guess(text) == text


@given(st.text())
def test_guess_never_fails(text):
    guess(text)


literals = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=4) | st.lists(inner, max_size=4).map(tuple),
    max_leaves=10,
)


@given(literals)
def test_guess_reads_what_python_writes(value):
    assert guess(repr(value)) == value


@pytest.mark.parametrize(
    "annotation",
    [str, str | None, Literal["a", "b"], "str", "str | None"],
    ids=repr,
)
def test_text_annotations(annotation):
    assert is_text(annotation)


@pytest.mark.parametrize(
    "annotation",
    [
        int,
        str | int,
        Any,
        inspect.Parameter.empty,
        "Nowhere",
        tuple[str, ...],
        Literal[1, "a"],
        list,
    ],
)
def test_other_annotations(annotation):
    assert not is_text(annotation)


class Example:
    def __init__(
        self,
        first: str,
        second: int = 0,
        *rest: str,
        only: str | None = None,
        odd: Nowhere | None = None,
        **tags: str,
    ) -> None: ...


class Guessing:
    def __init__(self, *values, **options: Any) -> None: ...


class Empty:
    def __new__(cls, *args, **kwargs):
        return super().__new__(cls)


def test_annotations_are_resolved_where_they_can_be():
    known = parameters(Example)
    assert list(known) == ["first", "second", "rest", "only", "odd", "tags"]
    assert known["first"].annotation is str
    assert known["only"].annotation == str | None
    assert known["odd"].annotation == "Nowhere | None"


def test_no_constructor_means_no_parameters():
    assert parameters(Empty) == {}


@pytest.mark.parametrize(
    ("key", "name"),
    [
        (0, "first"),
        (1, "second"),
        (2, "rest"),
        (9, "rest"),
        ("only", "only"),
        ("tag", "tags"),
        ("rest", "tags"),
    ],
)
def test_target(key, name):
    found = target(parameters(Example), key)
    assert found is not None
    assert found.name == name


def test_no_target():
    assert target(parameters(Empty), 0) is None
    assert target(parameters(Empty), "x") is None


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        (0, "5", "5"),
        (0, '"5"', "5"),
        (0, "a=1,b=2", "a=1,b=2"),
        (1, "5", 5),
        (2, "1e3", "1e3"),
        ("only", "A:b==0", "A:b==0"),
        ("only", '"A:b==0"', "A:b==0"),
        ("only", "None", "None"),
        ("only", "{tag}={}", "{tag}={}"),
        ("odd", "5", 5),
        ("tag", "5", "5"),
    ],
)
def test_cast_by_annotation(key, text, value):
    assert cast(text, target(parameters(Example), key)) == value


def test_without_annotation_it_is_guessed():
    assert cast("64,32", target(parameters(Guessing), 0)) == (64, 32)
    assert cast("a=1", target(parameters(Guessing), "opts")) == {"a": 1}
    assert cast("5", None) == 5


def test_values_are_plain_text():
    from caspy.recipe import Raw

    assert type(casting.cast(Raw("x"), None)) is str
    assert type(casting.cast(Raw("x"), target(parameters(Example), 0))) is str
