"""A stream of Channel Access messages, however it is cut on its way."""

from __future__ import annotations

import struct

from hypothesis import given, settings
from hypothesis import strategies as st

from camagick.service.ca_stream import Framer


def message(size: int) -> bytes:
    payload = bytes(number % 251 for number in range(min(size, 5000))).ljust(size, b"x")
    if size < 0xFFFF:
        return struct.pack(">HHHHII", 1, size, 6, 1, 7, size) + payload
    return struct.pack(">HHHHIIII", 1, 0xFFFF, 6, 0, 7, size, size, 1) + payload


SIZES = st.lists(st.sampled_from([0, 8, 16, 5000, 65519, 65520, 65536, 300_000]), max_size=6)


CUTS = st.lists(st.sampled_from([1, 15, 16, 17, 23, 24, 40, 4096, 65536]), max_size=20)


@settings(deadline=None, max_examples=50)
@given(SIZES, CUTS.map(lambda cuts: [*cuts, 50_000]))
def test_messages_come_out_as_they_went_in(sizes: list[int], cuts: list[int]) -> None:
    sent = [message(size) for size in sizes]
    left = b"".join(sent)
    framer, found = Framer(), list[bytearray]()
    turn = 0
    while left:
        room = framer.room()
        assert len(room), "no room: asyncio would take that for the end"
        part = left[: min(len(room), cuts[turn % len(cuts)])]
        room[: len(part)] = part
        del room
        found += framer.add(len(part))
        left, turn = left[len(part) :], turn + 1
    assert found == sent
    assert len({id(one) for one in found}) == len(found), "each in memory of its own"
