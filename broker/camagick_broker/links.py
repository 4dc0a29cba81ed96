"""The sockets of one actor, by what they are for."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, NamedTuple

from camagick_broker import address
from camagick_broker.control import say
from camagick_broker.errors import RemoteProtocolError
from camagick_broker.events import Anew, ToConsumers, ToLoop, ToProducer
from camagick_broker.subscriptions import TOPIC, Subscriptions, identity

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    from camagick_broker.keys import Key, Lock
    from camagick_broker.port import Outlet, Port
    from camagick_broker.wiring import Wiring

_FLUSH_S = 0.5
#: Small messages are put into one frame up to this size, in bytes.
_PILE_BYTES = 1 << 17


class Peer(NamedTuple):
    """Where an actor can be reached, as the broker says."""

    data: str
    back: str
    loop: str
    far: str
    multicast: bool


class Places:
    """The addresses of one actor's sockets; empty where it has no such socket."""

    def __init__(self, wiring: Wiring) -> None:
        folder, number, network = wiring.bus_dir, wiring.number, wiring.network
        self.data = address.data_address(folder, number)
        self.back = address.back_address(folder, number)
        self.loop = address.loop_address(folder, number)
        self.far = ""
        if network is not None and wiring.sends_far:
            self.data, self.back = network.endpoint("data"), network.endpoint("back")
        if network is not None and wiring.reporters & wiring.far:
            self.far = network.endpoint("loop")


