"""The I/O thread of one actor: all its sockets, and nothing of its data."""

from __future__ import annotations

import logging
import os
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from camagick_broker import address
from camagick_broker.control import hear, say
from camagick_broker.errors import RemoteProtocolError
from camagick_broker.port import TOPIC, Outlet, Port
from camagick_broker.protocol import (
    ActorProtocol,
    Arrived,
    Deliver,
    ToConsumers,
    ToLoop,
    ToProducer,
)
from camagick_broker.wire import Kind, unpack
from camagick_broker.wiring import Wiring

log = logging.getLogger(__name__)

_TICK_MS = 100
_REPORT_S = 1.0


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
    """

    def __init__(
        self,
        wiring: Wiring,
        deliver: Callable[[Any], None],
        figures: Callable[[], dict[str, Any]] = dict,
    ) -> None:
        self._wiring = wiring
        self._deliver = deliver
        self._figures = figures
        self._protocol = ActorProtocol(wiring)
        self._calls: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._port = Port()
        self._sources: dict[Any, Callable[[list[Any]], None]] = {}
        self._backs: dict[int, Outlet] = {}
        self._loops: dict[int, Outlet] = {}
        self._data: Outlet | None = None
        self._subscribed: set[bytes] = set()
        self._hellos: dict[int, Any] = {}
        self._refused: set[str] = set()
        self._started = self._said_ready = self._connected = self._going = self._cut = False
        self._sent_messages = self._sent_bytes = 0
        self._multicast = len(wiring.consumers) > 1
        self._asleep = False
        self._bind()

    # For the processor's thread and signal handlers

    def call(self, name: str, *arguments: Any) -> None:
        """Tell the protocol something: 'armed', 'sent', 'ended', 'closed', 'stop' or 'started'."""
        target = self._note_started if name == "started" else getattr(self._protocol, name)
        self._calls.append((target, arguments))
        if self._asleep:  # it is set before the last look at the calls, so no call is overlooked
            self._port.ring()

    def cut(self) -> None:
        """End as soon as possible, whatever is under way."""
        self._cut = True
        self._port.ring()

    # In the station's own thread

    def run(self) -> None:
        """Work until nothing is left to do."""
        report_at = hello_at = 0.0
        self._register()
        try:
            while not (self._protocol.over or self._cut) or self._calls:
                self._work(self._wait())
                now = time.monotonic()
                if not self._going and now > hello_at:
                    hello_at = now + 0.1
                    self._greet()
                if now > report_at:
                    report_at = now + _REPORT_S
                    self._report()
            self._report()
        finally:
            self._port.close()

    def _wait(self) -> list[Any]:
        busy = self._calls or self._protocol.owes
        self._asleep = True
        readable = self._port.wait(0 if busy else _TICK_MS)
        self._asleep = False
        if not readable and not self._calls and self._protocol.owes:
            self._protocol.acknowledge()
        return readable

    def _work(self, readable: list[Any]) -> None:
        for source in readable:
            self._read(source)
        while self._calls:
            target, arguments = self._calls.popleft()
            target(*arguments)
        self._carry_out()

    def _bind(self) -> None:
        wiring, port = self._wiring, self._port
        if wiring.consumers:
            self._data = port.bind_data(
                address.data_address(wiring.bus_dir, wiring.number), len(wiring.consumers)
            )
            if self._multicast:
                self._sources[self._data.socket] = self._on_subscription
            back = port.bind_pull(address.back_address(wiring.bus_dir, wiring.number))
            self._sources[back] = self._on_back
        if wiring.is_head:
            loop = port.bind_pull(address.loop_address(wiring.bus_dir, wiring.number))
            self._sources[loop] = self._on_loop
        identity = b"%d.%d" % (wiring.number, wiring.incarnation)
        self._broker = port.connect_dealer(address.broker_address(wiring.bus_dir), identity)
        self._sources[self._broker.socket] = self._on_control

    def _register(self) -> None:
        folder, number = self._wiring.bus_dir, self._wiring.number
        self._tell_broker({
            "op": "register", "name": self._wiring.name, "pid": os.getpid(),
            "incarnation": self._wiring.incarnation,
            "data": address.data_address(folder, number),
            "back": address.back_address(folder, number),
            "loop": address.loop_address(folder, number),
            "multicast": self._multicast,
        })  # fmt: skip

    def _connect(self, actors: dict[int, dict[str, Any]]) -> None:
        self._connected = True
        wiring = self._wiring
        for producer in wiring.inputs:
            peer = actors[producer]
            socket = self._port.connect_data(
                peer["data"], multicast=bool(peer["multicast"]), identity=self._identity()
            )
            self._sources[socket] = self._data_reader(producer, multicast=bool(peer["multicast"]))
            self._backs[producer] = self._port.connect_push(peer["back"])
        for head in wiring.heads:
            if head != wiring.number and self._talks_to(head):
                self._loops[head] = self._port.connect_push(actors[head]["loop"])

    def _talks_to(self, head: int) -> bool:
        wiring = self._wiring
        if wiring.is_head and wiring.leads:
            return True
        reports = wiring.is_last_gate or (wiring.lockstep and not wiring.consumers)
        return head == wiring.heads[0] and (wiring.is_head or reports)

    def _identity(self) -> bytes:
        return b"~%d\0%d" % (self._wiring.number, self._wiring.incarnation)

    def _greet(self) -> None:
        if self._connected:
            self._protocol.greet()
            self._carry_out()

    def _note_started(self) -> None:
        self._started = True
        self._say_ready()

    def _say_ready(self) -> None:
        out = self._protocol.out
        if (
            self._started and self._connected and not self._said_ready
            and (out is None or out.ready)
        ):  # fmt: skip
            self._said_ready = True
            self._tell_broker({"op": "ready"})

    def _tell_broker(self, content: dict[str, Any]) -> None:
        self._broker.send([say(self._wiring.run, self._wiring.number, content)])

    # Reading

    def _read(self, source: Any) -> None:
        handle = self._sources[source]
        for frames in self._port.receive(source):
            try:
                handle(frames)
            except RemoteProtocolError as error:
                self._refuse(error)

    def _refuse(self, error: RemoteProtocolError) -> None:
        text = str(error)
        if text not in self._refused and len(self._refused) < 100:
            self._refused.add(text)
            log.warning('msg="refused a message" reason="%s" actor=%s', text, self._wiring.name)

    def _data_reader(self, producer: int, *, multicast: bool) -> Callable[[list[Any]], None]:
        counters = self._protocol.inputs[producer].counters

        def read(frames: list[Any]) -> None:
            parts = frames[1:] if multicast else frames
            if not parts:
                raise RemoteProtocolError("a message without a prefix")
            head, body = unpack(parts[0].buffer, self._wiring.run)
            if head.buffers != len(parts) - 1:
                raise RemoteProtocolError(f"{len(parts) - 1} buffers instead of {head.buffers}")
            buffers = [part.buffer for part in parts[1:]]
            counters.bytes += len(parts[0]) + sum(map(len, buffers))
            if head.sent_ns:
                delay = (time.time_ns() - head.sent_ns) / 1e9
                counters.latency_s += 0.1 * (delay - counters.latency_s)
            self._protocol.on_data(producer, Arrived(head, body, buffers))

        return read

    def _on_subscription(self, frames: list[Any]) -> None:
        topic = frames[0].bytes
        if topic[:1] == b"\x01":
            self._subscribed.add(topic[1:])
        else:
            self._subscribed.discard(topic[1:])
        for sender, head in list(self._hellos.items()):
            self._admit(sender, head)

    def _on_back(self, frames: list[Any]) -> None:
        head, _ = unpack(frames[0].buffer, self._wiring.run)
        if head.kind is Kind.HELLO and self._multicast:
            self._hellos[head.sender] = head
            self._admit(head.sender, head)
        else:
            self._protocol.on_back(head)
        self._say_ready()

    def _admit(self, sender: int, head: Any) -> None:
        """A hello counts on a multicast edge once the subscription has arrived as well."""
        if b"~%d\0%d" % (sender, head.incarnation) in self._subscribed:
            del self._hellos[sender]
            self._protocol.on_back(head)
            self._say_ready()

    def _on_loop(self, frames: list[Any]) -> None:
        self._protocol.on_loop(unpack(frames[0].buffer, self._wiring.run)[0])

    def _on_control(self, frames: list[Any]) -> None:
        _, content = hear(frames[0].buffer, self._wiring.run)
        if content["op"] == "directory" and not self._connected:
            self._connect(content["actors"])
            self._greet()
            self._say_ready()
        elif content["op"] == "go" and not self._going:
            self._going = True
            self._protocol.run()

    # Writing

    def _carry_out(self) -> None:
        effects = self._protocol.effects
        if not effects:
            return
        self._protocol.effects = []
        for effect in effects:
            if isinstance(effect, Deliver):
                self._deliver(effect.item)
            elif isinstance(effect, ToConsumers):
                self._send(effect)
            elif isinstance(effect, ToProducer):
                if effect.producer in self._backs:
                    self._backs[effect.producer].send([effect.frame])
            elif isinstance(effect, ToLoop):
                self._loops[effect.head].send([effect.frame])

    def _send(self, effect: ToConsumers) -> None:
        if self._data is None:
            return
        self._sent_messages += 1
        self._sent_bytes += sum(memoryview(frame).nbytes for frame in effect.frames)
        if not self._multicast:
            self._data.send(effect.frames)
        elif effect.consumer is None:
            self._data.send([TOPIC, *effect.frames])
        else:
            for topic in self._subscribed:
                if topic.startswith(b"~%d\0" % effect.consumer):
                    self._data.send([topic, *effect.frames])

    def _report(self) -> None:
        if not self._going:
            return
        self._tell_broker({
            "op": "statistics",
            **self._figures(),
            "out": {"messages": self._sent_messages, "bytes": self._sent_bytes,
                    "kept": self._protocol.out.kept if self._protocol.out else 0},
            "in": {number: vars(edge.counters) for number, edge in self._protocol.inputs.items()},
        })  # fmt: skip
