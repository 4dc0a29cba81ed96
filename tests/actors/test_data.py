"""Data, and where values came from."""

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from camagick.data import NEW, Data, Mark, adopt


def made_by(maker: int, **values: Any) -> Data:
    return adopt(maker, values, Data())


def test_of():
    data = Data({"a": 1})
    assert Data.of(data) is data
    assert Data.of(None) == {}
    assert Data.of({"a": 1}) == {"a": 1}
    assert isinstance(Data.of({"a": 1}), Data)


def test_a_mark_speaks_of_one_object_only():
    data = made_by(7, x=np.arange(3))
    assert data.mark("x") is not None
    data["x"] = np.arange(3)
    assert data.mark("x") is None
    assert data.attributes("x") == {}


def test_describe():
    data = Data({"x": 1.5})
    data.describe("x", {"units": "mm"})
    assert data.attributes("x") == {"units": "mm"}
    assert data.mark("x") == Mark(NEW, "x", {"units": "mm"}, 1.5)


def test_adopt_marks_what_is_new():
    given_data = made_by(1, x=np.arange(3), y=np.arange(2))
    made = adopt(2, {"y": given_data["y"], "x": np.arange(4)}, given_data)
    assert list(made) == ["y", "x"]
    assert made.marks["y"].origin == (1, "y")
    assert made.marks["x"].origin == (2, "x")


def test_adopt_hands_attributes_on():
    given_data = Data({"x": np.arange(3)})
    given_data.describe("x", {"units": "mm"})
    assert adopt(2, {"x": 3}, given_data).attributes("x") == {"units": "mm"}
    assert adopt(2, {"x": 3}, given_data, keep_attributes=False).attributes("x") == {}


def test_adopt_takes_descriptions_over():
    made = Data({"x": 3})
    made.describe("x", {"units": "V"})
    adopted = adopt(5, made, Data({"x": 1}))
    assert adopted.marks["x"] == Mark(5, "x", {"units": "V"}, 3)


def test_a_value_under_another_tag_is_a_new_value_unless_it_was_renamed():
    given_data = made_by(1, x=np.arange(3))
    assert adopt(2, {"y": given_data["x"]}, given_data).marks["y"].origin == (2, "y")
    renamed = given_data.renamed({"x": "y"})
    assert adopt(2, renamed, given_data).marks["y"].origin == (1, "x")


tags = st.text("abc", min_size=1, max_size=2)
values = st.dictionaries(tags, st.integers(), max_size=6)


@given(values, st.sets(tags))
def test_select_and_without_part_the_data(numbers, chosen):
    data = made_by(3, **numbers)
    kept, rest = data.select(chosen), data.without(chosen)
    assert list(kept) == [tag for tag in numbers if tag in chosen]
    assert list(rest) == [tag for tag in numbers if tag not in chosen]
    for part in (kept, rest):
        assert {tag: part.mark(tag) for tag in part} == {tag: data.mark(tag) for tag in part}
    assert data == numbers


@given(values)
def test_rename_and_back(numbers):
    data = made_by(3, **numbers)
    there = data.renamed({tag: f"{tag}_" for tag in data})
    back = there.renamed({f"{tag}_": tag for tag in data})
    assert back == data
    assert back.marks == data.marks


@given(values, values, st.sets(tags))
def test_take(mine, others, chosen):
    data, other = made_by(1, **mine), made_by(2, **others)
    wanted = [tag for tag in chosen if tag in other]
    data.take(other, wanted)
    assert data == {**mine, **{tag: others[tag] for tag in wanted}}
    for tag in wanted:
        assert data.mark(tag) == other.mark(tag)


def test_take_of_something_unmarked_forgets_the_old_mark():
    data = made_by(1, x=1)
    data.take(Data({"x": 1}), ["x"])
    assert data.mark("x") is None


def test_a_copy_shares_values_only():
    data = made_by(1, x=np.arange(3))
    copy = data.copy()
    copy["y"] = 1
    copy.describe("x", {"units": "mm"})
    assert list(data) == ["x"]
    assert data.attributes("x") == {}
    assert copy["x"] is data["x"]
