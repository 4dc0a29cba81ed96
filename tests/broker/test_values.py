"""Values travel unchanged, large arrays without a copy; what is no value is refused, never run."""

from __future__ import annotations

import datetime as dt
import itertools
import resource
import string
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from camagick_broker.errors import LocalProtocolError, RemoteProtocolError
from camagick_broker.values import BUFFER_BYTES, MAX_DEPTH, SLOT_BYTES, Encoder, Mark, decode
from tests import hostile


def travel(value: Any) -> Any:
    """Return `value` as it comes out at the other end."""
    body, buffers = Encoder()({}, [], [["tag", 1, None, None, value]])
    return decode(body, [memoryview(bytes(buffer)) for buffer in buffers]).data["tag"].value


def same(a: Any, b: Any) -> bool:
    """Tell whether two values are the same, to the type, the dtype and the bit."""
    if type(a) is not type(b):
        return False
    if isinstance(a, (np.ndarray, np.generic)):
        alike = a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
        return bool(alike and a.dtype.str == b.dtype.str)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    return bool(a == b or (a != a and b != b))


def dtypes() -> st.SearchStrategy[np.dtype[Any]]:
    ends = "?"
    times = st.sampled_from(["M8[ns]", "M8[D]", "m8[us]", "M8", ">M8[s]", "m8[10ms]"])
    return st.one_of(
        hnp.boolean_dtypes(), hnp.integer_dtypes(endianness=ends),
        hnp.unsigned_integer_dtypes(endianness=ends), hnp.floating_dtypes(endianness=ends),
        hnp.complex_number_dtypes(endianness=ends), hnp.byte_string_dtypes(min_len=1, max_len=5),
        hnp.unicode_string_dtypes(endianness=ends, min_len=1, max_len=5), times.map(np.dtype),
    )  # fmt: skip


shapes = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)
layouts = st.sampled_from(["C", "F", "reversed", "every second", "read only"])


@st.composite
def arrays(draw: Any) -> Any:
    kind = draw(dtypes())
    if kind.kind in "mM":
        array = draw(hnp.arrays("i8", draw(shapes))).view(f"{kind.byteorder}i8").view(kind)
    else:
        array = draw(hnp.arrays(kind, draw(shapes)))
    layout = draw(layouts)
    if layout == "F":
        return np.asarray(array, order="F")
    if layout == "reversed" and array.ndim:
        return array[::-1]
    if layout == "every second" and array.ndim:
        return array[..., ::2]
    array.flags.writeable = layout != "read only"
    return array


scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(), st.text(),
    st.binary(), st.complex_numbers(), arrays().filter(lambda a: a.size).map(lambda a: a.flat[0]),
)  # fmt: skip
keys = st.one_of(st.text(), st.integers(0, 9), st.binary(), st.tuples(st.integers(0, 9)))
values = st.recursive(
    st.one_of(scalars, arrays()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(keys, inner, max_size=4),
    ),
    max_leaves=6,
)  # fmt: skip


@given(values)
@example((np.array(5), [np.float16(1)], {"a": (None, np.str_(""), b"", np.bytes_(b""))}))
@example({b"nd": 1, b"complex": 2, b"data": 3})
def test_what_is_sent_comes_back(value):
    back = travel(value)
    assert same(back, travel(back))
    if isinstance(value, np.generic) and value.dtype.kind in "SU":  # an array drops final zeros
        assert back == value
    else:
        assert same(value, back) or _not_native(value)


def _not_native(value: Any) -> bool:
    return isinstance(value, np.generic) and not value.dtype.isnative


@given(arrays())
def test_arrays_come_back_read_only_and_exact(array):
    back = travel(array)
    assert type(back) is np.ndarray
    assert same(back, np.asarray(array, order="C"))
    assert back.flags.c_contiguous
    assert not back.flags.writeable


