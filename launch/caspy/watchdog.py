"""Who has hung: a processor that does not return, or a process that does not run."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from camagick_broker.ledger import Row

#: The sockets of an actor are served once a second at least; so much later it does not run.
_BEAT_S = 3.0


class Watchdog:
    """Watches what actors note of their progress.

    Parameters
    ----------
    patience_s
        How long a call of a processor may take.
    """

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._calls: dict[int, tuple[int, float]] = {}
        self._beats: dict[int, tuple[int, float]] = {}

    def hung(self, number: int, row: Row, now: float, *, waits: bool) -> str:
        """Tell why an actor has to be killed; '' where it has not.

        Parameters
        ----------
        number, row
            The actor, and what it notes.
        now
            Time on the monotonic clock.
        waits
            Whether its processor may wait for the outside for ever.
        """
        began, beat = row.begun, row.beat
        busy = began > row.made and not waits
        call, since = self._calls.get(number, (-1, now))
        if not busy or call != began:
            self._calls[number] = (began if busy else -1, now)
        elif now > since + self._patience_s:
            return f"busy with iteration {began - 1} for {self._patience_s:g} s"
        last, since = self._beats.get(number, (-1, now))
        if beat != last:
            self._beats[number] = (beat, now)
        elif beat and now > since + self._patience_s + _BEAT_S:
            return f"not running for {self._patience_s + _BEAT_S:g} s"
        return ""

    def forget(self, number: int) -> None:
        """Begin anew with a new process."""
        self._calls.pop(number, None)
        self._beats.pop(number, None)
