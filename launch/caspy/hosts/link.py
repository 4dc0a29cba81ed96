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
from caspy.hosts.switch import Switch
from caspy.process import told_to_stop

if TYPE_CHECKING:
    import subprocess

    from camagick_broker.port import Outlet

_FAREWELL_S = 4.0


class Link(Switch):
    """Speaks to the broker in the name of every actor of the other host; see `Switch`."""

    def __init__(self, folder: str, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._folder = folder
        self._outlets: dict[bytes, Outlet] = {}
        self._peers: dict[Any, bytes] = {}

    def hear(self, message: dict[str, Any]) -> None:
        """Take a message of the other host."""
        op = message["op"]
        if op == "up":
            self._outlet(message["peer"]).send([message["frame"]])
        elif op == "out":
            _write(message["data"])
        else:
            super().hear(message)

    def take(self, source: Any) -> None:
        """Hand on what the broker says to an actor."""
        for frames in self.port.receive(source):
            self.channel.send("down", peer=self._peers[source], frame=frames[-1].bytes)

    def part(self, seconds: float) -> None:
        """Let the agent end, and hear its last words: how far all came, and what was printed."""
        self.channel.send("finish")
        deadline = time.monotonic() + seconds
        with contextlib.suppress(EOFError, TimeoutError):
            while True:
                message = self.channel.expect("rows", "out", "finished", deadline=deadline)
                if message["op"] == "finished":
                    return
                if message["op"] == "rows":
                    self.note(message["rows"])
                else:
                    _write(message["data"])

    def _outlet(self, peer: bytes) -> Outlet:
        """Return the socket that stands for an actor: one for each of its lives."""
        outlet = self._outlets.get(peer)
        if outlet is None:
            number = re.match(rb"(\d+)\.", peer)
            if number is None or int(number[1]) not in self._theirs:
                raise EOFError  # no agent of ours says so
            outlet = self.port.connect_dealer(broker_address(self._folder), peer)
            self._outlets[peer], self._peers[outlet.socket] = outlet, peer
        return outlet


def serve(link: Link, agent: subprocess.Popen[bytes]) -> int:
    """Be the link to an agent until SIGTERM, or until it has gone; return the exit code."""
    code = link.run(told_to_stop(link.port.ring))
    if code == 0:
        link.part(_FAREWELL_S)
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
