"""What strangers do to the sockets of a live run; `tests/hostile.py` holds what they say.

Run as a script, with a bus's folder, it is a peer that connects to everything, subscribes to all,
says so, and never reads.
"""

from __future__ import annotations

import contextlib
import socket
import sys
import time
from typing import TYPE_CHECKING, Any

import zmq

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

#: Longer than a peer may take for its greeting.
DEADLINE_S = 25.0


def addresses(folder: Path) -> list[Path]:
    """Return all sockets of a bus."""
    return sorted(path for path in folder.iterdir() if path.is_socket())


@contextlib.contextmanager
def talking(path: Path, words: bytes) -> Iterator[socket.socket]:
    """Connect to a socket, say something, and stay connected."""
    with socket.socket(socket.AF_UNIX) as one:
        one.settimeout(DEADLINE_S)
        one.connect(str(path))
        # It may have had enough before all of it is said.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            one.sendall(words)
        yield one


def hangs_up(one: socket.socket) -> bool:
    """Tell whether the other end hangs up, whatever it says before."""
    one.settimeout(DEADLINE_S)
    try:
        while one.recv(65536):
            pass
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False
    return True


def knock(path: Path, times: int) -> None:
    """Connect and leave."""
    for _ in range(times):
        with talking(path, b""):
            pass


@contextlib.contextmanager
def peer(kind: int, path: Path, **options: Any) -> Iterator[zmq.Socket[bytes]]:
    """Connect a ZeroMQ socket of any kind to a socket of a bus."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    one = context.socket(kind)
    one.linger = 0
    one.sndtimeo = one.rcvtimeo = 200
    for name, value in options.items():
        setattr(one, name, value)
    one.connect(f"ipc://{path}")
    try:
        yield one
    finally:
        context.destroy(0)


def say(kind: int, path: Path, messages: Iterable[list[bytes]]) -> int:
    """Send messages as a ZeroMQ peer; return how many were taken from us."""
    sent = 0
    with peer(kind, path, immediate=True) as one:
        one.linger = 2000
        for frames in messages:
            try:
                one.send_multipart(frames)
            except zmq.Again:
                break
            sent += 1
        one.close(2000)
    return sent


def subscribe(path: Path, times: int) -> None:
    """Subscribe to thousands of things."""
    with peer(zmq.XSUB, path) as one:
        for n in range(times):
            try:
                one.send(b"\1~2\0%d" % n)
            except zmq.Again:
                return


def never_read(folder: str) -> None:
    """Connect to every socket, take all that comes, and never look at it."""
    from pathlib import Path

    with contextlib.ExitStack() as stack:
        for path in addresses(Path(folder)):
            for kind in (zmq.PULL, zmq.SUB, zmq.DEALER):
                one = stack.enter_context(peer(kind, path, rcvhwm=1))
                if kind == zmq.SUB:
                    one.setsockopt(zmq.SUBSCRIBE, b"")
                    one.poll(1)  # libzmq subscribes in the thread that uses the socket
        print("there", flush=True)
        time.sleep(3600)


if __name__ == "__main__":
    never_read(sys.argv[1])
