"""A wire between two network interfaces, with delay and loss: Ethernet frames in, frames out.

A program of its own, run inside the namespace where both interfaces are::

    python wire.py relay NEAR FAR     # until its standard input ends
    python wire.py plain INTERFACE    # frames as on a real wire: nothing left to the hardware

It takes lines from standard input, ``delay 0.02`` (seconds, each way), ``loss 0.1`` (share of the
frames, each way) and ``cut 1`` (``0``: whole again), and answers each of them with ``ok``. The
kernel's own netem would be the tool for this, but is missing in many kernels.
"""

from __future__ import annotations

import collections
import ctypes
import fcntl
import os
import random
import select
import socket
import struct
import sys
import time

_ETH_P_ALL = 3
_SOL_PACKET, _PACKET_IGNORE_OUTGOING = 263, 23
_SO_SNDBUFFORCE, _SO_RCVBUFFORCE = 32, 33
_BUFFER = 32 << 20
_SIOCETHTOOL = 0x8946
#: ETHTOOL_STXCSUM, _SSG, _STSO, _SGSO, _SGRO: what a veth leaves to a hardware that is not there.
_OFFLOADS = (0x17, 0x19, 0x1F, 0x24, 0x2C)


class Wire:
    """Hands each frame that one interface sends to the other one.

    Parameters
    ----------
    near, far
        The interfaces.
    """

    def __init__(self, near: str, far: str) -> None:
        ends = [_end(name) for name in (near, far)]
        self.others = {ends[0]: ends[1], ends[1]: ends[0]}
        self._under_way: collections.deque[tuple[float, socket.socket, bytes]] = collections.deque()
        self._random = random.Random(1)  # noqa: S311 - no secret
        self.delay = self.loss = self.cut = 0.0

    def take(self, end: socket.socket) -> None:
        """Take what has arrived at one end."""
        due = time.monotonic() + self.delay
        for _ in range(64):  # and then look at the other end
            try:
                frame = end.recv(65536, socket.MSG_DONTWAIT)
            except OSError:  # nothing there, or the interface is down
                return
            if self.cut or (self.loss and self._random.random() < self.loss):
                continue
            self._under_way.append((due, self.others[end], frame))

    def give(self) -> float | None:
        """Send what is due; return in how many seconds the next one is; None: never."""
        while self._under_way:
            due, end, frame = self._under_way[0]
            wait = due - time.monotonic()
            if wait > 0:
                return wait
            self._under_way.popleft()
            try:
                end.send(frame)
            except OSError:  # the interface is down: a real wire tells nobody either
                continue
        return None

    def obey(self, line: str) -> None:
        """Do what a line says."""
        what, _, value = line.partition(" ")
        if what not in ("delay", "loss", "cut"):
            raise ValueError(f"no such command: {line}")
        setattr(self, what, float(value))
        if what == "cut" and self.cut:
            self._under_way.clear()


def _end(name: str) -> socket.socket:
    """Return a socket for all frames of an interface but those that it sends itself."""
    end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    end.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
    for option in (_SO_SNDBUFFORCE, _SO_RCVBUFFORCE):  # a wire drops nothing by itself
        end.setsockopt(socket.SOL_SOCKET, option, _BUFFER)
    end.bind((name, _ETH_P_ALL))
    return end


def relay(near: str, far: str) -> None:
    """Be the wire until standard input ends."""
    wire = Wire(near, far)
    commands = sys.stdin.fileno()
    ends = {end.fileno(): end for end in wire.others}
    poll = select.poll()
    for number in (commands, *ends):
        poll.register(number, select.POLLIN)
    print("ok", flush=True)
    rest = b""
    while True:
        wait = wire.give()
        for number, _ in poll.poll(None if wait is None else max(1, round(wait * 1000))):
            if number != commands:
                wire.take(ends[number])
                continue
            read = os.read(commands, 4096)
            if not read:
                return
            *lines, rest = (rest + read).split(b"\n")
            for line in lines:
                wire.obey(line.decode())
                print("ok", flush=True)


def plain(name: str) -> None:
    """Switch an interface's offloads off, so that its frames are whole and have checksums."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        for command in _OFFLOADS:
            value = ctypes.create_string_buffer(struct.pack("II", command, 0))
            request = struct.pack("16sP8x", name.encode(), ctypes.addressof(value))
            fcntl.ioctl(any_socket, _SIOCETHTOOL, request)


if __name__ == "__main__":
    if sys.argv[1] == "relay":
        relay(*sys.argv[2:])
    else:
        plain(*sys.argv[2:])
