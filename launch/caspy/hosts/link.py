"""The launcher's end of a channel: stands for the actors of another host."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
import time
from typing import TYPE_CHECKING, Any

from camagick_broker.address import broker_address
from camagick_broker.errors import RemoteProtocolError
from caspy.hosts.retelling import Retelling
from caspy.hosts.switch import LOST, Switch
from caspy.process import told_to_stop

if TYPE_CHECKING:
    import subprocess

    from camagick_broker.port import Outlet

_FAREWELL_S = 4.0
#: What is still to be heard of an agent that ends.
_LAST = ("rows", "out", "up", "piece")


class Link(Switch):
    """Speaks to the broker, and in taps, in the name of every actor of the other host.

    See `Switch`.
    """

    def __init__(self, folder: str, run: bytes, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._folder = folder
        self._retelling = Retelling(self.port, self.channel, folder, run, self._theirs)
        self._outlets: dict[bytes, Outlet] = {}
        self._peers: dict[Any, bytes] = {}

    def hear(self, message: dict[str, Any]) -> None:
        """Take a message of the other host."""
        op = message["op"]
        if op == "up":
            self._outlet(message["peer"]).send([message["frame"]])
        elif op == "out":
            _write(message["data"])
        elif op == "piece":
            try:
                self._retelling.take(message)
            except RemoteProtocolError:
                raise EOFError from None  # no agent of ours says so
        else:
            super().hear(message)

    def take(self, source: Any) -> None:
        """Hand on what the broker says to an actor."""
        peer = self._peers[source]
        for frames in self.port.receive(source):
            frame = frames[-1].bytes
            self._retelling.note(number_of(peer), frame)
            self.channel.send("down", peer=peer, frame=frame)

    def tend(self) -> None:
        """See to taps."""
        self._retelling.tend()

    def close(self) -> None:
        """Close all sockets, and leave none of them behind."""
        self._retelling.close()
        super().close()

    def part(self, seconds: float) -> int:
        """Let the agent end, and hear its last words: how far all came, what they say and print.

        Returns
        -------
        int
            The exit code: not 0 where it has ended without them.
        """
        self.channel.send("finish")
        deadline = time.monotonic() + seconds
        with contextlib.suppress(EOFError, TimeoutError):
            while True:
                message = self.channel.expect(*_LAST, "finished", deadline=deadline)
                if message["op"] == "finished":
                    return 0
                self.hear(message)
        return LOST

    def _outlet(self, peer: bytes) -> Outlet:
        """Return the socket that stands for an actor: one for each of its lives."""
        outlet = self._outlets.get(peer)
        if outlet is None:
            if number_of(peer) not in self._theirs:
                raise EOFError  # no agent of ours says so
            outlet = self.port.connect_dealer(broker_address(self._folder), peer)
            self._outlets[peer], self._peers[outlet.socket] = outlet, peer
        return outlet


def number_of(peer: bytes) -> int:
    """Return the actor's number in the name by which the broker reaches him; 0 if it has none."""
    number = re.match(rb"(\d+)\.", peer)
    return int(number[1]) if number is not None else 0


def serve(link: Link, agent: subprocess.Popen[bytes]) -> int:
    """Be the link to an agent until SIGTERM, or until it has gone; return the exit code."""
    try:
        code = link.run(told_to_stop(link.port.ring))
        if code == 0:
            code = link.part(_FAREWELL_S)
    finally:
        link.close()
    link.channel.close()
    if code:
        with contextlib.suppress(ProcessLookupError):
            os.kill(agent.pid, signal.SIGTERM)
    return code


def _write(data: bytes) -> None:
    """Write what an actor there has printed; where nobody reads it, it is lost."""
    with contextlib.suppress(OSError):
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
