"""What messages of one sort have in common is written and checked once, and never mixed up."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from camagick_broker import reader
from camagick_broker.cache import Cache
from camagick_broker.encoder import Encoder
from camagick_broker.errors import LocalProtocolError, RemoteProtocolError
from camagick_broker.forms import LENGTH
from camagick_broker.mark import Mark
from camagick_broker.reader import decode
from camagick_broker.template import Template
from tests import hostile
from tests.broker.test_values import same, values

#: What `values` does not draw often: things that are equal and not the same.
ALIKE: list[Any] = [
    1, 1.0, True, np.float64(1), np.int64(1), np.longlong(1), np.int32(1), np.bool_(True), 2**63,
    1 + 0j, np.float32(1), np.complex64(1), "1", b"1", None, [1], (1,), [1.0], [True], {1: 1},
    np.array(1), np.array([1]), np.array([1.0]), np.array([1], ">i8"), np.array([[1]]),
    np.array(["1"]), np.array([b"1"]), np.array([1], "M8[s]"), np.array([1], "M8[1000ms]"),
    np.array([1], "m8[s]"), np.str_("1"), np.array(["1"], ">U1"), np.zeros(0), np.zeros((0, 2)),
]  # fmt: skip
texts = st.text(max_size=3)
attributes = st.dictionaries(texts, st.one_of(st.sampled_from(ALIKE), texts), max_size=4)
entries = st.lists(
    st.tuples(
        texts, st.integers(0, 3), st.none() | texts, st.none() | attributes,
        st.one_of(values, st.sampled_from(ALIKE)),
    ),
    max_size=4, unique_by=lambda entry: entry[0],
)  # fmt: skip
bodies = st.tuples(st.dictionaries(st.integers(0, 5), st.integers(1, 9)), entries, entries)


def template_in(body: bytes) -> bytes:
    (length,) = LENGTH.unpack_from(body)
    return body[LENGTH.size : LENGTH.size + length]


def sent(encode: Encoder, value: Any, known: Any = None) -> tuple[bytes, Mark]:
    body, buffers = encode({}, [], [("x", 1, None, known, value)])
    return body, decode(body, buffers).data["x"]


@given(st.lists(bodies, min_size=1, max_size=4))
def test_one_encoder_writes_whatever_comes_as_a_new_one_would(drawn: list[Any]) -> None:
    one = Encoder()
    for lineage, context, data in [*drawn, *drawn]:
        body, buffers = one(lineage, context, data)
        fresh, _ = Encoder()(lineage, context, data)
        assert body == fresh
        read = decode(memoryview(bytearray(body)), buffers)
        assert read.lineage == lineage
        for rows, marks in ((context, read.context), (data, read.data)):
            assert list(marks) == [tag for tag, *_ in rows]
            for tag, maker, origin, known, _ in rows:
                mark = marks[tag]
                assert (mark.maker, mark.tag) == (maker, origin or tag)
                assert list(mark.attributes) == list(known or {})


@pytest.mark.parametrize("first", range(len(ALIKE)), ids=lambda n: f"{n} {ALIKE[n]!r}"[:30])
def test_what_is_equal_is_not_taken_for_the_same(first: int) -> None:
    encode = Encoder()
    for value in [ALIKE[first], *ALIKE]:
        for known in (None, {"a": value}):
            _, mark = sent(encode, value, known)
            expected = np.asarray(value, order="C") if isinstance(value, np.ndarray) else value
            for back in [mark.value, *mark.attributes.values()]:
                assert same(back, expected) or value.dtype == np.longlong, (back, value)


def test_messages_of_one_sort_share_a_template() -> None:
    encode = Encoder()
    found = {
        template_in(
            sent(encode, np.full((2, 3), n), {"unit": "mm", "time": n + 0.5, "list": [n]})[0]
        )
        for n in range(5)
    }
    assert len(found) == 1


def test_any_message_can_be_read_without_those_before_it() -> None:
    encode = Encoder()
    bodies = [sent(encode, float(n))[0] for n in range(3)]
    reader._templates = Cache(8, 1 << 12)
    assert decode(bodies[2], []).data["x"].value == 2.0
    assert decode(bodies[0], []).data["x"].value == 0.0


def test_a_template_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[bytes] = []

    class Watched(Template):
        def __init__(self, packed: bytes) -> None:
            looked.append(packed)
            super().__init__(packed)

    monkeypatch.setattr(reader, "Template", Watched)
    encode = Encoder()
    for n in range(5):
        assert sent(encode, n, {"unit": "mm", f"looked at once {n // 3}": 1})[1].value == n
    assert len(looked) == 2


def test_a_bad_template_stays_bad() -> None:
    for _ in range(2):
        with pytest.raises(RemoteProtocolError, match="nothing that a value can be"):
            decode(hostile.packed_body(hostile.template_of("nonsense")), [])


def test_what_was_refused_is_refused_again_and_changes_nothing() -> None:
    encode = Encoder()
    for _ in range(2):
        with pytest.raises(LocalProtocolError, match="dtype object"):
            encode({}, [], [("x", 1, None, None, 1.0), ("y", 1, None, None, np.array([None]))])
        with pytest.raises(LocalProtocolError, match="no text"):
            encode({}, [], [(1, 1, None, None, 1.0)])
        assert sent(encode, 5)[1].value == 5


def test_one_reading_does_not_see_what_was_done_to_another() -> None:
    body, _ = Encoder()({}, [], [("x", 1, None, {"unit": "mm", "list": [1]}, [1])])
    one, other = (decode(body, []).data["x"] for _ in range(2))
    one.value.append(2)
    one.attributes["list"].append(2)
    one.attributes["unit"] = "m"  # type: ignore[index]
    assert other == Mark(1, "x", {"unit": "mm", "list": [1]}, [1])


def test_small_arrays_are_read_only_and_lie_where_numpy_is_quick() -> None:
    data = [
        (str(n), 1, None, None, value)
        for n, value in enumerate(
            [True, np.zeros(3, "u1"), np.arange(5.0), np.float16(2), np.ones(4)]
        )
    ]
    body, _ = Encoder()({}, [], data)
    assert len(body) % 8 == 0
    for writable in (body, bytearray(body), memoryview(bytearray(b" " + body))[1:]):
        for mark in decode(writable, []).data.values():
            if isinstance(mark.value, np.ndarray):
                assert mark.value.flags.aligned
                assert not mark.value.flags.writeable


def test_caches_are_bounded_by_count_and_by_bytes() -> None:
    cache: Cache[int, int] = Cache(3, 100)
    for n in range(10):
        cache.put(n, n, 20)
        assert cache.get(n) == n
        assert len(cache) <= 3
    cache.put(10, 10, 26)
    assert cache.get(10) is None, "a large one would drive all others out"
    cache = Cache(100, 100)
    for n in range(100):
        cache.put(n, n, 25)
        assert cache.get(n) == n
        assert len(cache) <= 4


def test_neither_end_remembers_without_bound() -> None:
    encode = Encoder()
    for n in range(400):
        assert sent(encode, {f"tag {n}": n}, {f"tag {n}": n})[1].value == {f"tag {n}": n}
    assert len(encode._plans) <= 64
    assert len(reader._templates) <= 128
    known = {f"{n}" * 2000: n for n in range(60)}
    before = len(encode._plans)
    for n in range(3):
        assert sent(encode, float(n), {**known, f"{n}": 1})[1].attributes["5" * 2000] == 5
    assert len(encode._plans) <= before, "they are too large"


def test_shapes_that_change_each_time_leave_the_template_alone() -> None:
    encode = Encoder()
    bodies = []
    for n in range(200):
        values = np.arange(n), np.full((n % 7, 2), f"{n}"), np.array(n, ">u2"), np.zeros(n, "M8[s]")
        body, buffers = encode({}, [], [(str(i), 1, None, None, v) for i, v in enumerate(values)])
        bodies.append(body)
        for value, mark in zip(values, decode(body, buffers).data.values(), strict=True):
            assert same(mark.value, value)
            assert mark.value.flags.aligned
    assert len({template_in(body) for body in bodies[100:]}) <= 2, "with other lengths of text"
    assert len({template_in(body) for body in bodies[:50]}) == 50


def test_texts_that_change_each_time_leave_the_template_alone() -> None:
    encode = Encoder()
    bodies = [sent(encode, n, {"text": f"number {n}"}) for n in range(200)]
    assert [mark.attributes["text"] for _, mark in bodies] == [f"number {n}" for n in range(200)]
    assert len({template_in(body) for body, _ in bodies[100:]}) == 1
