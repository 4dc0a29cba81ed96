"""Messages of taps in pieces, and how many may be under way; no sockets, no clock."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from camagick_broker.errors import RemoteProtocolError
from caspy.hosts.pieces import PIECE_BYTES, Assembly, Credit, cut

SIZES = st.lists(st.integers(0, 3 * PIECE_BYTES), min_size=1, max_size=6).filter(any)


def pieces(actor: int, frames: list[bytes]) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = [{"op": "piece", "data": data} for data in cut(frames)]
    made[0].update(actor=actor, sizes=[len(frame) for frame in frames])
    return made


@settings(deadline=None)
@given(messages=st.lists(SIZES, min_size=1, max_size=3))
def test_messages_come_out_as_they_went_in(messages: list[list[int]]) -> None:
    assembly = Assembly()
    for number, sizes in enumerate(messages):
        frames = [bytes([at]) * size for at, size in enumerate(sizes)]
        *before, last = pieces(number, frames)
        assert all(len(piece["data"]) == PIECE_BYTES for piece in before)
        assert [assembly.take(piece) for piece in before] == [None] * len(before)
        found = assembly.take(last)
        assert found is not None
        assert (found[0], list(map(bytes, found[1]))) == (number, frames)


@pytest.mark.parametrize(
    "piece",
    [
        {}, {"data": "text"}, {"data": b""}, {"data": b"of nothing"},
        {"data": b"x", "sizes": [1]}, {"data": b"x", "actor": "1", "sizes": [1]},
        {"data": b"x", "actor": 1, "sizes": []}, {"data": b"x", "actor": 1, "sizes": 1},
        {"data": b"x", "actor": 1, "sizes": [-1, 2]}, {"data": b"x", "actor": 1, "sizes": [True]},
        {"data": b"x", "actor": 1, "sizes": [1 << 40]}, {"data": b"", "actor": 1, "sizes": [0]},
        {"data": b"x", "actor": 1, "sizes": [0] * 10_000},
        {"data": b"xx", "actor": 1, "sizes": [1]},
    ],
)  # fmt: skip
def test_what_is_no_piece(piece: dict[str, Any]) -> None:
    with pytest.raises(RemoteProtocolError):
        Assembly().take(piece)


def test_messages_do_not_mix() -> None:
    assembly = Assembly()
    first, *_ = pieces(1, [bytes(3 * PIECE_BYTES)])
    assembly.take(first)
    with pytest.raises(RemoteProtocolError, match="within another"):
        assembly.take(first)


def spend(credit: Credit, now: float) -> int:
    """Send as much as is allowed; return how many pieces that is."""
    sent = 0
    while credit.is_left:
        credit.spend(PIECE_BYTES, now)
        sent += 1
    return sent


def test_credit_grows_while_confirmations_come_in_time() -> None:
    credit, sent = Credit(), 0
    found = []
    for turn in range(10):
        sent += (now_sent := spend(credit, turn))
        found.append(now_sent)
        credit.confirm(sent * PIECE_BYTES, turn + 0.3)  # a long way is no queue
    assert found[:4] == [4, 8, 16, 16]


def test_credit_shrinks_when_they_come_late_but_never_to_nothing() -> None:
    credit = Credit()
    sent = spend(credit, 0.0)
    credit.confirm(sent * PIECE_BYTES, 0.01)
    found = []
    for turn in range(1, 6):
        found.append(spend(credit, turn))
        sent += found[-1]
        credit.confirm(sent * PIECE_BYTES, turn + 0.5)
    assert found == [8, 4, 2, 2, 2]


def test_more_cannot_be_confirmed_than_was_sent() -> None:
    credit = Credit()
    sent = spend(credit, 0.0)
    for taken in (10**12, -5, 0):
        credit.confirm(taken, 0.0)
    assert spend(credit, 0.0) <= 2 * sent
