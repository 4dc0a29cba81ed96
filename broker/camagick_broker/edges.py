"""The two ends of an exact edge, as state machines. No I/O, no clock.

A producer keeps every message until all its consumers have said that its iteration has ended
behind them; a consumer takes exactly the iteration it expects. Acknowledgements are state, not
events: repeating one, losing one, or getting an old one late does no harm. Either end may begin
where a predecessor was killed.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from camagick_broker.construct import new_tuple
from camagick_broker.errors import LocalProtocolError
from camagick_broker.resume import Resume

if TYPE_CHECKING:
    from collections.abc import Iterable

Message = TypeVar("Message")


#: Beyond every iteration.
_NEVER = 1 << 63


class OutEdge(Generic[Message]):
    """The producer's end: one output, one or more consumers.

    Parameters
    ----------
    consumers
        Their numbers.
    resume
        Where this producer begins, and what its predecessor has made.
    ahead
        How far its consumers may be before it, since they had it all from its predecessor.

    Attributes
    ----------
    next
        The iteration that is made next.
    low
        Everything below this iteration has ended behind all consumers.
    resends
        How many messages were asked for again.
    """

    def __init__(
        self, consumers: Iterable[int], resume: Resume | None = None, ahead: int = 0
    ) -> None:
        resume = resume or Resume()
        self._low: dict[int, int] = dict.fromkeys(consumers, resume.low)
        self._lowest = resume.low
        self._incarnation: dict[int, int] = {}
        self._kept: deque[tuple[int, Message]] = deque(resume.kept)  # type: ignore[arg-type]
        self._ahead = ahead
        self.next = resume.seq
        self.low = min(self.next, self._lowest)
        self.resends = 0

    @property
    def ready(self) -> bool:
        """Whether every consumer has said hello."""
        return len(self._incarnation) == len(self._low)

    @property
    def missing(self) -> list[int]:
        """Consumers that have not said hello yet."""
        return [consumer for consumer in self._low if consumer not in self._incarnation]

    @property
    def behind(self) -> list[int]:
        """Consumers that have not said yet that everything made has ended."""
        return [consumer for consumer, low in self._low.items() if low < self.next]

    @property
    def kept(self) -> int:
        """How many messages are retained."""
        return len(self._kept)

    def knows(self, consumer: int) -> bool:
        """Whether this actor is a consumer."""
        return consumer in self._low

    def push(self, seq: int, message: Message) -> bool:
        """Retain the message of the next iteration; tell whether anybody needs it.

        Raises
        ------
        LocalProtocolError
            For any other iteration.
        """
        if seq != self.next:
            raise LocalProtocolError(f"iteration {seq} out of order, {self.next} is next")
        self.next += 1
        self.low = min(self.next, self._lowest)
        if seq < self.low:  # a predecessor has made it, and it has ended everywhere
            return False
        self._kept.append((seq, message))
        return True

    def hello(self, consumer: int, incarnation: int, expected: int) -> list[Message]:
        """Take a consumer's hello.

        Returns
        -------
        list
            What has to be sent to it again: all that is kept from `expected` on, if this
            incarnation of it is new here.
        """
        if not self.is_new(consumer, incarnation):
            return []
        self._incarnation[consumer] = incarnation
        return self.since(expected)

    def is_new(self, consumer: int, incarnation: int) -> bool:
        """Tell whether this incarnation of a consumer has not said hello before."""
        return consumer in self._low and self._incarnation.get(consumer, 0) < incarnation

    def since(self, seq: int) -> list[Message]:
        """Return what is kept from iteration `seq` on, in order."""
        again = [message for its, message in self._kept if its >= seq]
        self.resends += len(again)
        return again

    def state(self, consumer: int, low: int) -> bool:
        """Take a consumer's state; tell whether `low` of the edge went up by it."""
        if consumer not in self._low or not self._low[consumer] < low <= self.next + self._ahead:
            return False
        return self._raise(consumer, low)

    def gone(self, consumer: int) -> bool:
        """Note that a consumer has left, with all it wanted; tell whether `low` went up by it."""
        self._incarnation.setdefault(consumer, _NEVER)
        return self._raise(consumer, _NEVER)

    def _raise(self, consumer: int, low: int) -> bool:
        before = self.low
        self._low[consumer] = low
        self._lowest = min(self._low.values())
        self.low = after = min(self.next, self._lowest)
        while self._kept and self._kept[0][0] < after:
            self._kept.popleft()
        return after > before


@dataclass
class Counters:
    """What is counted at the consumer's end of an edge."""

    messages: int = 0
    bytes: int = 0
    duplicates: int = 0
    gaps: int = 0
    refused: int = 0
    latency_s: float = 0.0


@dataclass
class InEdge(Generic[Message]):
    """The consumer's end: what arrives from one producer, put in order.

    Attributes
    ----------
    window
        How far before what is expected a message may lie; a producer never gets farther.
    expected
        The iteration that comes next.
    waiting
        What has arrived in order and was not yet taken.
    asked
        What was last asked for again.
    early
        What has arrived before its time.
    """

    window: int
    expected: int = 0
    asked: int = -1
    waiting: deque[Message] = field(default_factory=deque)
    counters: Counters = field(default_factory=Counters)
    early: dict[int, Message] = field(default_factory=dict)

    def receive(self, seq: int, message: Message) -> bool:
        """Take a message; tell whether something is missing before it.

        One that is older than expected is a duplicate and dropped; one that is newer is kept, if it
        lies within the window, until what lies before it has arrived.
        """
        if seq < self.expected or seq in self.early:
            self.counters.duplicates += 1
            return False
        if seq > self.expected:
            self.counters.gaps += 1
            if seq - self.expected < self.window:
                self.early[seq] = message
            return True
        self.take(message)
        while self.expected in self.early:
            self.take(self.early.pop(self.expected))
        return False

    def take(self, message: Message) -> None:
        """Take the message that is expected, where none has arrived before its time."""
        self.waiting.append(message)
        self.expected += 1
        self.counters.messages += 1


class Joined(NamedTuple):
    """All inputs of one iteration; `ended` where at least one of them is an end."""

    seq: int
    messages: list[Any]
    ended: bool


class Join(Generic[Message]):
    """Brings the messages of one iteration together from all inputs.

    Parameters
    ----------
    edges
        The inputs, in order.
    seq
        The iteration that comes next.
    """

    def __init__(self, edges: list[InEdge[Message]], seq: int = 0) -> None:
        self.edges = edges
        self.seq = seq
        self._only = edges[0].waiting if len(edges) == 1 else None

    def take(self, is_end: Any) -> Joined | None:
        """Return the next iteration that is complete, or that has ended at one input.

        Parameters
        ----------
        is_end
            Tells whether a message is the end of its input.
        """
        if self._only is not None:  # as it is for most
            if not self._only:
                return None
            message = self._only.popleft()
            self.seq += 1
            return new_tuple(Joined, (self.seq - 1, [message], is_end(message)))
        found = [edge.waiting for edge in self.edges if edge.waiting]
        if len(found) < len(self.edges) and not any(is_end(waiting[0]) for waiting in found):
            return None
        messages = [waiting.popleft() for waiting in found]
        self.seq += 1
        return Joined(self.seq - 1, messages, any(map(is_end, messages)))
