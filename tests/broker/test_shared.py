"""Arrays in shared memory: where views lie, what is copied, and what is refused."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import hypothesis.extra.numpy as npst
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from camagick_broker.encoder import Encoder
from camagick_broker.errors import RemoteProtocolError
from camagick_broker.inlined import inlined
from camagick_broker.ledger import Row
from camagick_broker.reader import decode
from camagick_broker.segment import Segment
from camagick_broker.shared import SharedArrays
from camagick_broker.slotpool import SlotPool
from camagick_broker.wire import Head, Kind, pack, unpack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FRAME = np.arange(64 * 512, dtype="<f8").reshape(64, 512)


class Actor(NamedTuple):
    """One actor's side of it."""

    shared: SharedArrays
    encode: Encoder

    def send(self, value: Any, seq: int = 0) -> bytes:
        """Return the message that carries a value, none of it in raw buffers."""
        self.shared.begin(seq)
        body, buffers = self.encode({}, [], [["x", 1, None, None, value]])
        assert not buffers
        self.shared.end()
        return body

    def get(self, body: bytes) -> Any:
        """Return the value that a message carries."""
        return decode(body, [], self.shared.read).data["x"].value


class Line(NamedTuple):
    """A source, and a pipe behind it."""

    segments: dict[int, Segment]
    row: Row
    source: Actor
    pipe: Actor


def actor(segments: dict[int, Segment], own: int | None, row: Row, **options: Any) -> Actor:
    pool = SlotPool(segments[own], row) if own is not None else None
    shared = SharedArrays(segments, pool, **options)
    return Actor(shared, Encoder(shared.place))


@pytest.fixture
def line() -> Iterator[Line]:
    segments, row = {1: Segment(1), 2: Segment(2)}, Row()
    yield Line(segments, row, actor({1: segments[1]}, 1, row), actor(segments, 2, Row()))
    for segment in segments.values():
        segment.close()


VIEWS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "itself": lambda a: a,
    "reshaped": lambda a: a.reshape(128, -1),
    "cut": lambda a: a[3:60, 5:-1],
    "every other": lambda a: a[::2, ::3],
    "turned": lambda a: a.T,
    "backwards": lambda a: a[::-1, ::-1],
    "its end, backwards": lambda a: a[40:10:-2],
    "as other numbers": lambda a: a.view("<i4"),
    "broadcast": lambda a: np.broadcast_to(a[:, :1], (64, 512)),
    "of a view of a view": lambda a: a[1:][:, 1:].T[::-1],
}


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_is_handed_on_and_no_byte_moves(line: Line, name: str) -> None:
    given = line.pipe.get(line.source.send(FRAME))
    copied = line.source.shared.copied
    view = VIEWS[name](given)
    passed = actor(line.segments, None, Row()).get(line.pipe.send(view))
    assert np.array_equal(passed, VIEWS[name](FRAME))
    assert passed.strides == view.strides
    assert (copied, line.pipe.shared.copied) == (FRAME.nbytes, 0)
    assert line.pipe.shared.figures()["slot_bytes"] == 0


