"""A processor that several processes share: whose turn an iteration is."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

from camagick_broker.encoder import Encoder
from camagick_broker.wire import PASSED, Head, Kind, pack

if TYPE_CHECKING:
    from camagick_broker.wiring import Wiring


class Share(NamedTuple):
    """One worker's part of the iterations: every `workers`-th one.

    Attributes
    ----------
    worker
        Which of them it is, from 0.
    workers
        How many there are.
    """

    worker: int
    workers: int

    def has(self, seq: int) -> bool:
        """Tell whether an iteration is this worker's."""
        return seq % self.workers == self.worker


class Shared(NamedTuple):
    """The output of all workers of one processor, as whoever is behind them sees it.

    Attributes
    ----------
    workers
        Numbers of their actors, in the order in which they take turns.
    """

    workers: tuple[int, ...]

    def of(self, seq: int) -> int:
        """Return the number of the actor whose message of an iteration counts."""
        return self.workers[seq % len(self.workers)]


def passed(wiring: Wiring, seq: int) -> list[Any]:
    """Return the frames of an iteration that is another worker's: a message with nothing in it.

    Everybody behind a worker is told of every iteration, so that what holds for any join
    (order, acknowledgements, restart) holds for workers.
    """
    head = Head(
        Kind.DATA, wiring.run, wiring.number, wiring.number, seq, wiring.incarnation,
        wiring.incarnation, flags=PASSED, sent_ns=time.time_ns() - wiring.ahead_ns,
    )  # fmt: skip
    return [pack(head, _NOTHING)]


_NOTHING, _ = Encoder()({}, [], [])
