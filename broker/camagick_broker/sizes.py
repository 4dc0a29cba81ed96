"""How large messages are, and how many of them may be under way. No I/O.

The head of a pipe decides how many iterations are under way, and the largest message may be made
far behind it. So every acknowledgement says how large messages are from its sender on; the largest
of all edges reaches the head with the first of them. A message to another host counts as more than
it has: the window is to be smaller for it.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from camagick_broker.wire import shared_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

#: An edge may hold so many bytes, where the window is fitted to the messages.
BYTES = 256 << 20
#: An edge between hosts, so many: what waits longer has left the processor's cache when its turn
#: has come to be encrypted, and so has the memory of the next array to be made. It is more than TCP
#: has under way (tcp_rmem: 6 MB by default), so it slows no link down.
FAR_BYTES = 10 << 20
#: The window fitted to the messages lies between these.
LEAST, MOST = 4, 256


def fitting(largest: int, most: int) -> int:
    """Return how many messages of `largest` bytes an edge may hold, at most `most`."""
    return max(min(LEAST, most), min(most, BYTES // max(1, largest)))


@functools.lru_cache(maxsize=256)
def counted(size: int, least: int) -> int:
    """Return what a message of `size` bytes to another host counts as.

    Parameters
    ----------
    size
        Its bytes.
    least
        So many may be under way, if that is not more than `BYTES`.
    """
    return max(size, min(size * (BYTES // FAR_BYTES), BYTES // least))


def size_of(frames: Sequence[Any]) -> int:
    """Return how many bytes a message has, with the arrays in shared memory that it refers to.

    Parameters
    ----------
    frames
        Each of bytes, or an array or a view of single bytes.
    """
    return sum(map(len, frames)) + shared_bytes(frames[0])


class Sizes:
    """The messages that one actor, and whatever is behind it, has made lately.

    Parameters
    ----------
    last
        How many of its own messages to look back, at least, and not more than twice as many: when
        they get smaller, that is noticed.
    least
        Where its own messages go to another host: so many of them may be under way.
    """

    def __init__(self, last: int, least: int | None = None) -> None:
        self._last, self._least = last, least
        self._count = self._largest = self._before = 0
        self._behind: dict[int, int] = {}

    def made(self, size: int) -> None:
        """Note a message of its own, of so many bytes."""
        if self._count == self._last:
            self._before, self._largest, self._count = self._largest, 0, 0
        self._count += 1
        if self._least is not None:
            size = counted(size, self._least)
        if size > self._largest:
            self._largest = size

    def heard(self, consumer: int, largest: int) -> None:
        """Note what a consumer says of its own messages and those behind it."""
        self._behind[consumer] = largest

    @property
    def largest(self) -> int:
        """What the largest message counts as, in bytes; 0 where there was none."""
        return max(self._largest, self._before, *self._behind.values())
