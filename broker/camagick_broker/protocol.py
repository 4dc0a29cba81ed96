"""One actor's part of the bus protocol: events in, effects out. No I/O, no clock.

Events are what arrived on a socket, and what the actor's processor has done. Effects are what to
send where, and what to hand to the processor. `camagick_broker.station` carries them out.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from camagick_broker.edges import InEdge, Join, Joined, OutEdge
from camagick_broker.errors import RemoteProtocolError
from camagick_broker.starter import Starter
from camagick_broker.wire import Head, Kind, pack
from camagick_broker.wiring import Wiring


class Arrived(NamedTuple):
    """A message as it came: prefix, body, raw buffers (frames that own their memory)."""

    head: Head
    body: Any
    buffers: list[Any]


class Permit(NamedTuple):
    """For a head: iteration `seq` may start."""

    seq: int


class Stop(NamedTuple):
    """For a source: start no further iteration, and end."""


# Effects
class ToConsumers(NamedTuple):
    """Send a message to all consumers, or to one of them again."""

    frames: list[Any]
    consumer: int | None = None


class ToProducer(NamedTuple):
    """Send a prefix back to the producer of an input."""

    producer: int
    frame: bytes


class ToLoop(NamedTuple):
    """Send a prefix to the loop socket of a head."""

    head: int
    frame: bytes


class Deliver(NamedTuple):
    """Hand something to the processor's thread."""

    item: Joined | Permit | Stop


