"""What an actor says to heads: last gates, last actors, and heads among themselves. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING

from camagick_broker.wire import Kind

if TYPE_CHECKING:
    from camagick_broker.post import Post
    from camagick_broker.wiring import Wiring


class LoopSide:
    """Speaks to loop sockets, and repeats what it said last: a restarted head knows nothing.

    Parameters
    ----------
    wiring
        The actor's place.
    post
        Where it is sent from.
    """

    def __init__(self, wiring: Wiring, post: Post) -> None:
        self._wiring, self._post = wiring, post
        self._said: dict[tuple[int, Kind], int] = {}

    def say(self, head: int, kind: Kind, seq: int) -> None:
        """Say something to another head.

        What is repeated later never gets less than what was said: the successor of a gate says
        how far it came once it runs, which may be after it has said more.
        """
        said = self._said.get((head, kind), seq)
        self._said[head, kind] = min(said, seq) if kind is Kind.STOP else max(said, seq)
        self._post.loop(head, kind, seq)

    def repeat(self) -> None:
        """Say it all again."""
        for (head, kind), seq in self._said.items():
            self._post.loop(head, kind, seq)

    def go(self, seq: int) -> None:
        """As the leading head, let the others start everything below `seq`."""
        for head in self._wiring.heads[1:]:
            self.say(head, Kind.GO, seq)

    def ended(self, seq: int | None, *, own: bool = False) -> None:
        """Tell the other heads, directly or by the leading one, that there is no such iteration."""
        wiring = self._wiring
        others = wiring.heads[1:] if wiring.leads else wiring.heads[:1]
        if seq is not None and (wiring.leads or own):
            for head in others:
                self.say(head, Kind.STOP, seq)
