"""How branches come together: nothing is lost, nothing is doubled, the rest is order."""

import logging
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from camagick.data import Data, adopt
from camagick.merge import Merger, Part

SOURCE = 1


def source(**values: Any) -> Data:
    return adopt(SOURCE, values, Data())


def branch(data: Data, label: str = "", *members: int, context: Data | None = None) -> Part:
    return Part(data, Data() if context is None else context, label, frozenset(members))


def made(maker: int, given: Data, **values: Any) -> Data:
    return adopt(maker, values, given)


def merge(*parts: Part) -> Data:
    return Merger()(parts)[0]


def test_what_left_several_branches_untouched_is_one_tag():
    data = source(x=np.arange(3), y=2)
    merged = merge(branch(data.copy(), "idem", 2), branch(data.copy()), branch(data.copy()))
    assert merged == data
    assert merged.marks == data.marks


def test_different_values_are_named_after_their_branches(caplog):
    data = source(x=np.arange(3))
    parts = [
        branch(made(n, data, x=value), label, n)
        for n, label, value in [(2, "sum", 3), (3, "min", 0), (4, "max", 2)]
    ]
    with caplog.at_level(logging.WARNING, "camagick.merge"):
        merged = merge(*parts)
    assert merged == {"x_sum": 3, "x_min": 0, "x_max": 2}
    assert list(merged) == ["x_sum", "x_min", "x_max"]
    assert len(caplog.records) == 3
    assert all("--rename" in record.getMessage() for record in caplog.records)


def test_warnings_are_said_once(caplog):
    data = source(x=1)
    parts = [branch(made(n, data, x=n), label, n) for n, label in [(2, "sum"), (3, "min")]]
    merger = Merger()
    for _ in range(3):
        merger(parts)
    assert len(caplog.records) == 2


def test_a_branch_that_passes_on_keeps_the_bare_name():
    data = source(x=np.arange(3))
    parts = [branch(made(2, data, x=3), "sum", 2), branch(data.copy())]
    assert list(merge(*parts)) == ["x_sum", "x"]
    assert list(merge(*reversed(parts))) == ["x", "x_sum"]


def test_idem_keeps_the_bare_name():
    data = source(x=np.arange(3))
    merged = merge(branch(made(2, data, x=3), "sum", 2), branch(data.copy(), "idem", 3))
    assert merged["x"] is data["x"]
    assert merged["x_sum"] == 3


def test_the_same_label_gets_a_number():
    data = source(x=1)
    merged = merge(*(branch(made(n, data, x=n), "sum", n) for n in (2, 3, 4)))
    assert merged == {"x_sum": 2, "x_sum_2": 3, "x_sum_3": 4}


def test_a_new_name_never_hits_a_tag_that_is_there():
    data = source(x=1, x_sum=5)
    merged = merge(
        branch(made(2, data, x=2), "sum", 2),
        branch(made(3, data, x=3), "min", 3),
        branch(data.select(["x_sum"])),
    )
    assert merged == {"x_sum_2": 2, "x_min": 3, "x_sum": 5}


def test_renamed_tags_come_together_without_ado(caplog):
    data = source(x=np.arange(3))
    merged = merge(
        branch(made(2, data, x=3).renamed({"x": "x_s"}), "rename", 2, 5),
        branch(made(3, data, x=0).renamed({"x": "x_m"}), "rename", 3, 6),
        branch(data.copy()),
    )
    assert list(merged) == ["x_s", "x_m", "x"]
    assert caplog.records == []


def test_different_branches_with_different_tags():
    data = source(jedda=np.arange(3), iffy=1.5)
    merged = merge(
        branch(made(3, data.select(["jedda"]), jedda=3), "sum", 2, 3),
        branch(data.select(["iffy"]), "only", 4),
    )
    assert merged == {"jedda": 3, "iffy": 1.5}
    assert list(merged) == ["jedda", "iffy"]


def test_equal_values_of_two_makers_are_two_values():
    data = source(x=1)
    merged = merge(branch(made(2, data, x=7), "sum", 2), branch(made(3, data, x=7), "max", 3))
    assert merged == {"x_sum": 7, "x_max": 7}


def test_swapped_names_do_not_overwrite_one_another():
    data = source(a=1000, b=2000)
    swapped = data.renamed({"a": "b", "b": "a"})
    merged = merge(branch(data.copy()), branch(swapped, "rename", 2))
    assert merged == {"a": 1000, "b": 2000, "b_rename": 1000, "a_rename": 2000}


