"""Echo requests to a host, all at once: ``python pings.py ADDRESS COUNT`` prints ANSWERED MEAN_S.

There is no `ping` on some machines, and one request after the other takes long where many are lost.
"""

from __future__ import annotations

import socket
import struct
import sys
import time

_REQUEST, _REPLY, _NUMBER = 8, 0, 4711
_WAIT_S = 1.0
_SO_RCVBUFFORCE = 33


def _request(sequence: int) -> bytes:
    body = struct.pack(">BBHHH", _REQUEST, 0, 0, _NUMBER, sequence)
    total = sum(struct.unpack(">4H", body))
    total = (total >> 16) + (total & 0xFFFF)
    return struct.pack(">BBHHH", _REQUEST, 0, ~total & 0xFFFF, _NUMBER, sequence)


def main(address: str, count: int) -> None:
    """Send all, then count the answers that come within a second of the last one."""
    sent: dict[int, float] = {}
    times: dict[int, float] = {}
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.getprotobyname("icmp")) as line:
        # All answers may be there before the first one is read.
        line.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 1 << 24)
        line.settimeout(_WAIT_S)
        for sequence in range(count):
            sent[sequence] = time.monotonic()
            line.sendto(_request(sequence), (address, 0))
        while len(times) < count:
            try:
                packet = line.recv(2048)
            except TimeoutError:
                break
            kind, _, _, number, sequence = struct.unpack_from(">BBHHH", packet, 20)
            if (kind, number) == (_REPLY, _NUMBER):
                times[sequence] = time.monotonic() - sent[sequence]
    print(len(times), sum(times.values()) / len(times) if times else 0.0)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
