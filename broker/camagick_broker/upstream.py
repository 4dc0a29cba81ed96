"""The consumer's side of an actor's protocol: what it tells its producers. No I/O, no clock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from camagick_broker.intake import Answer, Intake
from camagick_broker.wire import Kind

if TYPE_CHECKING:
    from camagick_broker.edges import InEdge
    from camagick_broker.events import Arrived
    from camagick_broker.post import Post
    from camagick_broker.standing import Standing
    from camagick_broker.wiring import Wiring

#: The last actor acknowledges so many iterations at once, where twice as many can be under way;
#: those before it pass that on.
_TOGETHER = 4


class Upstream:
    """All producers of one actor.

    Parameters
    ----------
    wiring
        The actor's place.
    post
        Where messages are sent from.
    standing
        How far the actor is.
    seq
        The iteration that is expected first.

    Attributes
    ----------
    intake
        What has arrived, in order.
    acknowledged
        How far everything has ended, as the producers know.
    """

    def __init__(self, wiring: Wiring, post: Post, standing: Standing, seq: int) -> None:
        self._post, self._standing = post, standing
        self.intake = Intake(wiring, seq)
        self.acknowledged = 0
        few = wiring.lockstep or wiring.consumers or wiring.window < 2 * _TOGETHER
        self._least = 1 if few else _TOGETHER

    def receive(self, producer: int, message: Arrived) -> bool:
        """Take a message; tell whether there may be something new.

        Raises
        ------
        RemoteProtocolError
            For one that does not belong to this input.
        """
        answer = self.intake.receive(producer, message)
        edge, head = self.intake.edges[producer], message.head
        if self.intake.renewed(producer, head.incarnation):
            self.greet(producer)
        elif answer is Answer.PROBED:
            self.greet(producer)  # a producer that was restarted may not have heard it
            if edge.expected < head.seq:
                self._post.back(producer, Kind.RESEND, edge.expected)
        if answer is Answer.MISSING and edge.asked != edge.expected:
            edge.asked = edge.expected
            self._post.back(producer, Kind.RESEND, edge.expected)
        elif answer is Answer.DUPLICATE:
            self._report(producer)
        return answer is not Answer.FAREWELL  # an answer to which would be answered for ever

    def greet(self, producer: int) -> None:
        """Say hello to a producer, and how far everything is."""
        self._post.back(producer, Kind.HELLO, self.intake.edges[producer].expected)
        self._report(producer)

    def stop(self) -> None:
        """Tell the producers that no more is wanted."""
        for producer in self.intake.edges:
            if producer not in self.intake.over:
                self._post.back(producer, Kind.STOP, 0)

    @property
    def over(self) -> bool:
        """Whether everything of all producers has arrived."""
        return len(self.intake.over) == len(self.intake.edges)

    @property
    def released(self) -> bool:
        """Whether all producers know that nothing is left to do here."""
        return len(self.intake.released) == len(self.intake.edges)

    @property
    def owes_enough(self) -> bool:
        """Whether that is half of what has arrived since they were told, and not too few."""
        owed = self._standing.low - self.acknowledged
        if owed < self._least:
            return False
        under_way = max([edge.expected for edge in self.intake.edges.values()]) - self.acknowledged
        return 2 * owed >= under_way

    def acknowledge(self) -> None:
        """Tell the producers how far everything has ended."""
        self._standing.note()
        self.acknowledged = self._standing.low
        for producer, edge in self.intake.edges.items():
            self._post.back(producer, Kind.STATE, self._low(edge))

    def _low(self, edge: InEdge[Arrived]) -> int:
        """Everything below this has ended here, as far as the producer of `edge` is concerned."""
        return edge.expected if self._standing.may_leave else self._standing.low

    def _report(self, producer: int) -> None:
        self._standing.note()
        self._post.back(producer, Kind.STATE, self._low(self.intake.edges[producer]))
        if not self._standing.wants_more and producer not in self.intake.over:
            self._post.back(producer, Kind.STOP, 0)
