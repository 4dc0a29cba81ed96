"""How large messages are, and how many of them may be under way. No I/O.

The head of a pipe decides how many iterations are under way, and the largest message may be made
far behind it. So every acknowledgement says how large messages are from its sender on; the largest
of all edges reaches the head with the first of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from camagick_broker.wire import shared_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

#: An edge may hold so many bytes, where the window is fitted to the messages.
BYTES = 256 << 20
#: The window fitted to the messages lies between these.
LEAST, MOST = 4, 256


def fitting(largest: int, most: int) -> int:
    """Return how many messages of `largest` bytes an edge may hold, at most `most`."""
    return max(min(LEAST, most), min(most, BYTES // max(1, largest)))


def size_of(frames: Sequence[Any]) -> int:
    """Return how many bytes a message has, with the arrays in shared memory that it refers to."""
    if len(frames) == 1:
        return len(frames[0]) + shared_bytes(frames[0])
    return sum(memoryview(frame).nbytes for frame in frames) + shared_bytes(frames[0])


class Sizes:
    """The messages that one actor, and whatever is behind it, has made lately.

    Parameters
    ----------
    last
        How many of its own messages to look back, at least, and not more than twice as many: when
        they get smaller, that is noticed.
    """

    def __init__(self, last: int) -> None:
        self._last = last
        self._count = self._largest = self._before = 0
        self._behind: dict[int, int] = {}

    def made(self, size: int) -> None:
        """Note a message of its own, of so many bytes."""
        if self._count == self._last:
            self._before, self._largest, self._count = self._largest, 0, 0
        self._count += 1
        self._largest = max(self._largest, size)

    def heard(self, consumer: int, largest: int) -> None:
        """Note what a consumer says of its own messages and those behind it."""
        self._behind[consumer] = largest

    @property
    def largest(self) -> int:
        """Bytes of the largest message, 0 where there was none."""
        return max(self._largest, self._before, *self._behind.values())
