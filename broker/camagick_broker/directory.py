"""What the broker knows: who is there, where, how far, and when all may start. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

from camagick_broker.errors import RemoteProtocolError

#: Fields of a registration.
_FIELDS: dict[str, type[Any]] = {
    "name": str, "pid": int, "incarnation": int, "data": str, "back": str, "loop": str,
    "far": str, "multicast": bool, "ready": bool, "going": bool,
}  # fmt: skip
#: Those that say how far it is, not where.
_STATES = ("ready", "going")
_LONGEST_TEXT = 256
_MOST_FIGURES = 10_000
_DEEPEST_FIGURES = 4


class Directory:
    """All actors of one bus.

    Parameters
    ----------
    names
        Number and name of every actor in the plan.

    Attributes
    ----------
    going
        Everybody was ready once: whoever is restarted since waits for nobody.
    """

    def __init__(self, names: Mapping[int, str]) -> None:
        self.names = dict(names)
        self.actors: dict[int, dict[str, Any]] = {}
        self.statistics: dict[int, dict[str, Any]] = {}
        self.going = False
        self._ready: set[int] = set()

    def register(self, number: int, entry: Mapping[str, Any]) -> bool:
        """Note an actor's addresses; tell whether there is something new that all should know.

        That is so when everybody is known, or the run goes on. An actor registers again when it, or
        the broker, was restarted, and now and then until the run goes on.

        Raises
        ------
        RemoteProtocolError
            For an actor that is not in the plan, or an entry that is not one.
        """
        self._check(number)
        entry = {"far": "", **entry}  # who talks with nobody elsewhere need not say so
        for field, kind in _FIELDS.items():
            value = entry.get(field)
            if type(value) is not kind or (isinstance(value, str) and len(value) > _LONGEST_TEXT):
                raise RemoteProtocolError(f"unusable registration: {field} is {value!r:.80}")
        before, going = self.actors.get(number), self.going
        self.actors[number] = {field: entry[field] for field in _FIELDS if field not in _STATES}
        (self._ready.add if entry["ready"] else self._ready.discard)(number)
        self.going = going or entry["going"] or self.all_ready
        changed = self.actors[number] != before or self.going != going
        return changed and (self.going or len(self.actors) == len(self.names))

    def knows(self, number: int) -> bool:
        """Tell whether an actor has registered."""
        return number in self.actors

    def ready(self, number: int) -> bool:
        """Note that an actor could start; tell whether it may.

        Raises
        ------
        RemoteProtocolError
            For an actor that is not in the plan.
        """
        self._check(number)
        self._ready.add(number)
        self.going = self.going or self.all_ready
        return self.going

    def may_go(self, number: int) -> bool:
        """Tell whether an actor may start."""
        return self.going and number in self._ready

    @property
    def all_ready(self) -> bool:
        """Whether everybody could start."""
        return len(self._ready) == len(self.names)

    @property
    def waiting_for(self) -> list[str]:
        """Names of the actors that could not start yet."""
        return [name for number, name in self.names.items() if number not in self._ready]

    def report(self, number: int, statistics: Mapping[str, Any]) -> None:
        """Keep an actor's newest figures.

        Raises
        ------
        RemoteProtocolError
            For an actor that is not in the plan, and for what are no figures.
        """
        self._check(number)
        if _size(statistics, _DEEPEST_FIGURES) > _MOST_FIGURES:
            raise RemoteProtocolError(f"too many figures: from actor {number}")
        self.statistics[number] = dict(statistics)

    def snapshot(self) -> dict[str, Any]:
        """Return all that is known, for whoever asks."""
        return {
            "ready": self.all_ready,
            "actors": self.actors,
            "statistics": self.statistics,
        }

    def _check(self, number: int) -> None:
        if number not in self.names:
            raise RemoteProtocolError(f"nobody in the plan: actor {number}")


def _size(figures: Any, depth: int) -> int:
    """Return how many numbers and names there are in nested maps, refusing anything else."""
    if figures is None or type(figures) in (bool, int, float, str):
        return 1 + (len(figures) // 64 if isinstance(figures, str) else 0)
    if not isinstance(figures, dict) or not depth:
        raise RemoteProtocolError(f"not figures: {figures!r:.80}")
    return sum(_size(key, 0) + _size(value, depth - 1) for key, value in figures.items())
