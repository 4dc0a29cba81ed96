"""A head's part of the protocol: which iterations may start. No I/O, no clock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from camagick_broker.errors import RemoteProtocolError
from camagick_broker.starter import Starter
from camagick_broker.wire import Head, Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from camagick_broker.resume import Resume
    from camagick_broker.wiring import Wiring

#: Beyond every iteration.
_NEVER = 1 << 63


class HeadLoop:
    """What one head knows, from its loop socket, of how far its pipe has come.

    Nothing here may grow with a number that a peer says: it cannot know of an iteration that has
    not begun, and a leader never goes farther ahead than the window.

    Parameters
    ----------
    wiring
        The head's place.
    resume
        Where it begins.

    Attributes
    ----------
    go
        Everything below this iteration may start; what the leading head last told the others.
    stop_at
        There is no iteration from this one on, since some head has ended; None before that.
    """

    def __init__(self, wiring: Wiring, resume: Resume) -> None:
        self._wiring = wiring
        self._starter = Starter(
            wiring.heads, wiring.gates, wiring.terminals,
            lockstep=wiring.lockstep, window=wiring.window, fitted=wiring.fitted,
            least=wiring.least,
        )  # fmt: skip
        self._speakers = {
            Kind.LEFT: wiring.gates, Kind.ENDED: wiring.terminals, Kind.STATE: wiring.heads,
            Kind.ARMED: wiring.heads, Kind.GO: wiring.heads[:1], Kind.STOP: wiring.heads,
        }  # fmt: skip
        self._permits = resume.seq
        self.go = max(resume.go, resume.seq)
        self.stop_at: int | None = None

    def take(self, head: Head, low: int) -> None:
        """Take what a gate, a last actor, or another head has to say.

        Parameters
        ----------
        head
            The message.
        low
            Everything of this head's own that is below this has ended.

        Raises
        ------
        RemoteProtocolError
            For what cannot be.
        """
        self._check(head, low)
        if head.kind in (Kind.LEFT, Kind.ENDED):
            self._starter.passed(head.sender, head.seq)
        elif head.kind is Kind.ARMED:
            self._starter.armed(head.sender, head.seq)
        elif head.kind is Kind.STATE:
            self._starter.done(head.sender, head.seq, head.largest)
        elif head.kind is Kind.GO:
            self.go = max(self.go, head.seq)
        else:
            self.stopped_at(head.seq)

    def stopped_at(self, seq: int) -> None:
        """Note that some head makes no iteration `seq`, nor any after it."""
        self.stop_at = seq if self.stop_at is None else min(self.stop_at, seq)

    def gone(self, head: int) -> None:
        """Note that another head has left, with all it made safe."""
        self._starter.done(head, _NEVER)

    def all_done(self, own: int) -> bool:
        """Tell whether the other heads, too, have nothing left below iteration `own`."""
        return self._starter.all_done > own

    def look(self, now: float) -> bool:
        """As the leading head, look at the clock; tell whether that changes how far all may go."""
        return self._wiring.leads and self._starter.look(now)

    def lead(self) -> bool:
        """As the leading head, look how far all may go now; tell whether that is farther."""
        before = self.go
        self.go = max(self.go, self._starter.permitted)
        return self.go > before

    def permits(self) -> Iterator[int]:
        """Yield what may start and was not yet permitted."""
        while self._permits < self.go:
            self._permits += 1
            yield self._permits - 1

    def _check(self, head: Head, low: int) -> None:
        kind = head.kind
        if kind not in self._speakers:
            raise RemoteProtocolError(f"not for a head: {kind.name}")
        if head.sender not in self._speakers[kind]:
            raise RemoteProtocolError(f"a stranger to this head: {kind.name} of {head.sender}")
        if kind is Kind.GO:
            limit = low + self._wiring.window
        else:
            limit = self.go if kind in (Kind.LEFT, Kind.ENDED) else self.go + 1
        if head.seq > limit:
            raise RemoteProtocolError(
                f"iteration too far ahead: {kind.name} {head.seq} of actor {head.sender}"
            )