@settings(max_examples=40)
@given(
    array=npst.arrays(
        st.sampled_from(["<f8", ">i2", "|b1", "<c16", "<M8[ns]", "|S3"]),
        npst.array_shapes(min_dims=1, max_dims=4, max_side=6),
    ),
    data=st.data(),
)
def test_what_is_copied_arrives_as_it_was(array: np.ndarray, data: st.DataObject) -> None:
    view = np.repeat(array, 4096 // array.size + 1, axis=0)
    view = view.transpose(data.draw(st.permutations(range(view.ndim))))
    view = view[data.draw(st.sampled_from([slice(None), slice(None, None, -1), slice(1, None)]))]
    segment = Segment(1)
    source = actor({1: segment}, 1, Row())
    passed = source.get(source.send(view)) if view.nbytes >= 4096 else view
    segment.close()
    assert passed.dtype == view.dtype
    assert passed.tobytes() == view.tobytes()


def test_one_array_under_two_tags_is_copied_once(line: Line) -> None:
    body = line.source.send([FRAME, FRAME, {"a": FRAME}])
    assert line.source.shared.copied == FRAME.nbytes
    one, two, three = line.pipe.get(body)
    assert np.shares_memory(one, two)
    assert np.array_equal(three["a"], FRAME)


def test_an_array_asked_for_lies_there_already(line: Line) -> None:
    line.source.shared.begin(0)
    made = line.source.shared.empty((64, 512))
    np.add(FRAME, 1, out=made)
    body, _ = line.source.encode({}, [], [["x", 1, None, None, made[2:]]])
    assert line.source.shared.copied == 0
    assert np.array_equal(line.pipe.get(body), (FRAME + 1)[2:])
    assert line.source.shared.end() == made[2:].nbytes


@pytest.mark.parametrize("items", [1000, 32_768], ids=["in one window", "in one each"])
@pytest.mark.parametrize("flat", [False, True], ids=["themselves", "as bytes"])
def test_arrays_of_one_size_are_told_apart(line: Line, items: int, *, flat: bool) -> None:
    line.source.shared.begin(0)
    made = [line.source.shared.empty((items // 8, 8)) for _ in range(3)]
    for number, array in enumerate(made):
        array.fill(number)
    sent = [array.reshape(-1).view(np.uint8) for array in made] if flat else made
    entries = [[f"x{number}", 1, None, None, array] for number, array in enumerate(sent)]
    body, _ = line.source.encode({}, [], entries)
    got = decode(body, [], line.pipe.shared.read).data
    assert [np.unique(got[tag].value.view(float)).tolist() for tag in got] == [[0], [1], [2]]
    assert line.source.shared.copied == 0
    assert not any(array.flags.writeable for array in sent)


def test_who_looks_at_its_own_arrays_can_write_all_the_same(line: Line) -> None:
    """A tap reads what its actor sends; mappings come and go."""
    source = line.source
    body = source.send(FRAME, 0)
    while source.shared._windows._kept:
        source.shared._windows._give_up()
    assert np.array_equal(source.get(body), FRAME)
    line.row.low = 1
    again = source.send(FRAME + 1, 1)
    assert np.array_equal(line.pipe.get(again), FRAME + 1)


def test_outside_of_an_iteration_it_is_an_array_like_any_other(line: Line) -> None:
    made = line.source.shared.empty((64, 512))
    made[:] = 7
    line.row.low = 10
    line.source.send(FRAME, 10)
    assert (made == 7).all()
    assert line.source.shared.empty(4, "U5000").dtype == np.dtype("U5000")


def test_what_was_kept_from_another_iteration_is_copied(line: Line) -> None:
    kept = line.pipe.get(line.source.send(FRAME, 0))
    line.pipe.send(kept, 1)
    assert line.pipe.shared.copied == FRAME.nbytes


def test_what_was_sent_cannot_be_written_again(line: Line) -> None:
    line.source.shared.begin(0)
    made = line.source.shared.empty((64, 512))
    line.source.encode({}, [], [["x", 1, None, None, made]])
    with pytest.raises(ValueError, match="read-only"):
        made[:] = 1
    given = line.pipe.get(line.source.send(FRAME))
    with pytest.raises(ValueError, match="read-only"):
        given[0, 0] = 1
    with pytest.raises(ValueError, match="cannot set WRITEABLE"):
        given.flags.writeable = True


def test_who_keeps_arrays_gets_copies(line: Line) -> None:
    keeper = actor(line.segments, None, Row(), copies=True)
    kept = keeper.get(line.source.send(FRAME, 0))
    line.row.low = 1
    line.source.send(FRAME + 1, 1)  # into the same slot
    assert np.array_equal(kept, FRAME)


def test_a_tap_gets_bytes_that_nobody_writes_to(line: Line) -> None:
    head = Head(Kind.DATA, b"12345678", 1, 1, 0, shared=FRAME.nbytes >> 10)
    frames = inlined([pack(head, line.source.send(FRAME, 0))], line.pipe.shared.read)
    line.row.low = 1
    line.source.send(FRAME + 1, 1)
    there, body = unpack(frames[0])
    assert (there.shared, there.buffers) == (0, 1)
    assert np.array_equal(decode(body, frames[1:]).data["x"].value, FRAME)
    small = [pack(head._replace(shared=0), b"whatever it is")]
    assert inlined(small, line.pipe.shared.read) is small


def test_an_array_that_was_overwritten_is_refused(line: Line) -> None:
    old = line.source.send(FRAME, 0)
    line.row.low = 1
    line.source.send(FRAME, 1)
    with pytest.raises(RemoteProtocolError, match="used again since"):
        line.pipe.get(old)


LIES: dict[str, Callable[[list[Any]], list[Any]]] = {
    "another segment": lambda d: [3, *d[1:]],
    "a segment that is text": lambda d: ["1", *d[1:]],
    "a segment that is true": lambda d: [True, *d[1:]],
    "an old generation": lambda d: [d[0], d[1] - (1 << 14), *d[2:]],
    "a generation to come": lambda d: [d[0], d[1] + (1 << 14), *d[2:]],
    "another slot": lambda d: [d[0], d[1] ^ 1, *d[2:]],
    "no generation": lambda d: [d[0], 0, *d[2:]],
    "a negative generation": lambda d: [d[0], -d[1], *d[2:]],
    "a huge generation": lambda d: [d[0], 2**64 - 1, *d[2:]],
    "the table": lambda d: [d[0], d[1], 0, *d[3:]],
    "before its slot": lambda d: [d[0], d[1], d[2] - 8, *d[3:]],
    "behind its slot": lambda d: [d[0], d[1], d[2] + (1 << 18), *d[3:]],
    "half before its slot": lambda d: [d[0], d[1], d[2] - 4096, *d[3:]],
    "half behind its slot": lambda d: [d[0], d[1], d[2] + 4096, *d[3:]],
    "a huge offset": lambda d: [d[0], d[1], 2**63, *d[3:]],
    "objects": lambda d: [*d[:3], "|O", *d[4:]],
    "text, which nobody has looked at": lambda d: [*d[:3], "<U2", *d[4:]],
    "too many rows": lambda d: [*d[:4], [80, 512], d[5]],
    "very many rows": lambda d: [*d[:4], [2**40, 512], d[5]],
    "a bomb of nothing": lambda d: [*d[:4], [2**40, 512], [0, 0]],
    "huge nothing": lambda d: [*d[:4], [0, 2**63], d[5]],
    "steps too long": lambda d: [*d[:5], [8192, 8]],
    "steps back": lambda d: [*d[:5], [-4096, 8]],
    "huge steps": lambda d: [*d[:5], [2**63, 8]],
    "steps of fractions": lambda d: [*d[:5], [4096.5, 8]],
    "too few steps": lambda d: [*d[:5], [8]],
    "no steps": lambda d: [*d[:5], None],
    "too little": lambda d: d[:5],
    "too much": lambda d: [*d, 0],
    "nothing": lambda _: [],
}


@pytest.mark.parametrize("rows", [2, 64], ids=["small slots", "large slots"])
@pytest.mark.parametrize("name", LIES)
def test_a_lie_about_an_array_is_refused_and_the_next_good_one_is_read(
    line: Line, name: str, rows: int
) -> None:
    frame = FRAME[:rows]
    truth: list[list[Any]] = []

    def spy(array: np.ndarray) -> tuple[int, int, int] | None:
        where = line.source.shared.place(array)
        assert where is not None
        truth.append([*where, array.dtype.str, list(array.shape), list(array.strides)])
        return where

    line.source.shared.begin(0)
    good, _ = Encoder(spy)({}, [], [["x", 1, None, None, [frame, frame + 0, frame + 0]]])
    with pytest.raises((ValueError, TypeError)):
        line.pipe.shared.read(LIES[name](truth[1]))  # it has neighbours
    assert np.array_equal(line.pipe.get(good)[1], frame)


@pytest.mark.parametrize("value", [FRAME, [FRAME], {"a": (FRAME, 1)}], ids=["array", "list", "map"])
def test_a_message_with_a_lie_is_refused(line: Line, value: Any) -> None:
    def lie(array: np.ndarray) -> tuple[int, int, int]:
        segment, generation, offset = line.source.shared.place(array) or (0, 0, 0)
        return segment, generation, offset + 8

    line.source.shared.begin(0)
    body, _ = Encoder(lie)({}, [], [["x", 1, None, None, value]])
    with pytest.raises(RemoteProtocolError, match="leaves its slot"):
        line.pipe.get(body)


#: With too few addresses for a frame, a producer sends it otherwise, and a reader copies a part.
TIGHT = """
import resource
import numpy as np
from camagick_broker.ledger import Row
from camagick_broker.segment import Segment
from camagick_broker.shared import SharedArrays
from camagick_broker.slotpool import SlotPool

size = 64 << 20
segment, row = Segment(1), Row()
source = SharedArrays({1: segment}, SlotPool(segment, row))
reader = SharedArrays({1: segment}, None)
source.begin(0)
reader.read([*source.place(np.ones(1024)), "<f8", [1024], [8]])
frame = source.empty(size, "u1")
frame[:] = 3
where = source.place(frame)
with open("/proc/self/statm") as file:
    now = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (now + size // 2,) * 2)
part = reader.read([*where, "|u1", [1 << 20], [1]])
assert (part == 3).all() and not part.flags.writeable
assert source.place(np.broadcast_to(np.arange(4096, dtype="u1"), (1 << 14, 4096))) is not None
assert source.unplaced == 0
source.begin(1)
big = np.ones(24 << 20, "u1")
assert source.place(big) is None
print("unplaced", source.unplaced)
"""


def test_without_addresses_it_works_all_the_same() -> None:
    done = subprocess.run(
        [sys.executable, "-c", TIGHT], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.stdout == "unplaced 1\n"
    said = "no room in shared memory (said once), arrays are copied: Cannot allocate memory"
    assert done.stderr.count(said) == len(done.stderr.splitlines()) == 1
