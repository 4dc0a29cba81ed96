"""A chain of processes on plain ZeroMQ sockets: the same work as a pipe, and nothing else.

    python rawzmq.py ROLE --input URL --output URL --shape 2048 2048 [--work view]

PUSH binds, PULL connects. Each message is a prefix of 40 bytes and the array; arrays from 16 KiB on
are sent and received without a copy, as a frame of their own. Nothing is retained, acknowledged or
checked. The last process prints a line for each message, as `--to-summary` does.
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
    from collections.abc import Callable, Iterator

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
    parser.add_argument("--latency", action="store_true", help="print the age of each message")
    options = parser.parse_args()
    context = zmq.Context()
    pull, push = context.socket(zmq.PULL), context.socket(zmq.PUSH)
    for socket in (pull, push):
        socket.linger = 0
        socket.sndhwm = socket.rcvhwm = options.hwm
    if options.output:
        push.bind(options.output)
    if options.input:
        pull.connect(options.input)
    shape = tuple(options.shape)
    if options.role == "source":
        source(push, made(shape, options.latency), options.rate)
    elif options.role == "pipe":
        pipe(pull, push, shape, WORKS[options.work])
    else:
        sink(pull, shape, options.latency)


def made(shape: tuple[int, ...], stamped: bool) -> Iterator[Array]:
    """Make arrays: small ones of random numbers, large ones by writing each number once."""
    if 8 * np.prod(shape) < LARGE:
        random = np.random.default_rng().random
        while True:
            array = random(shape)
            if stamped:
                array[0] = time.monotonic()
            yield array
    ones = np.ones(shape)
    for array in itertools.cycle([np.ones(shape) for _ in range(BUFFERS)]):
        np.copyto(array, ones)
        yield array


def source(push: zmq.Socket[bytes], arrays: Iterator[Array], rate: float) -> None:
    """Send arrays, at a rate if there is one."""
    due = time.monotonic()
    trackers: list[zmq.MessageTracker] = []
    # Waits before an array is made: what it says of its age is true.
    for number in itertools.count():
        if rate:
            due += 1 / rate
            time.sleep(max(0.0, due - time.monotonic()))
        if len(trackers) == BUFFERS - 1:
            trackers.pop(0).wait()  # its buffer is free again
        if (tracker := send(push, number, next(arrays))) is not None:
            trackers.append(tracker)


def pipe(
    pull: zmq.Socket[bytes], push: zmq.Socket[bytes], shape: tuple[int, ...],
    work: Callable[[Array], Array],
) -> None:  # fmt: skip
    """Receive, do the work, send."""
    for number, array in received(pull, shape):
        send(push, number, work(array))


def sink(pull: zmq.Socket[bytes], shape: tuple[int, ...], latency: bool) -> None:
    """Receive, and print a line each."""
    write, flush = sys.stdout.write, sys.stdout.flush
    for _, array in received(pull, shape):
        if latency:
            write(f"{(time.monotonic() - array[0]) * 1e6:.1f}\n")
        else:
            write(f"a: shape={array.shape} <class 'float'>\n")
        flush()


def send(push: zmq.Socket[bytes], number: int, array: Array) -> zmq.MessageTracker | None:
    """Send one array."""
    prefix = PREFIX.pack(b"rawzmq--", number, array.nbytes, 0, 0)
    if array.nbytes < LARGE:
        push.send(prefix + array.tobytes())
        return None
    push.send(prefix, zmq.SNDMORE)
    return push.send(array, copy=False, track=True)


def received(pull: zmq.Socket[bytes], shape: tuple[int, ...]) -> Iterator[tuple[int, Array]]:
    """Receive arrays."""
    if 8 * np.prod(shape) < LARGE:
        while True:
            message = pull.recv()
            number = PREFIX.unpack_from(message)[1]
            yield number, np.frombuffer(message, offset=PREFIX.size)
    while True:
        prefix = pull.recv()
        frame = pull.recv(copy=False)
        yield PREFIX.unpack(prefix)[1], np.frombuffer(frame.buffer).reshape(-1, shape[-1])


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
