"""A chain of processes on plain TCP sockets: what the network and the kernel allow at all.

    python rawtcp.py source --listen ADDRESS:PORT --bytes N
    python rawtcp.py pipe --connect ADDRESS:PORT --listen ADDRESS:PORT --bytes N
    python rawtcp.py sink --connect ADDRESS:PORT --bytes N

Frames of one size follow one another: no header, no copy but the kernel's own. The last process
prints a line for each frame, as `--to-summary` does.
"""

from __future__ import annotations

import argparse
import socket
import sys
import time

#: Small frames are sent and received many at a time, as any stream is.
_AT_ONCE = 1 << 16
_DEADLINE_S = 30.0


def main() -> None:
    """Be one process of the chain until it is killed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("role", choices=("source", "pipe", "sink"))
    parser.add_argument("--listen", default="")
    parser.add_argument("--connect", default="")
    parser.add_argument("--bytes", type=int, required=True)
    options = parser.parse_args()
    together = max(1, _AT_ONCE // options.bytes)
    buffer = bytearray(options.bytes * together)
    # It listens before it waits for whoever is before it: the chain may start in any order.
    server = _listening(options.listen) if options.listen else None
    read = _connected(options.connect) if options.connect else None
    write = server.accept()[0] if server is not None else None
    if write is not None:
        write.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    line = f"a: {options.bytes} bytes\n" * together
    while read is None or _filled(read, buffer):
        if write is not None:
            write.sendall(buffer)
        else:
            sys.stdout.write(line)
            sys.stdout.flush()


def _listening(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    return socket.create_server((host, int(port)))


def _connected(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    deadline = time.monotonic() + _DEADLINE_S
    while True:
        try:
            return socket.create_connection((host, int(port)), timeout=None)
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def _filled(read: socket.socket, buffer: bytearray) -> bool:
    """Fill a buffer; tell whether there was enough for it."""
    view = memoryview(buffer)
    while view:
        count = read.recv_into(view)
        if not count:
            return False
        view = view[count:]
    return True


if __name__ == "__main__":
    try:
        main()
    except (KeyboardInterrupt, BrokenPipeError, ConnectionError):
        sys.stderr.close()