def test_empty_branches_add_nothing():
    data = source(x=1)
    assert merge(branch(Data(), "summary", 2), branch(data.copy())) == {"x": 1}
    assert merge(branch(Data(), "summary", 2), branch(Data(), "ioc", 3)) == {}
    assert merge() == {}


def test_values_without_a_mark_are_not_lost():
    merged = merge(branch(Data({"x": 1}), "a", 2), branch(Data({"y": 2}), "b", 3))
    assert merged == {"x": 1, "y": 2}


def test_a_value_that_was_put_in_place_of_another_is_not_the_other():
    data = source(x=1)
    changed = data.copy()
    changed["x"] = 2
    merged = merge(branch(changed, "odd", 2), branch(data.copy()))
    assert merged == {"x": 2, "x_other": 1}


def test_attributes_stay_with_their_values():
    data = Data({"x": 1.5})
    data.describe("x", {"units": "mm"})
    data = adopt(SOURCE, data, Data())
    merged = merge(branch(made(2, data, x=3), "sum", 2), branch(data.copy()))
    assert merged.attributes("x") == {"units": "mm"}
    assert merged.attributes("x_sum") == {"units": "mm"}


@st.composite
def fanouts(draw: st.DrawFn) -> tuple[list[Part], dict[tuple[int, str], Any]]:
    """Branches that drop, change and rename what they are given, and every value they hold."""
    tags = draw(st.lists(st.sampled_from(["x", "y", "x_sum", "y_min"]), unique=True, min_size=1))
    data = source(**{tag: object() for tag in tags})
    parts, held = [], {}
    for number in range(draw(st.integers(1, 4))):
        maker = 10 + number
        kept = data.select(draw(st.sets(st.sampled_from(tags))))
        changed = draw(st.sets(st.sampled_from(tags)))
        result = adopt(
            maker, {tag: object() if tag in changed else kept[tag] for tag in kept}, kept
        )
        renamed = draw(st.booleans())
        if renamed:
            result = result.renamed({tag: f"{tag}_{draw(st.sampled_from('ab'))}" for tag in result})
        label = draw(st.sampled_from(["sum", "min", "rename", ""]))
        parts.append(branch(result, label, maker))
        for tag in result:
            held[result.marks[tag].origin] = result[tag]
    return parts, held


@given(fanouts())
def test_no_value_is_ever_lost_or_doubled(fanout):
    parts, held = fanout
    merged = merge(*parts)
    per_tag: dict[str, set[Any]] = {}
    for part in parts:
        for tag in part.data:
            per_tag.setdefault(tag, set()).add(part.data[tag])
    assert set(map(id, merged.values())) == set(map(id, held.values()))
    assert len(merged) == sum(map(len, per_tag.values()))
    assert all(merged.mark(tag) is not None for tag in merged)


@given(fanouts())
def test_the_order_is_that_of_the_branches(fanout):
    parts, _ = fanout
    merged = merge(*parts)
    seen = list(dict.fromkeys(id(value) for part in parts for value in part.data.values()))
    assert list(dict.fromkeys(map(id, merged.values()))) == seen


def context_of(*parts: Part) -> Data:
    return Merger()(parts)[1]


def test_contexts_are_united():
    given_context = source(scan=1)
    parts = []
    for maker, key in [(2, "a"), (3, "b")]:
        context = given_context.copy()
        context.take(adopt(maker, {key: maker}, Data()), [key])
        parts.append(branch(Data(), "eval", maker, context=context))
    assert context_of(*parts) == {"scan": 1, "a": 2, "b": 3}


def test_the_later_branch_wins_a_key_and_it_is_said_once(caplog):
    given_context = source(scan=1)
    parts = []
    for maker in (2, 3):
        context = given_context.copy()
        context.take(adopt(maker, {"scan": maker * 10}, Data()), ["scan"])
        parts.append(branch(Data(), "eval", maker, context=context))
    merger = Merger()
    assert merger(parts)[1] == {"scan": 30}
    assert merger(parts)[1] == {"scan": 30}
    assert len(caplog.records) == 1
    assert "scan is set by several branches" in caplog.text


@pytest.mark.parametrize("setter", [0, 1])
def test_a_branch_that_leaves_a_key_alone_does_not_reset_it(setter, caplog):
    given_context = source(scan=1)
    contexts = [given_context.copy(), given_context.copy()]
    contexts[setter].take(adopt(2, {"scan": 20}, Data()), ["scan"])
    members = [(2,) if n == setter else (3,) for n in range(2)]
    parts = [
        branch(Data(), "eval", *who, context=context)
        for who, context in zip(members, contexts, strict=True)
    ]
    assert context_of(*parts) == {"scan": 20}
    assert "several branches" not in caplog.text
