"""A bus without sockets: the protocols of a pipe's actors, and messages in any order."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import Any

from camagick_broker.edges import Joined
from camagick_broker.errors import RemoteProtocolError
from camagick_broker.events import SENT, ToConsumers, ToLoop, ToProducer
from camagick_broker.journal import Record
from camagick_broker.ledger import Row
from camagick_broker.protocol import ActorProtocol, Arrived, Permit, Stop
from camagick_broker.resume import take_over
from camagick_broker.wire import Head, Kind, pack, unpack
from camagick_broker.wiring import Wiring

RUN = b"a network"[:8]


class Memory(dict[int, Record]):
    """A journal that needs no memory of the launcher."""

    slots = 1 << 30

    def read(self, seq: int) -> Record:
        return self[seq]


class Outliving:
    """What outlives the processes of one actor."""

    def __init__(self, *, journal: bool) -> None:
        self.row = Row()
        self.journal = Memory() if journal else None
        self.made: list[int] = []  # every call of a processor
        self.joined = 0  # iterations that came together here


class Node:
    """One actor: its protocol, and a processor that takes its time."""

    def __init__(
        self, wiring: Wiring, fails_at: int | None, outliving: Outliving | None = None,
        size: Any = None,
    ) -> None:  # fmt: skip
        self.wiring = wiring
        self.outliving = outliving or Outliving(journal=wiring.is_head)
        self.size = size or (lambda _seq: 0)
        resume = take_over(wiring, self.outliving.row, self.outliving.journal)  # type: ignore[arg-type]
        self.protocol = ActorProtocol(wiring, resume, self.outliving.row)
        self.inbox: deque[Any] = deque()
        self.seen = list(range(resume.seq))  # iterations processed
        self.running = False
        self.fails_at = fails_at
        self.armed = self.stopping = self.ended = self.closed = self.gone = False
        if fails_at == -1 or resume.ended_at is not None:  # it could not even start
            self.end()

    @property
    def may_step(self) -> bool:
        return bool(self.inbox) or (not self.ended and not self.armed and self.wiring.is_head)

    def step(self) -> None:
        """Do the next thing that the processor can do."""
        if self.ended:
            self.inbox.clear()
        elif self.wiring.is_head and self.stopping:
            self.end()
        elif self.wiring.is_head and not self.armed:
            self._arm()
        else:
            item = self.inbox.popleft()
            if isinstance(item, Permit):
                assert item.seq == len(self.seen)
                self.process()
                self.armed = False
            elif isinstance(item, Joined):
                self._join(item)

    def _arm(self) -> None:
        if len(self.seen) == self.wiring.count:
            self.end()
        else:
            self.armed = True
            self.protocol.armed(len(self.seen))

    def _join(self, joined: Joined) -> None:
        if joined.ended:
            self.end()
            return
        assert joined.seq == len(self.seen)
        assert [message.head.seq for message in joined.messages] == [joined.seq] * len(
            self.wiring.inputs
        )
        assert [message.head.edge for message in joined.messages] == list(self.wiring.inputs)
        self.process()

    def process(self) -> None:
        seq = len(self.seen)
        if seq == self.fails_at:
            self.end()
            return
        self.protocol.sent(seq, self.make(seq))
        if self.wiring.commits:
            self.protocol.committed(seq + 1)

    def make(self, seq: int) -> list[Any]:
        """Do what a kill may come behind: nobody has been told yet."""
        self.seen.append(seq)
        self.outliving.made.append(seq)
        number, incarnation = self.wiring.number, self.wiring.incarnation
        frames = [pack(Head(Kind.DATA, RUN, number, number, seq, incarnation, incarnation))]
        frames += [bytes(self.size(seq))] if self.size(seq) else []
        if self.outliving.journal is not None:
            self.outliving.journal[seq] = Record(frames, [])
        self.outliving.row.made = seq + 1
        return frames

    def end(self) -> None:
        if not self.ended:
            self.ended = True
            self.protocol.ended(len(self.seen))


class Network:
    """All actors of a pipe.

    Parameters
    ----------
    edges
        Producer to consumers.
    options
        Of `Wiring`, for all; `fails` is when an actor ends by itself (-1: it cannot start).
    faults
        Asked for each message: how many copies of it arrive; 1 where there are no faults.
    sizes
        By actor: asked for how many bytes its message of an iteration has, beside the prefix.
    gates, joins
        The last gates, and those of them that are joins.
    leave
        Whether an actor that is over hears nothing any more.
    """

    def __init__(
        self,
        edges: dict[int, tuple[int, ...]],
        fails: dict[int, int] | None = None,
        faults: Any = None,
        gates: tuple[int, ...] = (),
        joins: tuple[int, ...] = (),
        sizes: dict[int, Any] | None = None,
        *,
        leave: bool = True,
        **options: Any,
    ) -> None:
        numbers = sorted({*edges, *(one for many in edges.values() for one in many)})
        inputs = {
            one: tuple(number for number in numbers if one in edges.get(number, ()))
            for one in numbers
        }
        shared: dict[str, Any] = {
            "run": RUN, "bus": "", "bus_dir": "", "gates": gates,
            "heads": tuple(one for one in numbers if not inputs[one]),
            "terminals": tuple(one for one in numbers if not edges.get(one)), **options,
        }  # fmt: skip
        self._fails, self._sizes = fails or {}, sizes or {}
        self.nodes: dict[int, Node] = {}
        for one in numbers:
            wiring = Wiring(
                number=one, name=str(one), inputs=inputs[one], consumers=edges.get(one, ()),
                gates_at_join=one in joins, **shared,
            )  # fmt: skip
            alone = not inputs[one] or (one in gates and one not in joins)
            outliving = Outliving(journal=alone and bool(wiring.consumers))
            self.nodes[one] = Node(wiring, self._fails.get(one), outliving, self._sizes.get(one))
        #: One queue a connection: (socket of the receiver, sender) -> frames.
        self.queues: dict[tuple[str, int, int], deque[list[Any]]] = {}
        self.faults = faults or (lambda _kind: 1)
        self.running = False
        self._leave = leave
        self.refused: list[RemoteProtocolError] = []
        for node in self.nodes.values():
            node.protocol.greet()
            self.carry_out(node)

    def carry_out(self, node: Node) -> None:
        own = node.wiring.number
        for effect in node.protocol.take_effects():
            if type(effect) not in SENT:
                node.inbox.append(effect)
                # Hosts see it at once, also before what was delivered earlier.
                node.stopping |= isinstance(effect, Stop)
                if isinstance(effect, Joined) and not effect.ended:
                    node.outliving.joined = max(node.outliving.joined, effect.seq + 1)
            elif isinstance(effect, ToProducer):
                self._queue("back", effect.producer, own, [effect.frame])
            elif isinstance(effect, ToLoop):
                self._queue("loop", effect.head, own, [effect.frame])
            elif isinstance(effect, ToConsumers):
                everybody = node.wiring.consumers
                for one in everybody if effect.consumer is None else (effect.consumer,):
                    self._queue("data", one, own, effect.frames)

    def _queue(self, socket: str, receiver: int, sender: int, frames: list[Any]) -> None:
        for _ in range(self.faults(unpack(frames[0])[0].kind)):
            self.queues.setdefault((socket, receiver, sender), deque()).append(frames)

    def choices(self) -> list[Any]:
        """Return what could happen next."""
        found: list[Any] = [
            key for key, queue in self.queues.items() if queue and not self.nodes[key[1]].gone
        ]
        found += [number for number, node in self.nodes.items() if node.may_step]
        found += [(n, "close") for n, node in self.nodes.items() if node.ended and not node.closed]
        found += [
            (number, "go")
            for number, node in self.nodes.items()
            if self.running and not node.running and _ready(node)
        ]
        if not self.running and all(node.fails_at != -1 for node in self.nodes.values()):
            outs = [node.protocol.out for node in self.nodes.values()]
            found += ["run"] if all(out is None or out.ready for out in outs) else []
        return found

    def happen(self, what: Any) -> None:
        """Let one thing happen."""
        if what == "run":
            self.running = True
            for node in self.nodes.values():
                self._run(node)
            return
        if isinstance(what, int):
            node = self.nodes[what]
            node.step()
        elif what[1] == "go":
            node = self.nodes[what[0]]
            self._run(node)
        elif what[1] == "close":
            node = self.nodes[what[0]]
            node.closed = True
            node.protocol.closed()
        else:
            node = self._receive(*what)
        self.carry_out(node)
        self.check(node)
        node.gone = self._leave and node.protocol.over and node.protocol.released

    def _run(self, node: Node) -> None:
        node.running = True
        node.protocol.run()
        self.carry_out(node)

    def kill(self, number: int, rng: Any, *, told: bool) -> None:
        """Kill an actor, lose what only it knew, and start another in its place."""
        old = self.nodes[number]
        if old.inbox and rng.random() < 0.3 and not old.ended and not old.stopping:
            self._half_a_step(old)
        for (_, receiver, sender), queue in self.queues.items():
            if receiver == number:
                queue.clear()
            elif sender == number:
                for _ in range(rng.randint(0, len(queue))):
                    queue.pop()
        if old.outliving.row.over:  # nothing is left to do for it
            old.gone = True
            for node in self.nodes.values():
                node.protocol.gone(number)
                self.carry_out(node)
            return
        wiring = replace(old.wiring, incarnation=old.wiring.incarnation + 1)
        node = self.nodes[number] = Node(wiring, self._fails.get(number), old.outliving, old.size)
        node.protocol.greet()
        self.carry_out(node)
        if told:
            self._tell_of(number)

    def _half_a_step(self, node: Node) -> None:
        item = node.inbox[0]
        begun = node.armed if isinstance(item, Permit) else isinstance(item, Joined)
        if begun and not getattr(item, "ended", False) and item.seq != node.fails_at:
            node.make(item.seq)

    def _tell_of(self, number: int) -> None:
        """The broker tells everybody that there is a new process."""
        for node in self.nodes.values():
            if number in node.wiring.inputs and not node.gone:
                node.protocol.greet_one(number)
            node.protocol.repeat()
            self.carry_out(node)

    def _receive(self, socket: str, receiver: int, sender: int) -> Node:
        node = self.nodes[receiver]
        frames = self.queues[socket, receiver, sender].popleft()
        head, body = unpack(frames[0], RUN)
        try:
            if socket == "data":
                node.protocol.on_data(sender, Arrived(head, body, frames[1:]))
            elif socket == "back":
                node.protocol.on_back(head)
            else:
                node.protocol.on_loop(head)
        except RemoteProtocolError as error:
            self.refused.append(error)
        return node

    def tick(self) -> bool:
        """Nothing else is to do: let everybody say what it owes; tell whether somebody did."""
        owing = [node for node in self.nodes.values() if node.protocol.owes and not node.gone]
        for node in owing:
            node.protocol.acknowledge()
            self.carry_out(node)
        return bool(owing)

    def repair(self) -> None:
        """Let the clocks of all go on: who waits for something asks for it."""
        for node in self.nodes.values():
            if node.gone:
                continue
            if not node.running:
                node.protocol.greet()
            if node.protocol.out is not None and node.protocol.out.kept:
                node.protocol.probe()
            if node.protocol.over:
                node.protocol.acknowledge()  # until the producers know it
            node.protocol.repeat()
            for one in self.nodes.keys() - {node.wiring.number}:
                if self.nodes[one].outliving.row.over:
                    node.protocol.gone(one)
            self.carry_out(node)

    def check(self, node: Node) -> None:
        """See that the promises hold at this moment."""
        out = node.protocol.out
        wiring = node.wiring
        assert out is None or out.kept <= wiring.window + 1  # and the end
        assert node.seen == list(range(len(node.seen)))
        for edge in node.protocol.inputs.values():
            assert len(edge.waiting) + len(edge.early) <= wiring.window + 1
        if wiring.lockstep and self.running:
            ended = min(len(self.nodes[one].seen) for one in wiring.terminals)
            assert len(node.seen) <= ended + 1
        if wiring.gates and wiring.is_head:
            gates = [self.nodes[one] for one in wiring.gates]
            left = min(
                one.outliving.joined if one.wiring.gates_at_join else len(one.seen) for one in gates
            )
            assert len(node.seen) <= left + 1

    @property
    def over(self) -> bool:
        return all(node.protocol.over for node in self.nodes.values())


def _ready(node: Node) -> bool:
    return node.protocol.out is None or node.protocol.out.ready
