"""An actor's inputs: checked, put in order, and brought together. No I/O, no clock."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from camagick_broker.edges import InEdge, Join, Joined
from camagick_broker.errors import RemoteProtocolError
from camagick_broker.events import Arrived
from camagick_broker.wire import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from camagick_broker.wiring import Wiring


class Answer(enum.Enum):
    """What a producer has to be told about a message."""

    NOTHING = 0
    MISSING = 1  # something before it has not arrived
    DUPLICATE = 2  # it was here before; its acknowledgement may have been lost
    FAREWELL = 3  # it knows that everything has ended here
    PROBED = 4  # it wants to know how far everything is here


class Intake:
    """All inputs of one actor.

    Attributes
    ----------
    edges
        The consumer's ends, by producer.
    over
        Producers whose end has arrived, with everything before it.
    released
        Producers that know that everything of theirs has ended here.
    told_end
        Whether the processor knows that nothing more will come.
    """

    def __init__(self, wiring: Wiring, seq: int = 0) -> None:
        self.edges = {number: InEdge[Arrived](wiring.window + 1, seq) for number in wiring.inputs}
        self._incarnations = dict.fromkeys(wiring.inputs, 1)
        self.over: set[int] = set()
        self.released: set[int] = set()
        self.told_end = False
        self._join = Join(list(self.edges.values()), seq)

    def take(self, producer: int, message: Arrived) -> bool:
        """Take a message if it is the one that is expected, as nearly all are; else do nothing."""
        edge = self.edges[producer]
        kind, _, its_edge, sender, seq, incarnation, *_ = message.head
        if (
            kind is not Kind.DATA
            or seq != edge.expected
            or not its_edge == sender == producer
            or incarnation != self._incarnations[producer]
            or producer in self.over
            or edge.early
        ):
            return False
        edge.take(message)
        return True

    def receive(self, producer: int, message: Arrived) -> Answer:
        """Take a message of an input.

        Raises
        ------
        RemoteProtocolError
            For one that does not belong to this input.
        """
        edge, head = self.edges[producer], message.head
        if head.kind not in (Kind.DATA, Kind.END, Kind.BYE, Kind.PROBE):
            raise RemoteProtocolError(f"not for a consumer: {head.kind.name}")
        if head.edge != producer or head.sender != producer:
            raise RemoteProtocolError(
                f"message of another edge: {head.edge}, of actor {head.sender}, not of {producer}"
            )
        if head.kind is Kind.BYE:
            return self._release(producer)
        if head.kind is Kind.PROBE:
            return Answer.PROBED
        if producer in self.released:  # late: nothing of it was left to do, as the ledger said
            edge.counters.duplicates += 1
            return Answer.NOTHING
        if producer in self.over and head.seq >= edge.expected:
            raise RemoteProtocolError(f"iteration after the end: {head.seq}")
        duplicates = edge.counters.duplicates
        missing = edge.receive(head.seq, message)
        if edge.waiting and _is_end(edge.waiting[-1]):  # in order: nothing is missing before it
            self.over.add(producer)
        if missing:
            return Answer.MISSING
        return Answer.DUPLICATE if edge.counters.duplicates > duplicates else Answer.NOTHING

    def renewed(self, producer: int, incarnation: int) -> bool:
        """Tell, once, that a producer was restarted: it does not know yet what is expected here."""
        if incarnation <= self._incarnations[producer]:
            return False
        self._incarnations[producer] = incarnation
        return True

    def _release(self, producer: int) -> Answer:
        if producer not in self.over and not self.told_end:
            raise RemoteProtocolError(f"a farewell before the end, of actor {producer}")
        self.gone(producer)  # also where its end was lost, since another input has ended before
        return Answer.FAREWELL

    def gone(self, producer: int) -> None:
        """Note that nothing is left to do for a producer: all of it has ended here."""
        self.over.add(producer)
        self.released.add(producer)

    def joined(self) -> Iterator[Joined]:
        """Yield the iterations that are together; nothing after the first that has ended."""
        while not self.told_end and (joined := self._join.take(_is_end)):
            self.told_end = joined.ended
            yield joined
        if self.told_end:
            self.discard()

    def discard(self) -> None:
        """Forget what waits, and what may come: nobody wants it any more."""
        self.told_end = True
        for edge in self.edges.values():
            edge.waiting.clear()


def _is_end(message: Arrived) -> bool:
    return message.head.kind is Kind.END
