"""Messages of taps in pieces, so that control passes between them; and how many may be under way.

No I/O, no clock.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Any

from camagick_broker.errors import RemoteProtocolError
from camagick_broker.wire import MAX_BUFFERS, MAX_FRAME_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: With all that is around it, a piece fits into an empty pipe.
PIECE_BYTES = 60 << 10
#: Of one message.
_MOST_BYTES, _MOST_FRAMES = 2 * MAX_FRAME_BYTES, MAX_BUFFERS + 2
#: What may be under way: at least, first of all, and at most.
_LEAST, _FIRST, _MOST = 2 * PIECE_BYTES, 4 * PIECE_BYTES, 16 * PIECE_BYTES
#: So much longer than the shortest time so far, and something queues on the way.
_LATE_S = 0.1


def cut(frames: Iterable[Any]) -> Iterator[bytes]:
    """Yield the bytes of some frames, one behind the other, in pieces."""
    parts: list[memoryview] = []
    room = PIECE_BYTES
    for frame in frames:
        left = memoryview(frame).cast("B")
        while left:
            parts.append(left[:room])
            left, room = left[room:], room - len(parts[-1])
            if not room:
                yield b"".join(parts)
                parts, room = [], PIECE_BYTES
    if parts:
        yield b"".join(parts)


class Assembly:
    """A message that comes in pieces."""

    def __init__(self) -> None:
        self._actor, self._sizes = 0, [0]
        self._missing = 0
        self._data = bytearray()

    def take(self, piece: dict[str, Any]) -> tuple[int, list[memoryview]] | None:
        """Return actor and frames of a message, with its last piece.

        Raises
        ------
        RemoteProtocolError
            When there can be no such message.
        """
        data = piece.get("data")
        if not isinstance(data, bytes):
            raise RemoteProtocolError("a piece without data")
        if "sizes" in piece:
            self._begin(piece.get("actor"), piece["sizes"])
        if not data or len(data) > self._missing:
            raise RemoteProtocolError("a piece of no message")
        self._data += data
        self._missing -= len(data)
        return None if self._missing else (self._actor, self._frames())

    def _begin(self, actor: Any, sizes: Any) -> None:
        if self._missing:
            raise RemoteProtocolError("a message within another")
        if (
            type(actor) is not int
            or not isinstance(sizes, list)
            or not 0 < len(sizes) <= _MOST_FRAMES
            or not all(type(size) is int and size >= 0 for size in sizes)
            or sum(sizes) > _MOST_BYTES
        ):
            raise RemoteProtocolError("unusable sizes of a message in pieces")
        self._actor, self._sizes, self._missing = actor, sizes, sum(sizes)

    def _frames(self) -> list[memoryview]:
        whole, self._data = memoryview(self._data).toreadonly(), bytearray()
        frames, begin = [], 0
        for size in self._sizes:
            frames.append(whole[begin : begin + size])
            begin += size
        return frames


class Credit:
    """How much may be under way: as much as does not queue.

    What queues, control has to wait for. So less is allowed once confirmations come late, and more
    as long as they do not.
    """

    def __init__(self) -> None:
        self._limit = _FIRST
        self._sent = self._taken = 0
        self._soonest_s = math.inf
        self._under_way: deque[tuple[int, float]] = deque()
        self._slowed_at = 0

    @property
    def is_left(self) -> bool:
        """Whether another piece may be sent."""
        return self._sent - self._taken + PIECE_BYTES <= self._limit

    def spend(self, size: int, now: float) -> None:
        """Note that so many bytes are on their way."""
        self._sent += size
        self._under_way.append((self._sent, now))

    def confirm(self, taken: int, now: float) -> None:
        """Note that so many bytes, of all that were ever sent, have arrived."""
        self._taken = max(self._taken, min(taken, self._sent))
        while self._under_way and self._under_way[0][0] <= self._taken:
            mark, then = self._under_way.popleft()
            self._soonest_s = min(self._soonest_s, now - then)
            if now - then <= self._soonest_s + _LATE_S:
                self._limit = min(self._limit + PIECE_BYTES, _MOST)
            elif mark > self._slowed_at:  # once for all that was under way together
                self._limit, self._slowed_at = max(self._limit // 2, _LEAST), self._sent
