"""The broker's desk for whoever is not of its bus: status, the last word, and requests for taps."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from camagick_broker.directory import Directory

#: How long somebody who asks no more is still told the end.
_LEASE_S = 10.0
_MOST_WATCHERS = 256


class Desk:
    """Answers those who look at a bus from outside.

    Parameters
    ----------
    directory
        What the broker knows.
    peers
        By which each actor is reached.
    tell
        Sends a control message to a peer.
    awaited
        How many will want to be told the end.
    refused
        What the broker has refused, by place.
    """

    def __init__(
        self,
        directory: Directory,
        peers: Mapping[int, bytes],
        tell: Callable[[bytes, dict[str, Any]], None],
        awaited: int = 0,
        refused: Mapping[str, int] | None = None,
    ) -> None:
        self._refused = refused if refused is not None else {}
        self._awaited = awaited
        self._directory, self._peers, self._tell = directory, peers, tell
        self._before: dict[int, dict[str, Any]] = {}
        self._reported: dict[int, float] = {}
        self._watchers: dict[bytes, float] = {}

    def reported(self, number: int, before: dict[str, Any] | None) -> None:
        """Note that an actor has said something new; with what it said before, it makes rates."""
        if before is not None:
            self._before[number] = before
        self._reported[number] = time.monotonic()

    def status(self, peer: bytes, op: str = "status") -> None:
        """Tell all that is known."""
        now = time.monotonic()
        self._tell(peer, {
            "op": op, **self._directory.snapshot(), "before": self._before,
            "age_s": {number: now - then for number, then in self._reported.items()},
            "refused": dict(self._refused),
        })  # fmt: skip

    def watch(self, peer: bytes) -> None:
        """Tell all that is known, and, when the bus ends, that too."""
        self._remember(peer)
        self.status(peer)

    def tap(self, peer: bytes, number: Any) -> None:
        """Ask an actor to let others listen; to be repeated by the listener, as a sign of life."""
        if type(number) is not int or number not in self._directory.names:
            return
        self._remember(peer)
        figures = self._directory.statistics.get(number, {})
        ended = figures.get("seq") if figures.get("final") else None
        if ended is None and number in self._peers:
            self._tell(self._peers[number], {"op": "tap"})
        self._tell(peer, {"op": "tap", "actor": number, "ended": ended})

    @property
    def may_part(self) -> bool:
        """Whether all can be told the end, with the last figures of every actor; or nobody asks."""
        self._forget()
        if not self._watchers:
            return not self._awaited
        figures = self._directory.statistics
        complete = all(figures.get(number, {}).get("final") for number in self._directory.names)
        return complete and len(self._watchers) >= self._awaited

    def over(self) -> None:
        """Tell everybody who watches that the bus has ended, and how."""
        for peer in self._watchers:
            self.status(peer, "over")

    def _remember(self, peer: bytes) -> None:
        self._forget()
        if peer in self._watchers or len(self._watchers) < _MOST_WATCHERS:
            self._watchers[peer] = time.monotonic()

    def _forget(self) -> None:
        limit = time.monotonic() - _LEASE_S
        for peer in [peer for peer, seen in self._watchers.items() if seen < limit]:
            del self._watchers[peer]