class ActorProtocol:
    """The state of one actor on the bus.

    Attributes
    ----------
    effects
        What has to be carried out, in order; whoever does so empties the list.
    out
        The producer's end of its output, None without consumers.
    inputs
        The consumer's ends of its inputs, by producer.
    """

    def __init__(self, wiring: Wiring) -> None:
        self.wiring = wiring
        self.effects: list[Any] = []
        self.out: OutEdge[list[Any]] | None = (
            OutEdge(wiring.consumers) if wiring.consumers else None
        )
        self.inputs = {number: InEdge[Arrived](wiring.window + 1) for number in wiring.inputs}
        self._join = Join(list(self.inputs.values()))
        self._starter = Starter(
            wiring.heads, wiring.gates, wiring.terminals,
            lockstep=wiring.lockstep, window=wiring.window,
        )  # fmt: skip
        self._running = False
        self._stopping = False
        self._permits = 0  # given to the processor so far
        self._go = 0  # permitted by the leading head, for those that follow
        self._finished = 0  # iterations that this actor, being the last, has done
        self._acknowledged = 0
        self._batch = max(1, wiring.window // 2)
        self._ended_at: int | None = None
        self._closed = False
        self._inputs_over: set[int] = set()

    # What comes from outside

    def greet(self) -> None:
        """Say hello to all producers."""
        for producer, edge in self.inputs.items():
            self._back(producer, Kind.HELLO, edge.expected)

    def run(self) -> None:
        """Everybody is ready: heads may start."""
        self._running = True
        self._permit()

    def on_data(self, producer: int, message: Arrived) -> None:
        """Take a message of an input."""
        edge = self.inputs[producer]
        if message.head.edge != producer or message.head.kind not in (Kind.DATA, Kind.END):
            edge.counters.refused += 1
            raise RemoteProtocolError(
                f"a {message.head.kind.name} of actor {message.head.edge} on the edge of {producer}"
            )
        if message.head.kind is Kind.END:
            self._inputs_over.add(producer)
        duplicates = edge.counters.duplicates
        if edge.receive(message.head.seq, message):
            self._back(producer, Kind.RESEND, edge.expected)
        if edge.counters.duplicates > duplicates:  # its acknowledgement may have been lost
            self._back(producer, Kind.STATE, self._low(edge))
        self._take()

    def on_back(self, head: Head) -> None:
        """Take what a consumer has to say."""
        if self.out is None or head.edge != self.wiring.number:
            raise RemoteProtocolError(f"{head.kind.name} for an output that is not here")
        if head.kind is Kind.HELLO:
            self._again(self.out.hello(head.sender, head.incarnation, head.seq), head.sender)
        elif head.kind is Kind.RESEND:
            self._again(self.out.since(head.seq), head.sender)
        elif head.kind is Kind.STATE:
            if self.out.state(head.sender, head.seq):
                self._progress()
        elif head.kind is Kind.STOP:
            self.stop()
        else:
            raise RemoteProtocolError(f"{head.kind.name} from a consumer")

    def on_loop(self, head: Head) -> None:
        """Take what a gate, a last actor, or another head has to say."""
        if head.kind in (Kind.LEFT, Kind.ENDED):
            self._starter.passed(head.sender, head.seq)
        elif head.kind is Kind.ARMED:
            self._starter.armed(head.sender, head.seq)
        elif head.kind is Kind.STATE:
            self._starter.done(head.sender, head.seq)
        elif head.kind is Kind.GO:
            self._go = max(self._go, head.seq)
        else:
            raise RemoteProtocolError(f"{head.kind.name} on a loop edge")
        self._permit()

    # What the processor has done

    def armed(self, seq: int) -> None:
        """A head has what it needs for iteration `seq`."""
        if len(self.wiring.heads) > 1:
            self._loop(self.wiring.heads[0], Kind.ARMED, seq + 1)

    def sent(self, seq: int, frames: list[Any]) -> None:
        """The processor has made the message of iteration `seq`."""
        if self.out is not None:
            self.out.push(seq, frames)
            self.effects.append(ToConsumers(frames))
        else:
            self._finished = seq + 1
            if self.wiring.lockstep:
                self._loop(self.wiring.heads[0], Kind.ENDED, seq + 1)
            self._progress()
        if self.wiring.is_last_gate and not self.wiring.gates_at_join:
            self._loop(self.wiring.heads[0], Kind.LEFT, seq + 1)

    def ended(self, seq: int) -> None:
        """There is no iteration `seq` any more: say so downstream, and upstream."""
        if self._ended_at is not None:
            return
        self._ended_at = seq
        if self.out is not None:
            head = Head(
                Kind.END, self.wiring.run, self.wiring.number, self.wiring.number, seq,
                self.wiring.incarnation, self.wiring.incarnation,
            )  # fmt: skip
            frames = [pack(head)]
            self.out.push(seq, frames)
            self.effects.append(ToConsumers(frames))
        self._stop_inputs()
        self._take()

    def closed(self) -> None:
        """The processor has been shut down: all that it was given is safe."""
        self._closed = True
        self._progress()

    def stop(self) -> None:
        """Stop: a source starts nothing more; others ask their producers."""
        self._stopping = True
        self.effects.append(Deliver(Stop()))
        self._stop_inputs()

    @property
    def over(self) -> bool:
        """Whether nothing is left to do."""
        return self._may_leave and len(self._inputs_over) == len(self.inputs)

    @property
    def idle(self) -> bool:
        """Whether nothing is under way here."""
        return self.out is None or not self.out.kept

    # Inside

    @property
    def _may_leave(self) -> bool:
        if self._ended_at is None or not self._closed:
            return False
        return self.out is None or self.out.low > self._ended_at

    def _take(self) -> None:
        if self._ended_at is not None:  # nobody wants it any more
            for edge in self.inputs.values():
                edge.waiting.clear()
            self._progress()
            return
        while joined := self._join.take(_is_end):
            if self.wiring.gates_at_join and self.wiring.is_last_gate and not joined.ended:
                self._loop(self.wiring.heads[0], Kind.LEFT, joined.seq + 1)
            self.effects.append(Deliver(joined))
            if joined.ended:
                self._stop_inputs()
                return

    def _low(self, edge: InEdge[Arrived]) -> int:
        """Everything below this has ended here, as far as the producer of `edge` is concerned."""
        if self._may_leave:
            return edge.expected
        return self._finished if self.out is None else self.out.low

    def _progress(self) -> None:
        low = self._finished if self.out is None else self.out.low
        if self.wiring.is_head:
            self._loop(self.wiring.heads[0], Kind.STATE, low)
        elif self._may_leave:
            self.acknowledge()
        elif low - self._acknowledged >= self._batch:
            self.acknowledge()

    @property
    def owes(self) -> bool:
        """Whether the producers do not know yet how far everything has ended here."""
        low = self._finished if self.out is None else self.out.low
        return low > self._acknowledged

    def acknowledge(self) -> None:
        """Tell the producers how far everything has ended; due when nothing else is to do."""
        self._acknowledged = self._finished if self.out is None else self.out.low
        for producer, edge in self.inputs.items():
            self._back(producer, Kind.STATE, self._low(edge))

    def _permit(self) -> None:
        if not self._running or not self.wiring.is_head:
            return
        if self.wiring.leads:
            self._lead()
        while self._permits < self._go:
            self.effects.append(Deliver(Permit(self._permits)))
            self._permits += 1

    def _lead(self) -> None:
        go = self._starter.permitted
        if go > self._go:
            self._go = go
            for head in self.wiring.heads[1:]:
                self._loop(head, Kind.GO, go)

    def _stop_inputs(self) -> None:
        for producer in self.inputs:
            if producer not in self._inputs_over:
                self._back(producer, Kind.STOP, 0)

    def _again(self, messages: Iterable[list[Any]], consumer: int) -> None:
        for frames in messages:
            self.effects.append(ToConsumers(frames, consumer))

    def _back(self, producer: int, kind: Kind, seq: int) -> None:
        self.effects.append(ToProducer(producer, pack(self._head(kind, producer, seq))))

    def _loop(self, head: int, kind: Kind, seq: int) -> None:
        message = self._head(kind, self.wiring.number, seq)
        if head == self.wiring.number:
            self.on_loop(message)
        else:
            self.effects.append(ToLoop(head, pack(message)))

    def _head(self, kind: Kind, edge: int, seq: int) -> Head:
        wiring = self.wiring
        return Head(kind, wiring.run, edge, wiring.number, seq, wiring.incarnation)


def _is_end(message: Arrived) -> bool:
    return message.head.kind is Kind.END
