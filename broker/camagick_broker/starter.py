"""When may a head start the next iteration? The loop contract as a state machine. No I/O.

The meaning of a pipe is that of a loop, pass after pass; what a user can observe of it is kept
exactly, the rest is pipelined:

* in **lockstep** iteration n+1 starts when n has ended at the last actors;
* otherwise it starts when n has left the last gates, and fewer than `window` are under way.

Where a pipe has several heads, the first of them leads: it starts an iteration when every head has
what it needs for it (is *armed*), so that what they read belongs to one moment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from camagick_broker.pace import FEWEST, Pace
from camagick_broker.sizes import LEAST, fitting

if TYPE_CHECKING:
    from collections.abc import Iterable


class Starter:
    """What a leading head knows about its pipe.

    Parameters
    ----------
    heads
        Numbers of all heads of the pipe, the leading one first.
    gates
        Numbers of the last gates.
    terminals
        Numbers of the actors without a consumer.
    lockstep
        Whether an iteration waits for the end of the one before.
    window
        How many iterations may be under way.
    fitted
        Whether that is an upper bound, and fewer may be where messages are large or slow.
    least
        How many may be however slow they are.
    """

    def __init__(
        self,
        heads: Iterable[int],
        gates: Iterable[int],
        terminals: Iterable[int],
        *,
        lockstep: bool,
        window: int,
        fitted: bool = False,
        least: int = FEWEST,
    ) -> None:
        heads = tuple(heads)
        self._armed = dict.fromkeys(heads, 0) if len(heads) > 1 else {}
        self._done = dict.fromkeys(heads, 0)
        self._passed = dict.fromkeys(terminals if lockstep else gates, 0)
        self._window = window
        self._largest: dict[int, int] | None = {} if fitted else None
        self._pace = Pace(least)

    def armed(self, head: int, below: int) -> None:
        """Note that `head` could start everything below `below`."""
        _raise(self._armed, head, below)

    def done(self, head: int, below: int, largest: int = 0) -> None:
        """Note that what `head` made below `below` has ended everywhere.

        `largest` is how many bytes the largest message has that was lately made from there on.
        """
        _raise(self._done, head, below)
        if self._largest is not None and below:  # before that, nobody knows
            self._largest[head] = largest

    @property
    def window(self) -> int:
        """How many iterations may be under way now."""
        if self._largest is None:
            return self._window
        if len(self._largest) < len(self._done):
            return min(LEAST, self._window)
        return fitting(max(self._largest.values()), self._pace.most or self._window)

    def look(self, now: float) -> bool:
        """Look how fast iterations end; tell whether more or fewer may be under way now."""
        if self._largest is None:
            return False
        return self._pace.look(now, self.all_done, self._window)

    def passed(self, actor: int, below: int) -> None:
        """Note that everything below `below` has left that gate, or ended at that last actor."""
        _raise(self._passed, actor, below)

    @property
    def all_done(self) -> int:
        """Everything below this, whichever head made it, has ended everywhere."""
        return min(self._done.values())

    @property
    def permitted(self) -> int:
        """Everything below this iteration may start.

        The window holds in lockstep too: an end reaches the heads sooner than the acknowledgements
        of the edges, and what is retained has to stay bounded.
        """
        limits = [self.all_done + self.window, *self._armed.values()]
        limits += [below + 1 for below in self._passed.values()]
        return min(limits)


def _raise(table: dict[int, int], key: int, below: int) -> None:
    if key in table and below > table[key]:
        table[key] = below
