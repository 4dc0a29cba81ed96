"""The prefix: what is packed comes back, and nothing else is taken."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from camagick_broker.errors import LocalProtocolError, RemoteProtocolError
from camagick_broker.wire import MAX_BUFFERS, PREFIX_BYTES, Head, Kind, pack, unpack, unpack_all
from tests import hostile

RUN = b"01234567"
u16, u32, u64 = (st.integers(0, 2**bits - 1) for bits in (16, 32, 64))
heads = st.builds(
    Head, st.sampled_from(Kind), st.binary(min_size=8, max_size=8), u32, u32, u64, u32, u32, u32,
    u16, st.integers(0, MAX_BUFFERS), u64,
)  # fmt: skip


@given(heads, st.binary(max_size=200))
def test_what_is_packed_comes_back(head, body):
    frame = pack(head, body)
    for form in (frame, bytearray(frame), memoryview(frame)):
        its, rest = unpack(form, head.run)
        assert its == head
        assert type(its.kind) is Kind
        assert bytes(rest) == body


def test_the_body_is_a_view_not_a_copy():
    frame = bytearray(pack(Head(Kind.DATA, RUN, 1, 1, 0), b"abc"))
    _, body = unpack(frame)
    frame[-1:] = b"z"
    assert bytes(body) == b"abz"


def test_the_layout_is_what_the_table_says():
    head = Head(Kind.STATE, RUN, 2, 3, 4, 5, 6, 7, 8, 9, 10)
    assert pack(head, b"xy") == (
        b"CSPY" + b"\x01\x04\x08\x00" + RUN
        + b"".join(n.to_bytes(4, "little") for n in (2, 3, 5, 6, 7, 9))
        + b"".join(n.to_bytes(8, "little") for n in (4, 10))
        + (2).to_bytes(4, "little") + b"xy"
    )  # fmt: skip


REASONS = {
    "nothing": "too short", "one byte": "too short", "cut in the prefix": "too short",
    "cut in the body": "wrong length", "something behind it": "too short",
    "garbage": "not a message of caspy", "http request": "GET ", "tls hello": "not a message",
    "port scanner": "not a message", "wrong magic": "CSPZ", "older version": "version of the",
    "newer version": "2, where this is 1", "wrong run": "another run",
    "no kind": "kind of message: 0",
    "unknown kind": "kind of message: 255", "body said to be longer": "wrong length",
    "body said to be shorter": "too short", "body said to be huge": "wrong length",
    "endless buffers": "too many buffers", "a lie behind it": "not a message",
    "several, with buffers": "raw buffers behind",
}  # fmt: skip


def test_several_messages_in_one_frame():
    heads = [Head(Kind.DATA, RUN, 2, 2, seq, sent_ns=seq) for seq in range(3)]
    bodies = [b"", b"x", bytes(1000)]
    frame = b"".join(pack(head, body) for head, body in zip(heads, bodies, strict=True))
    assert [(head, bytes(body)) for head, body in unpack_all(frame, RUN)] == list(
        zip(heads, bodies, strict=True)
    )
    with pytest.raises(RemoteProtocolError, match="3 messages in one frame"):
        unpack(frame, RUN)


@pytest.mark.parametrize(("name", "frame"), hostile.prefixes(RUN, 3, 5), ids=lambda x: str(x)[:30])
def test_every_corruption_is_refused_with_its_reason(name, frame):
    with pytest.raises(RemoteProtocolError, match=REASONS[name]) as caught:
        unpack(frame, RUN)
    assert len(str(caught.value)) < 200
    assert len(caught.value.kind) < 60


def test_any_run_is_taken_where_none_is_asked_for():
    assert unpack(pack(Head(Kind.END, RUN, 1, 1, 9)))[0].seq == 9


@given(st.binary(max_size=300))
def test_arbitrary_bytes_raise_nothing_else(frame):
    with pytest.raises(RemoteProtocolError):
        unpack(frame, RUN)


@given(heads, st.binary(max_size=20), st.data())
def test_changed_bytes_raise_nothing_else(head, body, data):
    frame = bytearray(pack(head, body))
    for _ in range(data.draw(st.integers(1, 4))):
        frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    frame = frame[: data.draw(st.integers(0, len(frame)))]
    try:
        its, rest = unpack(frame, head.run)
    except RemoteProtocolError:
        return
    assert len(rest) == len(frame) - PREFIX_BYTES
    assert its.buffers <= MAX_BUFFERS


@pytest.mark.parametrize(
    "change",
    [
        {"run": b""}, {"run": b"123456789"}, {"seq": -1}, {"seq": 2**64}, {"edge": 2**32},
        {"buffers": MAX_BUFFERS + 1}, {"sent_ns": -1}, {"kind": 256}, {"flags": 2**16},
    ],
    ids=str,
)  # fmt: skip
def test_what_would_be_refused_is_not_sent(change):
    with pytest.raises(LocalProtocolError):
        pack(Head(Kind.DATA, RUN, 1, 1, 0)._replace(**change))


def test_a_body_too_large_is_not_sent(monkeypatch):
    monkeypatch.setattr("camagick_broker.wire.MAX_FRAME_BYTES", 1000)
    pack(Head(Kind.DATA, RUN, 1, 1, 0), bytes(1000 - PREFIX_BYTES))
    with pytest.raises(LocalProtocolError, match="body of 941"):
        pack(Head(Kind.DATA, RUN, 1, 1, 0), bytes(1001 - PREFIX_BYTES))
