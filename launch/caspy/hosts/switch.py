"""Between the sockets of a bus and a channel: one such process at each end of it.

At the launcher it stands for the actors of the other host before the broker; on that host it stands
for the broker. Both tell each other how far their actors have come, and notice when nothing is
heard any more.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from camagick_broker.port import Port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from camagick_broker.ledger import Ledger
    from caspy.hosts.channel import Channel

_ROWS_S = 0.1
_PING_S = 1.0
#: Exit code of a switch when its channel has ended, or nothing was heard for too long.
LOST, SILENT = 4, 5


class Switch:
    """What both ends have in common.

    Parameters
    ----------
    channel
        To the other host.
    inside
        To the supervisor of this one.
    ledger
        How far all actors have come.
    own
        Numbers of the actors whose rows the other end wants to know.
    theirs
        Numbers of the actors whose rows come from there.
    patience_s
        For so long nothing need be heard.
    """

    def __init__(
        self, channel: Channel, inside: Channel, ledger: Ledger, own: Iterable[int],
        theirs: Iterable[int], patience_s: float,
    ) -> None:  # fmt: skip
        self.channel, self.inside = channel, inside
        self._ledger = ledger
        self._said: dict[int, bytes] = dict.fromkeys(own, b"")
        self._theirs = frozenset(theirs)
        self._patience_s = patience_s
        self._heard = self._look_at = self._ping_at = time.monotonic()
        self._stopped = False
        self.port = Port()

    def run(self, stopped: Callable[[], bool]) -> int:
        """Work until told to stop, or the other end has gone; return the exit code."""
        self.port.watch(self.channel.reads)
        self.port.watch(self.inside.reads)
        try:
            for message in self.channel.kept():
                self.hear(message)
            while True:
                code = self._turn()
                if code is not None:
                    return code
                if stopped():
                    return 0
        except EOFError:
            return LOST

    def hear(self, message: dict[str, Any]) -> None:
        """Take a message of the other host."""
        op = message["op"]
        if op == "rows":
            self.note(message["rows"])
        elif op == "ping":
            self.channel.send("pong")
        elif op != "pong":
            self.inside.send(**message)

    def take(self, source: Any) -> None:
        """Take what came by a socket."""
        raise NotImplementedError

    def take_file(self, handle: int) -> None:
        """Take what came by another open file that is watched."""

    def tend(self) -> None:
        """Do what there is to do when all that came was taken."""

    def close(self) -> None:
        """Close all sockets."""
        self.port.close()

    def _turn(self) -> int | None:
        now = time.monotonic()
        self._watch_the_clock(now)
        if now > self._heard + self._patience_s:
            return SILENT
        self.port.watch(self.channel.writes, reads=False, writes=self.channel.is_full)
        for source in self.port.wait(int(1000 * _ROWS_S)):
            if source == self.channel.reads:
                self._heard = time.monotonic()
                for message in self.channel.receive():
                    self.hear(message)
            elif source == self.inside.reads:
                for message in self.inside.receive():
                    self.channel.send(**message)
            elif isinstance(source, int):
                self.take_file(source)
            else:
                self.take(source)
        self.channel.flush()
        self.tend()
        return None

    def _watch_the_clock(self, now: float) -> None:
        if now >= self._look_at:
            self._look_at = now + _ROWS_S
            self.tell_rows()
        if now >= self._ping_at:
            self._ping_at = now + _PING_S
            self.channel.send("ping")

    def tell_rows(self) -> None:
        """Say how far the actors of this end have come, where that is news."""
        changed = {}
        for number, said in self._said.items():
            words = self._ledger[number].words.tobytes()
            if words != said:
                self._said[number] = changed[number] = words
        if changed:
            self.channel.send("rows", rows=changed)

    def note(self, rows: dict[int, bytes]) -> None:
        """Note how far actors there have come."""
        for number, words in rows.items():
            if number in self._theirs:
                row = self._ledger[number].words
                row[:] = memoryview(words).cast("Q")