class Links:
    """Sends what an actor's protocol wants sent; keeps it until there is somewhere to send it.

    Parameters
    ----------
    port
        Where the sockets are made.
    wiring
        The actor's place.

    Attributes
    ----------
    data, back, loop, far_loop, broker
        The sockets that exist from the start; None where this actor has none.
    places
        The addresses of those that others connect to.
    subscriptions
        Who can be reached on a multicast edge.
    messages, bytes
        What was handed to consumers so far.
    """

    def __init__(self, port: Port, wiring: Wiring) -> None:
        self._port, self._wiring = port, wiring
        self._inputs: dict[int, Any] = {}
        self._peers: dict[int, Peer] = {}
        self._backs: dict[int, Outlet] = {}
        self._loops: dict[int, Outlet] = {}
        self._early: list[ToProducer | ToLoop] = []
        self._pile: list[Any] = []  # messages that shall leave in one frame
        self._pile_bytes = 0
        self._pile_for: int | None = None
        self.connected = False
        self.multicast = len(wiring.consumers) > 1
        self.subscriptions = Subscriptions(wiring.consumers)
        self.messages = self.bytes = 0
        folder, number = wiring.bus_dir, wiring.number
        self.data: Outlet | None = None
        self.back = self.loop = self.far_loop = None
        self.places = Places(wiring)
        if wiring.consumers:
            lock = self._lock(wiring.consumers) if wiring.sends_far else None
            places, several = self.places, len(wiring.consumers)
            self.data = port.bind_data(places.data, several, lock=lock)
            self.back = port.bind_pull(places.back, lock=lock)
        if wiring.is_head:
            self.loop = port.bind_pull(self.places.loop, "loop")
        if self.places.far:
            lock = self._lock(wiring.reporters & wiring.far)
            self.far_loop = port.bind_pull(self.places.far, "loop", lock=lock)
        name = b"%d.%d" % (number, wiring.incarnation)
        self.broker = port.connect_dealer(address.broker_address(folder), name)

    def connect(self, actors: Any, left: Container[int] = ()) -> dict[Any, int]:
        """Connect to producers and heads, if all of them are known.

        Parameters
        ----------
        actors
            The directory, as it came.
        left
            Actors for which nothing is left to do: they may be missing.

        Returns
        -------
        dict
            The producer that each new socket listens to.

        Raises
        ------
        RemoteProtocolError
            For a directory in which something is wrong.
        """
        wiring = self._wiring
        heads = [head for head in wiring.heads if head != wiring.number and self._talks_to(head)]
        if not isinstance(actors, dict):
            raise RemoteProtocolError(f"unusable directory: {actors!r:.80}")
        heads = [head for head in heads if head in actors or head not in left]
        if any(number not in actors for number in (*wiring.inputs, *heads)):
            return {}
        peers = {number: _peer(actors, number) for number in (*wiring.inputs, *heads)}
        sockets = {}
        for producer in wiring.inputs:
            peer, own = peers[producer], identity(wiring.number, wiring.incarnation)
            key = self._key(producer)
            socket = self._port.connect_data(
                peer.data, multicast=peer.multicast, identity=own, key=key
            )
            sockets[socket] = producer
            self._inputs[producer], self._peers[producer] = socket, peer
            self._backs[producer] = self._port.connect_push(peer.back, key=key)
        for head in heads:
            loop = peers[head].far if head in wiring.far else peers[head].loop
            self._loops[head] = self._port.connect_push(loop, key=self._key(head))
        self.connected = True
        early, self._early = self._early, []
        for effect in early:
            self.send(effect)
        return sockets

    def follow(self, actors: Any, renewed: Container[int]) -> None:
        """Go to where restarted producers are now, who may have come back on another host."""
        for producer, socket in self._inputs.items():
            if producer in renewed and self._peers[producer] != (peer := _peer(actors, producer)):
                old, self._peers[producer] = self._peers[producer], peer
                self._port.move(socket, old.data, peer.data)
                self._port.move(self._backs[producer].socket, old.back, peer.back)

    def send(self, effect: ToConsumers | ToProducer | ToLoop | Anew) -> None:
        """Send, now or when it is possible; messages to consumers with the next `let_go`."""
        if isinstance(effect, ToConsumers):
            self._send_on(effect)
        elif isinstance(effect, Anew):
            self.let_go()
            if self.data is not None and not self.multicast:
                self.data.waiting.clear()  # all of it is retained, and is sent again
        elif not self.connected:
            self._early.append(effect)
        elif isinstance(effect, ToProducer):
            self._backs[effect.producer].send([effect.frame])
        elif effect.head in self._loops:
            self._loops[effect.head].send([effect.frame])

    def tell_broker(self, content: dict[str, Any]) -> None:
        """Send a control message."""
        self.broker.send([say(self._wiring.run, self._wiring.number, content)])

    @property
    def choked(self) -> bool:
        """Whether something still waits for a connection; then repeating anything is of no use."""
        outlets = [*self._backs.values(), *self._loops.values()]
        return any(outlet.waiting for outlet in outlets)

    @property
    def stuck(self) -> bool:
        """Whether there is nobody at present to send data to."""
        return self.data is not None and bool(self.data.waiting)

    def flush(self) -> None:
        """Give the last words some time to leave."""
        self._port.flush(self._backs.values(), _FLUSH_S)
        if self.data is not None:
            self.data.socket.linger = int(_FLUSH_S * 1000)

    def _lock(self, actors: Iterable[int]) -> Lock | None:
        network = self._wiring.network
        return network.lock(actors) if network is not None else None

    def _key(self, actor: int) -> Key | None:
        """Return what opens an actor's sockets; None for one of this host."""
        network = self._wiring.network
        far = network is not None and actor in self._wiring.far
        return network.key(actor) if network is not None and far else None

    def _talks_to(self, head: int) -> bool:
        wiring = self._wiring
        if wiring.is_head and wiring.leads:
            return True
        reports = wiring.is_last_gate or (wiring.lockstep and not wiring.consumers)
        return head == wiring.heads[0] and (wiring.is_head or reports)

    def _send_on(self, effect: ToConsumers) -> None:
        frames, size, consumer = effect
        if consumer is None:
            self.messages += 1
            self.bytes += size
        if consumer != self._pile_for or self._pile_bytes + size > _PILE_BYTES or len(frames) > 1:
            self.let_go()
        if len(frames) > 1:
            self._emit(frames, consumer)
            return
        self._pile.append(frames[0])
        self._pile_bytes += size
        self._pile_for = consumer

    def let_go(self) -> None:
        """Send the messages to consumers that wait for others to share a frame with."""
        if not self._pile:
            return
        pile, self._pile, self._pile_bytes = self._pile, [], 0
        self._emit(pile if len(pile) == 1 else [b"".join(pile)], self._pile_for)

    def _emit(self, frames: list[Any], consumer: int | None) -> None:
        if self.data is None:
            return
        if not self.multicast:
            self.data.send(frames)
        elif consumer is None:
            self.data.send([TOPIC, *frames])
        else:
            for topic in self.subscriptions.topics(consumer):
                self.data.send([topic, *frames])


def _peer(actors: Any, number: int) -> Peer:
    with contextlib.suppress(TypeError, KeyError):
        entry = actors[number]
        peer = Peer(**{"far": "", **{name: entry[name] for name in Peer._fields if name in entry}})
        if peer.multicast in (True, False) and all(map(_is_address, peer[:3])):
            return peer
    raise RemoteProtocolError(f"unusable directory: no addresses of actor {number}")


def _is_address(text: Any) -> bool:
    return isinstance(text, str) and text.startswith(("ipc://", "tcp://"))
