"""Who looks at a bus by way of its gateway, and what is shown to them. No I/O, and no clock."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from camagick_broker.running import Card

#: Who has not asked for so long has gone.
LEASE_S = 10.0
_MOST = 256
#: The broker is not asked more often for all who look together.
_LOOK_S = 0.2
#: What is shown of an actor's place: no process, and no address.
_SHOWN = ("name", "incarnation")


class Looking:
    """Those who look: who waits for an answer of the broker, and who is to be told the end."""

    def __init__(self) -> None:
        self._seen: dict[bytes, float] = {}
        self._waiting: set[bytes] = set()
        self._ask_at = 0.0

    def __bool__(self) -> bool:
        return bool(self._seen)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._seen)

    def come(self, peer: bytes, now: float) -> None:
        """Note that somebody is there, and waits for an answer."""
        if peer in self._seen or len(self._seen) < _MOST:
            self._seen[peer] = now
            self._waiting.add(peer)

    def forget(self, now: float) -> None:
        """Forget who has gone."""
        for peer in [peer for peer, seen in self._seen.items() if seen < now - LEASE_S]:
            del self._seen[peer]
            self._waiting.discard(peer)

    def ask(self, now: float) -> bool:
        """Tell whether to ask the broker; it counts as asked then."""
        if not self._waiting or now < self._ask_at:
            return False
        self._ask_at = now + _LOOK_S
        return True

    def served(self) -> set[bytes]:
        """Return who has waited for the answer that has come."""
        served, self._waiting = self._waiting, set()
        return served


def shown_card(card: Card) -> dict[str, Any]:
    """Return what others may know of a run: not what was typed, nor by which process."""
    return {**asdict(card), "run": card.run.hex(), "command": [], "pid": 0}


def shown(status: dict[str, Any]) -> dict[str, Any]:
    """Return what others may know of what the broker says: figures; no processes, no addresses."""
    now, before = status.get("statistics", {}), status.get("before", {})
    same = {
        number: figures
        for number, figures in before.items()
        if figures.get("pid") == now.get(number, {}).get("pid")
    }
    return {
        **status,
        "actors": {
            number: {name: entry[name] for name in _SHOWN if name in entry}
            for number, entry in status.get("actors", {}).items()
        },
        "statistics": {number: _figures(one) for number, one in now.items()},
        # Figures of a predecessor are nothing to compare with.
        "before": {number: _figures(one) for number, one in same.items()},
    }


def _figures(report: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in report.items() if name != "pid"}
