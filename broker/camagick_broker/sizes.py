"""How large messages are, and how many of them may be under way. No I/O.

The head of a pipe decides how many iterations are under way, and the largest message may be made
far behind it. So every acknowledgement says how large messages are from its sender on; the largest
of all edges reaches the head with the first of them.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from camagick_broker.wire import shared_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: An edge may hold so many bytes, where the window is fitted to the messages.
BYTES = 256 << 20
#: The window fitted to the messages lies between these.
LEAST, MOST = 4, 64


def fitting(largest: int, most: int) -> int:
    """Return how many messages of `largest` bytes an edge may hold, at most `most`."""
    return max(min(LEAST, most), min(most, BYTES // max(1, largest)))


def size_of(frames: Sequence[Any]) -> int:
    """Return how many bytes a message has, with the arrays in shared memory that it refers to."""
    return sum(memoryview(frame).nbytes for frame in frames) + shared_bytes(frames[0])


class Sizes:
    """The messages that one actor, and whatever is behind it, has made lately.

    Parameters
    ----------
    last
        How many of its own messages to look back: when they get smaller, that is noticed.
    """

    def __init__(self, last: int) -> None:
        self._own: deque[int] = deque(maxlen=last)
        self._behind: dict[int, int] = {}

    def made(self, frames: Iterable[Any]) -> None:
        """Note a message of its own."""
        self._own.append(size_of(list(frames)))

    def heard(self, consumer: int, largest: int) -> None:
        """Note what a consumer says of its own messages and those behind it."""
        self._behind[consumer] = largest

    @property
    def largest(self) -> int:
        """Bytes of the largest message, 0 where there was none."""
        return max([*self._own, *self._behind.values()], default=0)
