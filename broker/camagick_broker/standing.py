"""How far one actor is. No I/O, no clock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from camagick_broker.edges import OutEdge
    from camagick_broker.ledger import Row
    from camagick_broker.resume import Resume
    from camagick_broker.wiring import Wiring


class Standing:
    """What has been made, what has ended, and whether anything is left to do.

    Parameters
    ----------
    wiring
        The actor's place.
    resume
        Where it begins.
    row
        Where it notes how far everything has ended, before anybody is told.
    out
        The producer's end of its output, None without consumers.

    Attributes
    ----------
    made
        Iterations that it, or its predecessor, has made.
    finished
        Iterations that are safe here: done by the last actor, committed by one that commits.
    ended_at
        The first iteration that does not exist here; None before that is known.
    closed
        Its processor has been shut down: all that it was given is safe.
    stopping
        Nothing more is to be begun.
    is_needed
        Tells whether others need this actor, or a successor, though nothing is left to do for it.
    """

    def __init__(
        self, wiring: Wiring, resume: Resume, row: Row, out: OutEdge[list[Any]] | None
    ) -> None:
        self._commits, self._row, self._out = wiring.commits, row, out
        self.made = resume.seq
        self.finished = resume.low
        self.ended_at: int | None = None
        self.closed = False
        self.stopping = False
        self.is_needed: Callable[[], bool] = lambda: False

    @property
    def low(self) -> int:
        """Everything below this has ended, here and downstream."""
        if self._out is None:
            return self.finished
        return min(self.finished, self._out.low) if self._commits else self._out.low

    @property
    def may_leave(self) -> bool:
        """Whether everything has ended, the end too."""
        if self.ended_at is None or not self.closed:
            return False
        return self._out is None or self._out.low > self.ended_at

    @property
    def wants_more(self) -> bool:
        """Whether producers shall go on."""
        return not self.stopping and self.ended_at is None

    def end(self, seq: int) -> None:
        """Note that there is no iteration `seq` any more."""
        self.ended_at = seq
        self._row.ended = seq + 1

    def close(self) -> None:
        """Note that the processor has been shut down."""
        self.closed = True
        self.finished = max(self.finished, self.made)

    def note(self) -> None:
        """Write down how far everything has ended: a successor must not wait for what is gone."""
        self._row.low = low = self.low
        is_done = self.may_leave or (self.ended_at is not None and low > self.ended_at)
        if is_done and not self.is_needed():
            self._row.over = 1
