"""The bus side of one actor: all its sockets, and nothing of its data."""

from __future__ import annotations

import math
import os
import time
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

from camagick_broker.admission import Doorman
from camagick_broker.control import hear
from camagick_broker.errors import RemoteProtocolError
from camagick_broker.events import SENT, ToConsumers
from camagick_broker.ledger import Row
from camagick_broker.links import Links
from camagick_broker.neighbours import Neighbours, Probe
from camagick_broker.port import Port, sender
from camagick_broker.protocol import ActorProtocol
from camagick_broker.reception import Reception, take_apart
from camagick_broker.refusals import Refusals
from camagick_broker.tap import Tap
from camagick_broker.wire import Kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from camagick_broker.ledger import Ledger
    from camagick_broker.reader import SlotReader
    from camagick_broker.resume import Resume
    from camagick_broker.wiring import Wiring

_GREET_S = 0.1
#: How long to wait until the producers know that the actor is done, and how often to repeat it.
_PARTING_S, _REPEAT_S = 2.0, 0.05
_REPORT_S, _IDLE_REPORTS = 1.0, 3
#: Once within so many seconds it is looked what else is due.
_LOOK_S = 0.005
#: How long an acknowledgement may wait for others to go with, in the last actor and before it.
_LAST_S, _PATIENCE_S = 0.003, 0.001


class _Source(NamedTuple):
    """One socket to read from: what it is called, and who takes its messages."""

    place: str
    take: Callable[[list[Any]], None]


