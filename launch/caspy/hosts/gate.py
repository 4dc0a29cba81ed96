"""The agent's end of the channel: stands for the broker before the actors of this host."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from typing import TYPE_CHECKING, Any

from camagick_broker.address import broker_address
from camagick_broker.admission import is_kin
from camagick_broker.port import sender
from caspy.hosts.overhearing import Overhearing
from caspy.hosts.switch import Switch
from caspy.process import told_to_stop

if TYPE_CHECKING:
    from collections.abc import Iterable

    from camagick_broker.ledger import Ledger
    from caspy.hosts.channel import Channel

_READ_BYTES = 1 << 16
#: So long after the end of all actors, what they said last may still be on its way into here.
_REST_S = 0.02


class Gate(Switch):
    """Takes what actors have to say to the broker, and what they print; see `Switch`."""

    def __init__(self, folder: str, printed: int, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._outlet = self.port.bind_router(broker_address(folder))
        self._printed = printed
        self._known: set[str] = set()
        self.port.watch(printed)
        self._overhearing = Overhearing(self.port, self.channel, folder)

    def hear(self, message: dict[str, Any]) -> None:
        """Take a message of the launcher."""
        op = message["op"]
        if op == "down":
            self._outlet.send([message["peer"], message["frame"]])
        elif op == "listen":
            self._overhearing.listen_to((actor, topic) for actor, topic in message["wanted"])
        elif op == "taken":
            self._overhearing.taken(message["bytes"])
        else:
            super().hear(message)

    def take(self, source: Any) -> None:
        """Hand on what an actor says, to the broker or in a tap; of anybody else, nothing."""
        if not self._overhearing.hear(source):
            self._hear_actors()

    def _hear_actors(self) -> bool:
        """Hand on what actors say to the broker; tell whether there was anything."""
        heard = list(self.port.receive(self._outlet.socket))
        for frames in heard:
            if len(frames) == 2 and self._knows(sender(frames)):
                self.channel.send("up", peer=frames[0].bytes, frame=frames[1].bytes)
        return bool(heard)

    def _knows(self, peer: str) -> bool:
        """Tell whether a peer is an actor; of one that has ended, its first words told."""
        if is_kin(peer):
            self._known.add(peer)
        return peer in self._known

    def take_file(self, handle: int) -> None:
        """Hand on what was printed."""
        if handle == self._printed:
            data = os.read(handle, _READ_BYTES)
            if data:
                self.channel.send("out", data=data)
            else:
                self.port.watch(handle, reads=False)

    def tend(self) -> None:
        """Hand on what taps have said, as far as there is room."""
        self._overhearing.tell()

    def last_words(self) -> None:
        """Say what was done, said and printed since the last look."""
        self.tell_rows()
        quiet_at = time.monotonic() + _REST_S
        while (now := time.monotonic()) < quiet_at:
            self._outlet.socket.poll(int(_REST_S * 1000))
            if self._hear_actors():
                quiet_at = now + _REST_S
        os.set_blocking(self._printed, False)
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self._printed, _READ_BYTES):
                self.channel.send("out", data=data)


def serve_gate(
    folder: str, printed: int, channel: Channel, inside: Channel, ledger: Ledger,
    own: Iterable[int], theirs: Iterable[int], patience_s: float,
) -> int:  # fmt: skip
    """Be the gate of a host until SIGTERM, or until the launcher has gone; return the exit code.

    It gets that signal also when the agent has been killed: nobody but it is left then to remove
    the folder.
    """
    agent = os.getppid()
    gate = Gate(folder, printed, channel, inside, ledger, own, theirs, patience_s)
    try:
        code = gate.run(told_to_stop(gate.port.ring))
        if code == 0:
            with contextlib.suppress(OSError):
                os.set_blocking(channel.writes, True)
                gate.last_words()
                channel.send("finished")
    finally:
        gate.close()
    if os.getppid() != agent:
        shutil.rmtree(folder, ignore_errors=True)
    return code
