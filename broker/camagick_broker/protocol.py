"""One actor's part of the bus protocol: events in, effects out. No I/O, no clock.

Events are what arrived on a socket, and what the actor's processor has done. Effects are what to
send where, and what to hand to the processor. `camagick_broker.station` carries them out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from camagick_broker.construct import new_tuple
from camagick_broker.edges import OutEdge
from camagick_broker.errors import RemoteProtocolError
from camagick_broker.events import Arrived, Permit, Stop
from camagick_broker.ledger import Row
from camagick_broker.loop import HeadLoop
from camagick_broker.loopside import LoopSide
from camagick_broker.post import Post
from camagick_broker.resume import Resume
from camagick_broker.sizes import size_of
from camagick_broker.standing import Standing
from camagick_broker.upstream import Upstream
from camagick_broker.wire import Head, Kind

if TYPE_CHECKING:
    from camagick_broker.wiring import Wiring

__all__ = ["ActorProtocol", "Arrived", "Permit", "Stop"]


class ActorProtocol:
    """The state of one actor on the bus.

    What comes from outside and cannot be raises `RemoteProtocolError`, and changes nothing.

    Parameters
    ----------
    wiring
        The actor's place.
    resume
        Where it begins.
    row
        Where it notes how far it has come, before anybody is told.

    Attributes
    ----------
    out
        The producer's end of its output, None without consumers.
    inputs
        The consumer's ends of its inputs, by producer.
    effects
        What has to be carried out, in order, see `take_effects`.
    """

    def __init__(
        self, wiring: Wiring, resume: Resume | None = None, row: Row | None = None
    ) -> None:
        self.wiring = wiring
        resume = resume or Resume()
        row = row or Row()
        self._row = row
        self._post = Post(wiring)
        self.effects = self._post.effects
        ahead = wiring.window + 1 if wiring.incarnation > 1 else 0
        self.out = OutEdge[list[Any]](wiring.consumers, resume, ahead) if wiring.consumers else None
        self._standing = Standing(wiring, resume, row, self.out)
        self._upstream = Upstream(wiring, self._post, self._standing, resume.seq)
        self.inputs = self._upstream.intake.edges
        self._head = HeadLoop(wiring, resume) if wiring.is_head else None
        self._leads_others = wiring.leads and len(wiring.heads) > 1
        if self._leads_others:
            self._standing.is_needed = self._is_needed
        self._loop_side = LoopSide(wiring, self._post)
        self._running = False
        self._says_left = wiring.is_last_gate and not wiring.gates_at_join

    def take_effects(self) -> list[Any]:
        """Return what has to be carried out, in order, and forget it."""
        effects = self.effects[:]
        self.effects.clear()
        return effects

    # What comes from outside

    def greet(self) -> None:
        """Say hello to all producers, and that they shall stop, where they have to."""
        for producer in self.inputs:
            self.greet_one(producer)
        if self.out is not None and self.wiring.incarnation > 1:
            for consumer in self.out.missing:  # it may not know yet that this is a new process
                self._post.aside(consumer, Kind.PROBE, self.out.next)

    def greet_one(self, producer: int) -> None:
        """Say hello to a producer, and how far everything is."""
        self._upstream.greet(producer)

    def run(self) -> None:
        """Everybody is ready: heads may start."""
        self._running = True
        if self.wiring.incarnation > 1:
            self._say_how_far()
        self._permit()

    def on_data(self, producer: int, *messages: Arrived) -> None:
        """Take messages of an input."""
        news = False
        try:
            for message in messages:
                taken = self._upstream.intake.take(producer, message)
                news = taken or self._upstream.receive(producer, message) or news
        finally:  # what has arrived before one that is refused is taken all the same
            if news:
                self._take()

    def on_back(self, head: Head) -> None:
        """Take what a consumer has to say."""
        out = self.out
        if out is None or head.edge != self.wiring.number:
            raise RemoteProtocolError(f"an output that is not here: {head.edge}")
        if not out.knows(head.sender):
            raise RemoteProtocolError(f"no consumer of this actor: {head.sender}")
        if head.kind is Kind.HELLO:
            if out.is_new(head.sender, head.incarnation):
                self._post.anew(head.sender)
                again = out.hello(head.sender, head.incarnation, head.seq)
                self._post.again(again, head.sender)
        elif head.kind is Kind.RESEND:
            self._post.again(out.since(head.seq), head.sender)
        elif head.kind is Kind.STATE:
            self._on_state(out, head)
        elif head.kind is Kind.STOP:
            self.stop()
        else:
            raise RemoteProtocolError(f"not for a producer: {head.kind.name}")

    def _on_state(self, out: OutEdge[list[Any]], head: Head) -> None:
        self._post.sizes.heard(head.sender, head.largest)
        if out.state(head.sender, head.seq):
            self._progress()
        ended_at = self._standing.ended_at
        if ended_at is not None and head.seq > ended_at:
            self._post.aside(head.sender, Kind.BYE, head.seq)

    def on_loop(self, head: Head) -> None:
        """Take what a gate, a last actor, or another head has to say."""
        if self._head is None:
            raise RemoteProtocolError("no head: nothing is to be said to its loop socket")
        self._head.take(head, self._standing.low)
        if head.kind is Kind.STOP:
            self._loop_side.ended(self._head.stop_at)
            self._stop_in_time(self._head.stop_at)
        self._permit()
        if self._leads_others:
            self._standing.note()

    def gone(self, actor: int) -> None:
        """Note that nothing is left to do for an actor, whether it could say so or not."""
        if self.out is not None and self.out.knows(actor) and self.out.gone(actor):
            self._progress()
        if self._head is not None and actor != self.wiring.number and actor in self.wiring.heads:
            self._head.gone(actor)
            if self._leads_others:
                self._standing.note()
        if actor in self.inputs:
            self._upstream.intake.gone(actor)

    # What the clock wants

    def probe(self) -> None:
        """Ask the consumers how far they are: nothing has come from them for long."""
        if self.out is not None:
            for consumer in self.out.behind:
                self._post.aside(consumer, Kind.PROBE, self.out.next)

    def repeat(self) -> None:
        """Say again what heads have to know."""
        self._loop_side.repeat()

    def look(self, now: float) -> None:
        """Look how fast iterations end, by a clock that does not jump; in seconds."""
        if self._head is not None and self._head.look(now):
            self._permit()

    # What the processor has done

    def armed(self, seq: int) -> None:
        """Note that a head has what it needs for iteration `seq`."""
        if len(self.wiring.heads) > 1:
            self._loop(self.wiring.heads[0], Kind.ARMED, seq + 1)

    def sent(self, seq: int, frames: list[Any]) -> None:
        """Send the message that the processor has made in iteration `seq`."""
        self._standing.made = seq + 1
        if self.out is not None:
            size = size_of(frames)
            self._post.sizes.made(size)
            if self.out.push(seq, frames):
                self._post.on(frames, size)
            else:
                self._progress()
        elif not self.wiring.commits:
            self._finish(seq + 1)
        if self._says_left:
            self._loop(self.wiring.heads[0], Kind.LEFT, seq + 1)
        if self._head is not None:
            self._stop_in_time(self._head.stop_at)

    def committed(self, below: int) -> None:
        """Note that everything below this iteration is safe here, where the processor commits."""
        self._finish(below)

    def ended(self, seq: int) -> None:
        """Say downstream, and upstream, that there is no iteration `seq` any more."""
        if self._standing.ended_at is not None:
            return
        self._standing.end(seq)
        if self.out is not None:
            frames = self._post.end(seq)
            self.out.push(seq, frames)
            self._post.on(frames, size_of(frames))
        if self._head is not None:
            self._head.stopped_at(seq)
            self._loop_side.ended(seq, own=True)
        self._upstream.stop()
        self._take()

    def closed(self) -> None:
        """Note that the processor has been shut down: all that it was given is safe."""
        self._standing.close()
        self._progress()

    def stop(self) -> None:
        """Stop: a source starts nothing more; others ask their producers."""
        if not self._standing.stopping:
            self._standing.stopping = True
            self.effects.append(Stop())
            self._upstream.stop()

    @property
    def over(self) -> bool:
        """Whether nothing is left to do, and nobody needs this actor."""
        standing = self._standing
        return standing.may_leave and self._upstream.over and not standing.is_needed()

    @property
    def released(self) -> bool:
        """Whether all producers know that nothing is left to do here.

        The last acknowledgement is the one that nobody asks for again: who leaves before it has
        arrived makes its producers wait for ever.
        """
        return self._upstream.released

    @property
    def owes(self) -> bool:
        """Whether the producers do not know yet how far everything has ended here."""
        return self._standing.low > self._upstream.acknowledged

    def acknowledge(self) -> None:
        """Tell the producers how far everything has ended; due when nothing else is to do."""
        self._upstream.acknowledge()

    # Inside

    def _is_needed(self) -> bool:
        """Tell whether other heads may still need what this one, which leads, has to say."""
        last = (self._standing.ended_at or 0) - 1
        return self._head is not None and not self._head.all_done(last)

    def _take(self) -> None:
        intake = self._upstream.intake
        if self._standing.ended_at is not None:
            intake.discard()
            self._progress()
            return
        for joined in intake.joined():
            if self.wiring.gates_at_join and self.wiring.is_last_gate and not joined.ended:
                self._loop(self.wiring.heads[0], Kind.LEFT, joined.seq + 1)
            self.effects.append(joined)
            if joined.ended:
                self._upstream.stop()

    def _finish(self, below: int) -> None:
        self._standing.finished = below
        if self.wiring.lockstep and self.out is None:
            self._standing.note()
            self._loop(self.wiring.heads[0], Kind.ENDED, below)
        self._progress()

    def _progress(self) -> None:
        if self._head is not None:
            self._standing.note()
            self._loop(self.wiring.heads[0], Kind.STATE, self._standing.low)
        elif self._upstream.owes_enough or self._standing.may_leave:
            self.acknowledge()

    def _say_how_far(self) -> None:
        """As the successor of a killed process, say to the heads what it may have said."""
        wiring = self.wiring
        standing = self._standing
        if wiring.is_last_gate and standing.made:
            self._loop(wiring.heads[0], Kind.LEFT, standing.made)
        if wiring.lockstep and self.out is None and standing.finished:
            self._loop(wiring.heads[0], Kind.ENDED, standing.finished)
        if self._head is not None:
            self._progress()
            if wiring.leads:
                self._loop_side.go(self._head.go)

    def _permit(self) -> None:
        if self._head is None or not self._running:
            return
        further = self.wiring.leads and self._head.lead()
        self._row.go = self._head.go
        if further:
            self._loop_side.go(self._head.go)
        for seq in self._head.permits():
            self.effects.append(new_tuple(Permit, (seq,)))

    def _stop_in_time(self, stop_at: int | None) -> None:
        """Stop, being a head, once all iterations that the other heads have made are made here."""
        if stop_at is not None and self._standing.made >= stop_at:
            self.stop()

    def _loop(self, head: int, kind: Kind, seq: int) -> None:
        if head == self.wiring.number:
            self.on_loop(self._post.message(kind, head, seq))
        else:
            self._loop_side.say(head, kind, seq)