class Station:
    """Carries out one actor's protocol between its sockets and its processor's thread.

    Parameters
    ----------
    wiring
        The actor's place.
    deliver
        Called, in the station's thread, with each `Joined`, `Permit` or `Stop`.
    figures
        Called once a second for what the processor's side has counted.
    ledger
        Where all actors of this host note how far they have come.
    resume
        Where this one begins.
    slots
        Reads arrays that lie in shared memory; None where there is none.
    """

    def __init__(
        self,
        wiring: Wiring,
        deliver: Callable[[Any], None],
        figures: Callable[[], dict[str, Any]] = dict,
        ledger: Ledger | None = None,
        resume: Resume | None = None,
        slots: SlotReader | None = None,
    ) -> None:
        self._slots = slots
        self._wiring = wiring
        self._deliver = deliver
        self._figures = figures
        self._neighbours = Neighbours(wiring, ledger)
        self._row = ledger[wiring.number] if ledger is not None else Row()
        self._protocol = ActorProtocol(wiring, resume, self._row)
        self._calls: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._sources: dict[Any, _Source] = {}
        self._refusals = Refusals(wiring.name)
        self._started = self._said_ready = self._going = self._cut = False
        self._asleep = False
        self._greet_at = self._look_at = self._report_at = self._repeat_at = 0.0
        self._probe = Probe()
        self._part_at: float | None = None
        self._owes_since: float | None = None
        self._patience_s = _PATIENCE_S if wiring.consumers else _LAST_S
        self._same, self._done = 0, (0, 0, 0, 0)
        self._port = Port(Doorman(self._refusals), insecure=wiring.is_insecure)
        try:
            self._links = Links(self._port, wiring)
        except BaseException:
            self._port.close()
            raise
        self._tap = Tap(self._port, wiring, self._refusals, slots)
        self._listen()

    # For the processor's thread and signal handlers

    def call(self, name: str, *arguments: Any) -> None:
        """Tell the protocol something: the name of one of its methods, or 'started'.

        After a `cut` nobody listens any more: what is said then (that the processor was shut down,
        and so all is well) would not be true for a successor.
        """
        if self._cut:
            return
        target = self._note_started if name == "started" else getattr(self._protocol, name)
        self._calls.append((target, arguments))
        if self._asleep:  # it is set before the last look at the calls, so no call is overlooked
            self._port.ring()

    def ring(self) -> None:
        """Make a `turn` in another thread return."""
        self._port.ring()

    def cut(self) -> None:
        """End as soon as possible, whatever is under way."""
        self._cut = True
        self._port.ring()

    # For whoever serves the sockets: one thread at a time

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to do; looking is part of the work, while there is some."""
        return (self._cut or self._may_part()) and not self._calls

    def run(self) -> None:
        """Work until nothing is left to do, and close the sockets.

        Raises
        ------
        Exception
            Whatever is a fault of this program, never of a peer: whoever runs the station has to
            say so and to end the actor. The sockets are closed then as well.
        """
        try:
            while not self.is_over:
                self.turn()
            self._report(final=True)
            if not self._cut:
                self._links.flush()
        finally:
            self._port.close()

    def turn(self, until: float = math.inf) -> None:
        """Send what there is to send, wait for something to do, and do it.

        Parameters
        ----------
        until
            Wait no longer than to this moment of the monotonic clock; 0 not to wait at all.
        """
        self._asleep = True  # from here on a call rings; what was called before is seen below
        self.let_out()
        readable = self._port.wait(self._pause_ms(until))
        self._asleep = False
        for socket in readable:
            self._read(socket)
        if self._protocol.effects:
            self._carry_out()
        if time.monotonic() >= self._look_at:
            self._watch_the_clock()

    def let_out(self) -> None:
        """Send what there is to send."""
        while self._calls:
            target, arguments = self._calls.popleft()
            target(*arguments)
        if self._protocol.owes:
            self._acknowledge_in_time()
        else:
            self._owes_since = None
        if self._protocol.effects:
            self._carry_out()

    def _may_part(self) -> bool:
        """Tell whether the actor may leave: its producers know that it is done, or are gone."""
        if not self._protocol.over or self._protocol.released:
            return self._protocol.over
        now = time.monotonic()
        if self._part_at is None:
            self._part_at, self._repeat_at = now + _PARTING_S, now + _REPEAT_S
        elif now > self._repeat_at:  # what was said last may have been lost
            self._repeat_at = now + _REPEAT_S
            self._protocol.acknowledge()
            self._carry_out()
        return now > self._part_at

    def _acknowledge_in_time(self) -> None:
        """Tell producers how far everything has ended: not for each iteration, but soon."""
        now = time.monotonic()
        if self._owes_since is None:
            self._owes_since = now
        elif now >= self._owes_since + self._patience_s:
            self._protocol.acknowledge()
            self._owes_since = None

    def _pause_ms(self, until: float) -> int:
        """Return how long to wait for something to arrive."""
        if not until or self._calls or self._cut:
            return 0
        protocol = self._protocol
        due = self._report_at if self._going else min(self._greet_at, self._report_at)
        if protocol.out is not None and protocol.out.kept:
            due = min(due, self._probe.at)
        due = max(due, self._look_at)
        if self._owes_since is not None:
            due = min(due, self._owes_since + self._patience_s)
        if protocol.over:  # then `is_over` decides
            due = 0.0 if self._part_at is None or protocol.released else self._repeat_at
        return max(0, int((min(due, until) - time.monotonic()) * 1000) + 1)

    def _watch_the_clock(self) -> None:
        now = time.monotonic()
        self._look_at = now + _LOOK_S
        if not self._going and now > self._greet_at:
            self._greet_at = now + _GREET_S
            if self._links.connected and not self._links.choked:
                self._protocol.greet()
                self._carry_out()
        self._protocol.look(now)
        out = self._protocol.out
        if out is not None and self._probe.is_due(now, out) and not self._links.stuck:
            self._protocol.probe()
            self._carry_out()
        if now > self._report_at:
            self._report_at = now + _REPORT_S
            self._once_a_second()

    def _once_a_second(self) -> None:
        self._row.beat += 1
        for number in self._neighbours.left():
            self._protocol.gone(number)
        if not self._links.choked:
            self._protocol.repeat()
        self._carry_out()
        if self._going:
            if self._has_news():
                self._report()
        else:
            self._register()  # the broker may be a new one
        self._tap.watch(time.monotonic())

    def _carry_out(self) -> None:
        for effect in self._protocol.take_effects():
            if type(effect) not in SENT:
                self._deliver(effect)
                continue
            self._links.send(effect)
            if self._tap.is_open and isinstance(effect, ToConsumers):
                self._tap.offer(effect)
        self._links.let_go()

    def _note_started(self) -> None:
        self._started = True
        self._say_ready()

    def _say_ready(self) -> None:
        out = self._protocol.out
        possible = self._started and self._links.connected and (out is None or out.ready)
        if possible and not self._said_ready:
            self._said_ready = True
            self._links.tell_broker({"op": "ready"})

    def _register(self) -> None:
        if self._links.broker.waiting:
            return
        places = self._links.places
        self._links.tell_broker({
            "op": "register", "name": self._wiring.name, "pid": os.getpid(),
            "incarnation": self._wiring.incarnation,
            "data": places.data, "back": places.back, "loop": places.loop, "far": places.far,
            "multicast": self._links.multicast,
            "ready": self._said_ready, "going": self._going,
        })  # fmt: skip

    def _has_news(self) -> bool:
        """Tell whether the broker has to be told; of nothing, only now and then."""
        arrived = sum(edge.counters.messages for edge in self._protocol.inputs.values())
        done = self._row.begun, self._row.made, self._links.messages, arrived
        self._same = self._same + 1 if done == self._done else 0
        self._done = done
        return self._same < 2 or self._same % _IDLE_REPORTS == 0  # two alike make a rate of nothing

    def _report(self, *, final: bool = False) -> None:
        if self._links.broker.waiting:  # the broker has gone: nobody wants it
            return
        out = self._protocol.out
        self._links.tell_broker({
            "op": "statistics", "final": final,
            **self._figures(),
            "out": {"messages": self._links.messages, "bytes": self._links.bytes,
                    "kept": out.kept if out is not None else 0,
                    "resends": out.resends if out is not None else 0},
            "in": {number: vars(edge.counters) for number, edge in self._protocol.inputs.items()},
            "refused": dict(self._refusals.counts),
        })  # fmt: skip

    # Reading

    def _listen(self) -> None:
        links, sources = self._links, self._sources
        if links.data is not None and links.multicast:
            sources[links.data.socket] = _Source("data", self._on_subscription)
        if links.back is not None:
            sources[links.back] = _Source("back", self._on_back)
        for loop in (links.loop, links.far_loop):
            if loop is not None:
                sources[loop] = _Source("loop", self._on_loop)
        sources[links.broker.socket] = _Source("broker", self._on_control)

    def _read(self, socket: Any) -> None:
        source = self._sources[socket]
        for frames in self._port.receive(socket):
            try:
                source.take(frames)
            except RemoteProtocolError as error:
                self._refusals.note(source.place, error, sender(frames))

    def _on_subscription(self, frames: list[Any]) -> None:
        self._links.subscriptions.take(frames[0].bytes)
        self._admit()

    def _on_back(self, frames: list[Any]) -> None:
        head = take_apart(frames, self._wiring.run)[0]
        ours = head.edge == self._wiring.number
        if head.kind is Kind.HELLO and ours and self._links.multicast:
            self._links.subscriptions.hello(head)
            self._admit()
        else:
            self._protocol.on_back(head)
        self._say_ready()

    def _admit(self) -> None:
        for head in self._links.subscriptions.admitted():
            self._protocol.on_back(head)
            self._say_ready()

    def _on_loop(self, frames: list[Any]) -> None:
        self._protocol.on_loop(take_apart(frames, self._wiring.run)[0])

    def _on_control(self, frames: list[Any]) -> None:
        _, content = hear(frames[0].buffer, self._wiring.run)
        if content["op"] == "directory":
            self._on_directory(content.get("actors"))
        elif content["op"] == "who":  # a new broker
            self._register()
        elif content["op"] == "go" and not self._going:
            self._going = True
            self._protocol.run()
        elif content["op"] == "tap":
            self._tap.open()

    def _on_directory(self, actors: Any) -> None:
        renewed = self._neighbours.renewed(actors)
        if not self._links.connected:
            self._connect(actors)
        elif renewed:
            self._links.follow(actors, renewed)
            for producer in renewed & self._protocol.inputs.keys():
                self._protocol.greet_one(producer)
            self._protocol.repeat()

    def _connect(self, actors: Any) -> None:
        for socket, producer in self._links.connect(actors, self._neighbours.left()).items():
            multicast = actors[producer]["multicast"]
            slots = None if producer in self._wiring.far else self._slots
            take = Reception(
                self._protocol, producer, multicast=multicast, slots=slots,
                ahead_ns=self._wiring.ahead_ns,
            )  # fmt: skip
            self._sources[socket] = _Source(f"input {producer}", take)
        if self._links.connected:
            self._protocol.greet()
            self._say_ready()
