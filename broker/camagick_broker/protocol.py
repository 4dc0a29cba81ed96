"""One actor's part of the bus protocol: events in, effects out. No I/O, no clock.

Events are what arrived on a socket, and what the actor's processor has done. Effects are what to
send where, and what to hand to the processor. `camagick_broker.station` carries them out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from camagick_broker.edges import InEdge, OutEdge
from camagick_broker.errors import RemoteProtocolError
from camagick_broker.events import Arrived, Permit, Stop
from camagick_broker.intake import Answer, Intake
from camagick_broker.loop import HeadLoop
from camagick_broker.post import Post
from camagick_broker.wire import Head, Kind

if TYPE_CHECKING:
    from camagick_broker.wiring import Wiring

__all__ = ["ActorProtocol", "Arrived", "Permit", "Stop"]


class ActorProtocol:
    """The state of one actor on the bus.

    What comes from outside and cannot be raises `RemoteProtocolError`, and changes nothing.

    Attributes
    ----------
    out
        The producer's end of its output, None without consumers.
    inputs
        The consumer's ends of its inputs, by producer.
    """

    def __init__(self, wiring: Wiring) -> None:
        self.wiring = wiring
        self._post = Post(wiring)
        self.out = OutEdge[list[Any]](wiring.consumers) if wiring.consumers else None
        self._intake = Intake(wiring)
        self.inputs = self._intake.edges
        self._head = HeadLoop(wiring) if wiring.is_head else None
        self._running = False
        self._stopping = False
        self._finished = 0  # iterations that this actor, being the last, has done
        self._acknowledged = 0
        self._batch = max(1, wiring.window // 2)
        self._ended_at: int | None = None
        self._closed = False
        self._made = 0  # for a head: iterations that it has made

    def take_effects(self) -> list[Any]:
        """Return what has to be carried out, in order, and forget it."""
        effects, self._post.effects = self._post.effects, []
        return effects

    # What comes from outside

    def greet(self) -> None:
        """Say hello to all producers, and that they shall stop, where they have to."""
        for producer, edge in self.inputs.items():
            self._post.back(producer, Kind.HELLO, edge.expected)
        if self._stopping or self._ended_at is not None:
            self._stop_inputs()

    def run(self) -> None:
        """Everybody is ready: heads may start."""
        self._running = True
        self._permit()

    def on_data(self, producer: int, message: Arrived) -> None:
        """Take a message of an input."""
        answer = self._intake.receive(producer, message)
        edge = self.inputs[producer]
        if answer is Answer.MISSING:
            self._post.back(producer, Kind.RESEND, edge.expected)
        elif answer is Answer.DUPLICATE:
            self._post.back(producer, Kind.STATE, self._low(edge))
        if answer is not Answer.FAREWELL:  # to which nothing is to be said, or it would never end
            self._take()

    def on_back(self, head: Head) -> None:
        """Take what a consumer has to say."""
        if self.out is None or head.edge != self.wiring.number:
            raise RemoteProtocolError(f"an output that is not here: {head.edge}")
        if not self.out.knows(head.sender):
            raise RemoteProtocolError(f"no consumer of this actor: {head.sender}")
        if head.kind is Kind.HELLO:
            self._post.again(self.out.hello(head.sender, head.incarnation, head.seq), head.sender)
        elif head.kind is Kind.RESEND:
            self._post.again(self.out.since(head.seq), head.sender)
        elif head.kind is Kind.STATE:
            if self.out.state(head.sender, head.seq):
                self._progress()
            if self._ended_at is not None and head.seq > self._ended_at:
                self._post.bye(head.sender, head.seq)
        elif head.kind is Kind.STOP:
            self.stop()
        else:
            raise RemoteProtocolError(f"not for a producer: {head.kind.name}")

    def on_loop(self, head: Head) -> None:
        """Take what a gate, a last actor, or another head has to say."""
        if self._head is None:
            raise RemoteProtocolError("no head: nothing is to be said to its loop socket")
        self._head.take(head, self._own_low)
        if head.kind is Kind.STOP:
            self._tell_heads(self._head.stop_at)
            self._stop_in_time()
        self._permit()

    # What the processor has done

    def armed(self, seq: int) -> None:
        """Note that a head has what it needs for iteration `seq`."""
        if len(self.wiring.heads) > 1:
            self._loop(self.wiring.heads[0], Kind.ARMED, seq + 1)

    def sent(self, seq: int, frames: list[Any]) -> None:
        """Send the message that the processor has made in iteration `seq`."""
        self._made = seq + 1
        if self.out is not None:
            self.out.push(seq, frames)
            self._post.on(frames)
        else:
            self._finished = seq + 1
            if self.wiring.lockstep:
                self._loop(self.wiring.heads[0], Kind.ENDED, seq + 1)
            self._progress()
        if self.wiring.is_last_gate and not self.wiring.gates_at_join:
            self._loop(self.wiring.heads[0], Kind.LEFT, seq + 1)
        self._stop_in_time()

    def ended(self, seq: int) -> None:
        """Say downstream, and upstream, that there is no iteration `seq` any more."""
        if self._ended_at is not None:
            return
        self._ended_at = seq
        if self.out is not None:
            frames = self._post.end(seq)
            self.out.push(seq, frames)
            self._post.on(frames)
        if self._head is not None:
            self._head.stopped_at(seq)
            self._tell_heads(seq, ended=True)
        self._stop_inputs()
        self._take()

    def closed(self) -> None:
        """Note that the processor has been shut down: all that it was given is safe."""
        self._closed = True
        self._progress()

    def stop(self) -> None:
        """Stop: a source starts nothing more; others ask their producers."""
        if not self._stopping:
            self._stopping = True
            self._post.deliver(Stop())
            self._stop_inputs()

    @property
    def over(self) -> bool:
        """Whether nothing is left to do.

        A leading head may leave before the others: what it has made, all have been permitted.
        """
        return self._may_leave and len(self._intake.over) == len(self.inputs)

    @property
    def released(self) -> bool:
        """Whether all producers know that nothing is left to do here.

        The last acknowledgement is the one that nobody asks for again: who leaves before it has
        arrived makes its producers wait for ever.
        """
        return len(self._intake.released) == len(self.inputs)

    @property
    def owes(self) -> bool:
        """Whether the producers do not know yet how far everything has ended here."""
        return self._own_low > self._acknowledged

    def acknowledge(self) -> None:
        """Tell the producers how far everything has ended; due when nothing else is to do."""
        self._acknowledged = self._own_low
        for producer, edge in self.inputs.items():
            self._post.back(producer, Kind.STATE, self._low(edge))

    # Inside

    @property
    def _may_leave(self) -> bool:
        if self._ended_at is None or not self._closed:
            return False
        return self.out is None or self.out.low > self._ended_at

    @property
    def _own_low(self) -> int:
        """Everything below this has ended, here and downstream."""
        return self._finished if self.out is None else self.out.low

    def _take(self) -> None:
        if self._ended_at is not None:
            self._intake.discard()
            self._progress()
            return
        for joined in self._intake.joined():
            if self.wiring.gates_at_join and self.wiring.is_last_gate and not joined.ended:
                self._loop(self.wiring.heads[0], Kind.LEFT, joined.seq + 1)
            self._post.deliver(joined)
            if joined.ended:
                self._stop_inputs()

    def _low(self, edge: InEdge[Arrived]) -> int:
        """Everything below this has ended here, as far as the producer of `edge` is concerned."""
        return edge.expected if self._may_leave else self._own_low

    def _progress(self) -> None:
        low = self._own_low
        if self.wiring.is_head:
            self._loop(self.wiring.heads[0], Kind.STATE, low)
        elif self._may_leave or low - self._acknowledged >= self._batch:
            self.acknowledge()

    def _permit(self) -> None:
        if self._head is None or not self._running:
            return
        if self.wiring.leads and self._head.lead():
            for head in self.wiring.heads[1:]:
                self._loop(head, Kind.GO, self._head.go)
        for seq in self._head.permits():
            self._post.deliver(Permit(seq))

    def _stop_inputs(self) -> None:
        for producer in self.inputs:
            if producer not in self._intake.over:
                self._post.back(producer, Kind.STOP, 0)

    def _tell_heads(self, seq: int | None, *, ended: bool = False) -> None:
        """Tell the other heads, directly or by the leading one, that there is no such iteration."""
        others = self.wiring.heads[1:] if self.wiring.leads else self.wiring.heads[:1]
        if seq is not None and (self.wiring.leads or ended):
            for head in others:
                self._loop(head, Kind.STOP, seq)

    def _stop_in_time(self) -> None:
        """Stop, being a head, once all iterations that the other heads have made are made here."""
        stop_at = self._head.stop_at if self._head is not None else None
        if stop_at is not None and self._made >= stop_at:
            self.stop()

    def _loop(self, head: int, kind: Kind, seq: int) -> None:
        if head == self.wiring.number:
            self.on_loop(self._post.message(kind, head, seq))
        else:
            self._post.loop(head, kind, seq)