@given(dtypes(), st.integers(0, 3), layouts)
def test_large_arrays_are_views_of_their_buffers(kind, dimensions, layout):
    array = np.zeros((BUFFER_BYTES // kind.itemsize + 1,) + (2,) * dimensions, kind)
    array = np.asarray(array, order="F") if layout == "F" else array
    body, buffers = Encoder()({}, [], [["tag", 1, None, None, (1, [array])]])
    assert len(buffers) == 1
    assert buffers[0].nbytes == array.nbytes
    assert np.shares_memory(buffers[0], array) == array.flags.c_contiguous
    assert len(body) < 200
    (mark,) = decode(body, buffers).data.values()
    back = mark.value[1][0]
    assert np.shares_memory(back, buffers[0])
    assert same(back, np.asarray(array, order="C"))
    assert not back.flags.writeable


def test_the_boundary_between_body_and_buffers():
    for size, expected in ((BUFFER_BYTES - 1, 0), (BUFFER_BYTES, 1)):
        _, buffers = Encoder()({}, [], [["t", 1, None, None, np.zeros(size, "u1")]])
        assert len(buffers) == expected


def test_attributes_lineage_and_context_travel():
    row = ["t", 4, "o", {"units": "mm", "limits": (0, 1.5)}, 1]
    body, _ = Encoder()({3: 2}, [["c", 2, None, None, "x"]], [row])
    read = decode(body, [])
    assert read.lineage == {3: 2}
    assert read.context == {"c": Mark(2, "c", {}, "x")}
    assert read.data == {"t": Mark(4, "o", {"units": "mm", "limits": (0, 1.5)}, 1)}


class Odd(int):
    pass


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (bytearray(b"ab"), b"ab"), (Odd(5), 5), (type("T", (str,), {})("x"), "x"),
        (np.array(["", ""]).view("U1"), np.array(["", ""])),
        (np.zeros(2, [("a", "U0")])["a"], np.array(["", ""])),
        (np.array([[1, 2], [3, 4]]).view(np.matrix), np.array([[1, 2], [3, 4]])),
    ],
    ids=["bytearray", "int", "str", "text", "text of no length", "matrix"],
)  # fmt: skip
def test_what_derives_from_a_type_travels_as_that_type(value, expected):
    assert same(travel(value), expected)


_NUMBER = itertools.count()
LOOP: list[Any] = []
LOOP.append(LOOP)


@pytest.mark.parametrize(
    "value",
    [
        np.array([object()]), np.array([None, 1]), np.zeros(2, [("a", "f8")]), np.zeros((), "V4"),
        np.ma.MaskedArray([1, 2], [True, False]), np.zeros(2, [("a", "f8")])[0], {1, 2},
        frozenset(), 2**64, -(2**63) - 1, object(), Decimal(1), 1 .__add__, dt.date(2026, 1, 1),
        LOOP, [object()], ({1},), {"a": {1}}, "\ud800", range(3), np,
    ],
    ids=lambda value: f"{type(value).__name__}{next(_NUMBER)}",
)  # fmt: skip
def test_what_cannot_travel_is_refused_by_the_sender(value):
    encode = Encoder()
    with pytest.raises(LocalProtocolError, match="cannot travel"):
        encode({}, [], [["tag", 1, None, None, value]])
    body, buffers = encode({}, [], [["tag", 1, None, None, "next"]])
    assert decode(body, buffers).data["tag"].value == "next"


@pytest.mark.parametrize("row", [[5, 1, None, None, 0], ["t", 1, None, {2: 3}, 0]], ids=str)
def test_names_that_are_no_text_are_refused_by_the_sender(row):
    with pytest.raises(LocalProtocolError, match="no text"):
        Encoder()({}, [row], [])


def test_tuples_in_tuples_have_a_limit_at_both_ends():
    value: Any = 1
    for _ in range(MAX_DEPTH):
        value = (value,)
    assert travel(value) == value
    with pytest.raises(LocalProtocolError, match="deep"):
        travel((value,))
    with pytest.raises(RemoteProtocolError, match="deep"):
        decode(hostile.nested(1, MAX_DEPTH + 1), [])


@pytest.mark.parametrize(("name", "body"), hostile.bodies(), ids=lambda x: str(x)[:40])
def test_hostile_bodies_are_refused_and_never_unpickled(name, body):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    decode(hostile.packed_body([{}, [], []]), [])  # so that a template is known
    with pytest.raises(RemoteProtocolError, match="unreadable body: ") as caught:
        decode(body, [])
    assert not hostile.DETONATED
    assert len(str(caught.value)) < 300
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000, name  # KiB


def test_the_poison_is_real():
    import msgpack_numpy

    msgpack_numpy.unpackb(
        msgpack_numpy.packb([hostile.small(type="|O", kind=b"O", data=hostile.POISON)]),
        strict_map_key=False,
    )
    assert hostile.DETONATED.pop()


@pytest.mark.parametrize(
    ("index", "dtype", "shape"),
    [(0, "<f8", [3]), (0, "<f8", [1]), (1, "<f8", [2]), (-1, "<f8", [2]), (0, "|O", [2]),
     (0, "<f4", [2]), (True, "<f8", [2]), (0, "<f8", [-2]), (0, "<U0", [2**40])],
    ids=str,
)  # fmt: skip
def test_lies_about_a_buffer_are_refused(index, dtype, shape):
    if index == 0:
        body = hostile.packed_body(hostile.template_of([2, dtype, shape]))
        with pytest.raises(RemoteProtocolError):
            decode(body, [bytes(16)])
    good = hostile.body_of(hostile.ext(2, [0, "<f8", [2]]))
    assert decode(good, [bytes(16)]).data["tag"].value.shape == (2,)
    with pytest.raises(RemoteProtocolError):
        decode(hostile.body_of(hostile.ext(2, [index, dtype, shape])), [bytes(16)])


