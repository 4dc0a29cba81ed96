"""What to do when actors die, hang, or fail: the rules, apart from the processes."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from camagick.actor.assignment import OnError

#: Deaths are forgotten after so many seconds.
SPAN_S = 60.0
#: An iteration that has ended its actor so often is set aside.
DEATHS = 3
_FIRST_DELAY_S, _LONGEST_DELAY_S = 0.1, 5.0
#: Actors that are restarted need the broker.
_HELPER_DELAY_S = 0.5


@dataclass(frozen=True)
class Policy:
    """What the user wants.

    Attributes
    ----------
    restart
        How often an actor may be started again within `SPAN_S`.
    hang_s
        Seconds after which a processor that does not return from a call is killed; None: never.
    on_error
        What to do when a processor raises.
    """

    restart: int = 3
    hang_s: float | None = None
    on_error: OnError = "stop"


class Deaths:
    """Counts deaths, and tells when to start the next process.

    Parameters
    ----------
    budget
        How many within `SPAN_S` are borne.
    """

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._times: defaultdict[int | str, deque[float]] = defaultdict(deque)
        self._outside: defaultdict[int, deque[float]] = defaultdict(lambda: deque(maxlen=32))
        self._at: Counter[tuple[int, int]] = Counter()
        self._poison: defaultdict[int, set[int]] = defaultdict(set)

    def note(self, who: int | str, now: float) -> float | None:
        """Note a death; return after how many seconds to start again, None for never."""
        times = self._times[who]
        while times and times[0] < now - SPAN_S:
            times.popleft()
        times.append(now)
        if len(times) > self._budget:
            return None
        longest = _LONGEST_DELAY_S if isinstance(who, int) else _HELPER_DELAY_S
        return min(_delay_s(len(times)), longest)

    def note_outside(self, who: int, now: float) -> float:
        """Note a failure that the actor is not to blame for; return when to try again."""
        times = self._outside[who]
        if times and times[-1] < now - SPAN_S:
            times.clear()
        times.append(now)
        return _delay_s(len(times))

    def count(self, who: int | str) -> int:
        """Return how many deaths are remembered."""
        return len(self._times[who])

    def blame(self, number: int, seq: int) -> None:
        """Note that an actor has died while it was at an iteration."""
        self._at[number, seq] += 1
        if self._at[number, seq] >= DEATHS:
            self._poison[number].add(seq)

    def poison(self, number: int) -> frozenset[int]:
        """Return the iterations that an actor has to set aside."""
        return frozenset(self._poison[number])


def _delay_s(times: int) -> float:
    """Return how long to wait before the next start, when there were so many ends."""
    if times == 1:
        return 0.0
    return float(min(_FIRST_DELAY_S * 2 ** (times - 2), _LONGEST_DELAY_S))
