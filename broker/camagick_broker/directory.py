"""What the broker knows: who is there, where, how far, and when all may start. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: Fields of a registration.
_FIELDS = ("name", "pid", "incarnation", "data", "back", "loop", "multicast")


class Directory:
    """All actors of one bus.

    Parameters
    ----------
    names
        Number and name of every actor in the plan.
    """

    def __init__(self, names: Mapping[int, str]) -> None:
        self.names = dict(names)
        self.actors: dict[int, dict[str, Any]] = {}
        self.statistics: dict[int, dict[str, Any]] = {}
        self._ready: set[int] = set()

    def register(self, number: int, entry: Mapping[str, Any]) -> bool:
        """Note an actor's addresses; tell whether everybody is known now."""
        if number in self.names:
            self.actors[number] = {field: entry.get(field) for field in _FIELDS}
        return len(self.actors) == len(self.names)

    def ready(self, number: int) -> bool:
        """Note that an actor could start; tell whether everybody could."""
        if number in self.names:
            self._ready.add(number)
        return self.all_ready

    @property
    def all_ready(self) -> bool:
        """Whether everybody could start."""
        return len(self._ready) == len(self.names)

    @property
    def waiting_for(self) -> list[str]:
        """Names of the actors that could not start yet."""
        return [name for number, name in self.names.items() if number not in self._ready]

    def report(self, number: int, statistics: Mapping[str, Any]) -> None:
        """Keep an actor's newest figures."""
        if number in self.names:
            self.statistics[number] = dict(statistics)

    def snapshot(self) -> dict[str, Any]:
        """Return all that is known, for whoever asks."""
        return {
            "ready": self.all_ready,
            "actors": self.actors,
            "statistics": self.statistics,
        }