@pytest.mark.parametrize("buffers", [[], [bytes(16)] * 2], ids=["missing", "never spoken of"])
def test_the_number_of_buffers_has_to_be_right(buffers):
    for body in (
        hostile.body_of(hostile.ext(2, [0, "<f8", [2]])),
        hostile.packed_body(hostile.template_of([2, "<f8", [2]])),
    ):
        with pytest.raises(RemoteProtocolError, match="buffer"):
            decode(body, buffers)
    with pytest.raises(RemoteProtocolError, match="1 buffers"):
        decode(hostile.packed_body(hostile.template_of("bool"), b"\1"), [b"nobody speaks of it"])


class Shelf:
    """Memory that both ends see: where arrays are put, and read."""

    def __init__(self) -> None:
        self.memory = np.zeros(1 << 17, "u1")
        self.used = 0

    def place(self, array: np.ndarray) -> tuple[int, int, int] | None:
        if np.may_share_memory(array, self.memory):
            address = array.__array_interface__["data"][0]
            return 7, 2**40, address - self.memory.__array_interface__["data"][0]
        if not array.flags.c_contiguous or array.nbytes > self.memory.size - self.used:
            return None
        begin, self.used = self.used, self.used + array.nbytes
        self.memory[begin : self.used] = array.reshape(-1).view("u1")
        return 7, 2**40, begin

    def read(self, content: Any) -> np.ndarray:
        segment, generation, offset, dtype, shape, strides = content
        assert (segment, generation) == (7, 2**40)
        return np.ndarray(tuple(shape), dtype, self.memory.data, offset, tuple(strides))


LARGE = np.arange(SLOT_BYTES, dtype="i2").reshape(2, -1)


@pytest.mark.parametrize(
    "array",
    [LARGE, np.asfortranarray(LARGE), LARGE[:, ::-1], LARGE.view("M8[us]"), LARGE.astype(">f4")],
    ids=["C", "F", "reversed", "times", "another order of bytes"],
)
@pytest.mark.parametrize("where", ["alone", "nested"])
def test_arrays_travel_by_shared_memory_where_there_is_any(array: Any, where: str) -> None:
    shelf = Shelf()
    value = array if where == "alone" else {"in": [array]}
    body, buffers = Encoder(shelf.place)({}, [], [["tag", 1, None, None, value]])
    assert not buffers
    assert len(body) < 200
    back = decode(body, [], shelf.read).data["tag"].value
    assert same(back if where == "alone" else back["in"][0], np.ascontiguousarray(array))
    with pytest.raises(RemoteProtocolError, match="known here"):
        decode(body, [])


def test_what_lies_in_shared_memory_is_passed_on_as_it_lies_there() -> None:
    shelf = Shelf()
    shelf.place(np.arange(8192.0))
    view = shelf.memory[:65536].view("f8").reshape(64, 128)[::-2, 4:].T
    used = shelf.used
    body, _ = Encoder(shelf.place)({}, [], [["tag", 1, None, None, view]])
    back = decode(body, [], shelf.read).data["tag"].value
    assert shelf.used == used, "it was copied"
    assert back.strides == view.strides
    assert np.array_equal(back, view)


def test_what_finds_no_place_in_shared_memory_travels() -> None:
    asked: list[int] = []

    def full(array: np.ndarray) -> None:
        asked.append(array.nbytes)

    data = [
        [str(size), 1, None, None, np.zeros(size, "u1")]
        for size in (SLOT_BYTES - 1, SLOT_BYTES, BUFFER_BYTES)
    ]
    body, buffers = Encoder(full)({}, [], data)
    assert asked == [SLOT_BYTES, BUFFER_BYTES]
    assert len(buffers) == 1
    assert [mark.value.size for mark in decode(body, buffers).data.values()] == [
        SLOT_BYTES - 1, SLOT_BYTES, BUFFER_BYTES,
    ]  # fmt: skip


@given(st.binary(max_size=200), st.lists(st.binary(max_size=20), max_size=2))
def test_arbitrary_bytes_raise_nothing_else(body, buffers):
    with pytest.raises(RemoteProtocolError):
        decode(body, buffers)


@given(values, st.data())
def test_changed_bodies_raise_nothing_else(value, data):
    body, buffers = Encoder()({1: 2}, [], [["tag", 1, "o", {"a": 1}, value]])
    frame = bytearray(body)
    for _ in range(data.draw(st.integers(1, 5))):
        frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    frame = frame[: data.draw(st.integers(0, len(frame)))] if data.draw(st.booleans()) else frame
    try:
        read = decode(bytes(frame), buffers)
    except RemoteProtocolError:
        return
    assert all(isinstance(tag, str) for tag in (*read.context, *read.data))


@given(st.text(string.printable, max_size=40), st.binary(max_size=32), st.lists(st.integers()))
def test_arbitrary_descriptions_raise_nothing_else(dtype, data, shape):
    content = hostile.small(type=dtype, data=data)
    content[b"shape"] = [size % 2**64 for size in shape]
    try:
        value = decode(hostile.body_of(content), []).data["tag"].value
    except RemoteProtocolError:
        return
    assert value.nbytes == len(data)
