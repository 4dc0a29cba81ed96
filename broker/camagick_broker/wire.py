"""The fixed prefix of every message on the bus. No I/O.

A message is one ZeroMQ multipart message: ``[topic]`` (multicast edges only), then one frame with
this prefix and a msgpack body behind it, then the raw buffers that the body refers to. The prefix
alone is enough to acknowledge, to order, to drop a duplicate or to pass a message on.

======  ============  ==========================================================================
offset  field         meaning
======  ============  ==========================================================================
0       magic         ``CSPY``
4       version       1
5       kind          what the message is, see `Kind`
6       flags         bit 0 of DATA: the iteration is another worker's, see `PASSED`
8       run           8 random bytes: messages of another run are refused
16      edge          number of the producer whose output the message is about
20      sender        number of the actor that sends
24      incarnation   how often the sender has been started, from 1
28      attempt       how often the sender had been started when it first made this message
32      generation    of the shared memory that the body refers to; 0 for none
36      buffers       number of raw buffers behind this frame
40      seq           iteration
48      sent_ns       when it was sent, nanoseconds since the epoch; 0 for not said.
                      Of a STATE: bytes of the largest message that its sender, or anybody
                      behind it, has lately made
56      body          length of the body in bytes
======  ============  ==========================================================================

All numbers are little-endian and unsigned.
"""

from __future__ import annotations

import enum
import struct
from typing import NamedTuple

from camagick_broker.errors import LocalProtocolError, RemoteProtocolError

MAGIC = b"CSPY"
VERSION = 1
PREFIX = struct.Struct("<4sBBH8sIIIIIIQQI")
RUN_BYTES = 8
#: No frame of a message may be larger, in bytes; ZeroMQ itself refuses what is.
MAX_FRAME_BYTES = 1 << 31
MAX_BUFFERS = 4096
#: Flag of a DATA that is empty because its sender shares its work, and it was another one's turn.
PASSED = 1


class Kind(enum.IntEnum):
    """What a message is."""

    DATA = 1  # producer to consumer: one iteration
    END = 2  # producer to consumer: there is no iteration `seq`, nor any after it
    HELLO = 3  # consumer to producer: I am here, and expect `seq`
    STATE = 4  # consumer to producer: everything below `seq` has ended downstream of me
    RESEND = 5  # consumer to producer: send again from `seq`
    STOP = 6  # consumer to producer: I want no more
    LEFT = 7  # gate to head: everything below `seq` has left me
    ENDED = 8  # last actor to head: everything below `seq` has ended
    ARMED = 9  # head to leading head: I could start everything below `seq`
    GO = 10  # leading head to head: start everything below `seq`
    CONTROL = 11  # to and from the broker: the body says what
    BYE = 12  # producer to consumer: I know that you have everything, and the end
    PROBE = 13  # producer to consumer: I have made everything below `seq`; how far are you?


class Head(NamedTuple):
    """The prefix of one message, in words; see the module's table."""

    kind: Kind
    run: bytes
    edge: int
    sender: int
    seq: int
    incarnation: int = 1
    attempt: int = 1
    generation: int = 0
    flags: int = 0
    buffers: int = 0
    sent_ns: int = 0

    @property
    def largest(self) -> int:
        """Of a STATE, bytes of the largest message that was lately made from its sender on."""
        return self.sent_ns


def pack(head: Head, body: bytes = b"") -> bytes:
    """Return the first frame of a message: prefix and body.

    Raises
    ------
    LocalProtocolError
        For what a receiver would refuse: a number that does not fit, too many or too large frames.
    """
    if len(head.run) != RUN_BYTES:
        raise LocalProtocolError(f"a run is {RUN_BYTES} bytes, not {head.run!r}")
    if head.buffers > MAX_BUFFERS:
        raise LocalProtocolError(
            f"{head.buffers} large arrays in one message, {MAX_BUFFERS} can travel"
        )
    if PREFIX.size + len(body) > MAX_FRAME_BYTES:
        raise LocalProtocolError(f"a body of {len(body)} bytes, {MAX_FRAME_BYTES} can travel")
    try:
        prefix = PREFIX.pack(
            MAGIC, VERSION, head.kind, head.flags, head.run, head.edge, head.sender,
            head.incarnation, head.attempt, head.generation, head.buffers, head.seq,
            head.sent_ns, len(body),
        )  # fmt: skip
    except struct.error as error:
        raise LocalProtocolError(f"cannot send {head}: {error}") from None
    return prefix + body


def unpack(
    frame: memoryview | bytes | bytearray, run: bytes | None = None
) -> tuple[Head, memoryview]:
    """Take a first frame apart.

    Parameters
    ----------
    frame
        Prefix and body.
    run
        The run that it has to belong to; None for any.

    Returns
    -------
    (Head, memoryview)
        The prefix, and the body as a view into `frame`.

    Raises
    ------
    RemoteProtocolError
        With the reason, for anything that is not exactly such a frame.
    """
    view = memoryview(frame)
    if len(view) < PREFIX.size:
        raise RemoteProtocolError(
            f"too short for a message: {len(view)} bytes, the prefix alone has {PREFIX.size}"
        )
    (
        magic, version, kind, flags, its_run, edge, sender, incarnation, attempt, generation,
        buffers, seq, sent_ns, length,
    ) = PREFIX.unpack_from(view)  # fmt: skip
    if magic != MAGIC:
        raise RemoteProtocolError(f"not a message of caspy: it begins with {magic!r}")
    if version != VERSION:
        raise RemoteProtocolError(
            f"another version of the protocol: {version}, where this is {VERSION}"
        )
    if run is not None and its_run != run:
        raise RemoteProtocolError(f"a message of another run: {its_run.hex()}")
    if kind not in _KINDS:
        raise RemoteProtocolError(f"unknown kind of message: {kind}")
    _check_lengths(len(view) - PREFIX.size, length, buffers)
    head = Head(
        _KINDS[kind], its_run, edge, sender, seq, incarnation, attempt, generation, flags,
        buffers, sent_ns,
    )  # fmt: skip
    return head, view[PREFIX.size :]


def _check_lengths(present: int, said: int, buffers: int) -> None:
    if present != said:
        raise RemoteProtocolError(
            f"wrong length: {present} bytes of body, where the prefix says {said}"
        )
    if buffers > MAX_BUFFERS:
        raise RemoteProtocolError(f"too many buffers: {buffers}, at most {MAX_BUFFERS}")


_KINDS = {int(kind): kind for kind in Kind}
