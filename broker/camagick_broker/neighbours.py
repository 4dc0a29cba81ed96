"""What an actor's station watches of the others: who was restarted, who has left, who is silent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from camagick_broker.edges import OutEdge
    from camagick_broker.ledger import Ledger
    from camagick_broker.wiring import Wiring

#: When to ask consumers from which nothing has come; the interval doubles while nothing comes.
_FIRST_S, _LONGEST_S = 0.5, 4.0


class Neighbours:
    """The actors that one actor has to do with.

    Parameters
    ----------
    wiring
        Its place.
    ledger
        Where all actors of this host note how far they have come; None knows nothing of them.
    """

    def __init__(self, wiring: Wiring, ledger: Ledger | None) -> None:
        numbers = {*wiring.inputs, *wiring.consumers, *wiring.heads} - {wiring.number}
        self._rows = {} if ledger is None else {number: ledger[number] for number in numbers}
        self._incarnations = dict.fromkeys(numbers, 1)

    def left(self) -> set[int]:
        """Return those for which nothing is left to do."""
        return {number for number, row in self._rows.items() if row.over}

    def renewed(self, actors: Any) -> set[int]:
        """Return, once, those that were restarted, as the directory `actors` says."""
        found = set()
        for number, known in self._incarnations.items():
            entry = actors.get(number) if isinstance(actors, dict) else None
            incarnation = entry.get("incarnation") if isinstance(entry, dict) else None
            if isinstance(incarnation, int) and incarnation > known:
                self._incarnations[number] = incarnation
                found.add(number)
        return found


class Probe:
    """When a producer has to ask whether its messages have arrived.

    Attributes
    ----------
    at
        When to look next, by the monotonic clock.
    """

    def __init__(self) -> None:
        self.at = 0.0
        self._low = self._next = -1
        self._interval_s = _FIRST_S

    def is_due(self, now: float, out: OutEdge[Any]) -> bool:
        """Tell whether messages are kept, and nothing was heard of them since the last look."""
        if now < self.at or not out.kept:
            return False
        silent = out.low == self._low and out.next == self._next
        self._low, self._next = out.low, out.next
        self._interval_s = min(2 * self._interval_s, _LONGEST_S) if silent else _FIRST_S
        self.at = now + self._interval_s
        return silent
