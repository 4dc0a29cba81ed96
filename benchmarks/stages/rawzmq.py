"""A chain of processes on plain ZeroMQ sockets: the same work as a pipe, and nothing else.

    python rawzmq.py ROLE --input URL --output URL --shape 2048 2048 [--work view]

PUSH binds, PULL connects. Each message is a prefix of 40 bytes and the array: one frame, or two
(`--apart`). Arrays from 16 KiB on are a frame of their own, sent and received without a copy.
Nothing is retained, acknowledged or checked. The last process prints a line for each message, as
`--to-summary` does.
"""

from __future__ import annotations

import argparse
import itertools
import struct
import sys
import time
from typing import TYPE_CHECKING

import numpy as np
import zmq

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

PREFIX = struct.Struct("<8sQQQQ")
LARGE = 16384
BUFFERS = 12  # more than can be under way on one edge


def main() -> None:
    """Be one process of the chain until it is killed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("role", choices=("source", "pipe", "sink"))
    parser.add_argument("--input", default="")
    parser.add_argument("--output", default="")
    parser.add_argument("--shape", type=int, nargs="+", required=True)
    parser.add_argument("--work", choices=tuple(WORKS), default="same")
    parser.add_argument("--rate", type=float, default=0.0, help="messages a second; 0: all")
    parser.add_argument("--hwm", type=int, default=1000, help="messages a socket keeps")
    parser.add_argument("--apart", action="store_true", help="prefix and array: a frame each")
    parser.add_argument("--latency", action="store_true", help="print the age of each message")
    parser.add_argument("--curve", nargs=2, metavar=("PUBLIC", "SECRET"), help="one pair for all")
    options = parser.parse_args()
    context = zmq.Context()
    pull, push = context.socket(zmq.PULL), context.socket(zmq.PUSH)
    for socket in (pull, push):
        socket.linger = 0
        socket.sndhwm = socket.rcvhwm = options.hwm
        if options.curve:
            public, secret = map(str.encode, options.curve)
            socket.curve_publickey, socket.curve_secretkey = public, secret
            if socket is pull:
                socket.curve_serverkey = public
            else:
                socket.curve_server = True
    if options.output:
        push.bind(options.output)
    if options.input:
        pull.connect(options.input)
    shape = tuple(options.shape)
    apart = options.apart or 8 * int(np.prod(shape)) >= LARGE
    if options.role == "source":
        source(push, made(shape, options.latency), options.rate, apart)
    elif options.role == "pipe":
        pipe(received(pull, shape, apart), push, WORKS[options.work], apart)
    else:
        sink(received(pull, shape, apart), options.latency)


def made(shape: tuple[int, ...], stamped: bool) -> Iterator[Array]:
    """Make arrays: small ones of random numbers, large ones by writing each number once."""
    if 8 * np.prod(shape) < LARGE:
        random = np.random.default_rng().random
        while True:
            array = random(shape)
            if stamped:
                array[0] = time.monotonic()
            yield array
    for array in itertools.cycle([np.ones(shape) for _ in range(BUFFERS)]):
        array.fill(1.0)
        yield array


def source(
    push: zmq.Socket[bytes], arrays: Iterator[Array], rate: float, apart: bool
) -> None:  # fmt: skip
    """Send arrays, at a rate if there is one."""
    due = time.monotonic()
    trackers: list[zmq.MessageTracker] = []
    for number in itertools.count():
        if rate:  # it waits before an array is made: what that says of its age is true
            due = max(due + 1 / rate, time.monotonic())  # what was missed is missed
            time.sleep(max(0.0, due - time.monotonic()))
        if len(trackers) == BUFFERS - 1:
            trackers.pop(0).wait()  # its buffer is free again
        if (tracker := send(push, number, next(arrays), apart)) is not None:
            trackers.append(tracker)


def pipe(
    messages: Iterable[tuple[int, Array]], push: zmq.Socket[bytes],
    work: Callable[[Array], Array], apart: bool,
) -> None:  # fmt: skip
    """Receive, do the work, send."""
    for number, array in messages:
        send(push, number, work(array), apart)


def sink(messages: Iterable[tuple[int, Array]], latency: bool) -> None:
    """Receive, and print a line each."""
    write, flush = sys.stdout.write, sys.stdout.flush
    for _, array in messages:
        if latency:
            write(f"{(time.monotonic() - array[0]) * 1e6:.1f}\n")
        else:
            write(f"a: shape={array.shape} <class 'float'>\n")
        flush()


def send(
    push: zmq.Socket[bytes], number: int, array: Array, apart: bool
) -> zmq.MessageTracker | None:  # fmt: skip
    """Send one array; for a large one, return what tells when its buffer is free."""
    prefix = PREFIX.pack(b"rawzmq--", number, array.nbytes, 0, 0)
    if not apart:
        push.send(prefix + array.tobytes())
        return None
    push.send(prefix, zmq.SNDMORE)
    if array.nbytes < LARGE:
        push.send(array.data)
        return None
    return push.send(array.data, copy=False, track=True)


def received(
    pull: zmq.Socket[bytes], shape: tuple[int, ...], apart: bool
) -> Iterator[tuple[int, Array]]:  # fmt: skip
    """Receive arrays; two-dimensional ones with rows of any length."""
    large = 8 * int(np.prod(shape)) >= LARGE
    while True:
        message = pull.recv()
        number = PREFIX.unpack_from(message)[1]
        if not apart:
            array = np.frombuffer(message, offset=PREFIX.size)
        elif large:
            array = np.frombuffer(pull.recv(copy=False).buffer)
        else:
            array = np.frombuffer(pull.recv())
        yield number, array if len(shape) == 1 else array.reshape(-1, shape[-1])


def _reshaped(array: Array) -> Array:
    return array.reshape(array.shape[0] // 2, -1)


WORKS: dict[str, Callable[[Array], Array]] = {
    "same": lambda array: array,
    "reshape": _reshaped,
    "slice": lambda array: array[1:-1],
    "new": lambda array: np.negative(array),
}


if __name__ == "__main__":
    try:
        main()
    except (KeyboardInterrupt, BrokenPipeError):
        sys.stderr.close()
