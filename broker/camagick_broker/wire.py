"""The fixed prefix of every message on the bus. No I/O.

A message is one ZeroMQ multipart message: ``[topic]`` (multicast edges only), then one frame with
this prefix and a msgpack body behind it, then the raw buffers that the body refers to. The prefix
alone is enough to acknowledge, to order, to drop a duplicate or to pass a message on.

Messages to consumers that have no raw buffers may stand behind one another in one frame: a sender
that has several of them ready sends them so, since a frame costs more than what is in it.

======  ============  ==========================================================================
offset  field         meaning
======  ============  ==========================================================================
0       magic         ``CSPY``
4       version       1
5       kind          what the message is, see `Kind`
6       flags         of DATA: bit 0: the iteration is another worker's, see `PASSED`;
                      bit 1: its buffers are compressed, see `SQUEEZED`
8       run           8 random bytes: messages of another run are refused
16      edge          number of the producer whose output the message is about
20      sender        number of the actor that sends
24      incarnation   how often the sender has been started, from 1
28      attempt       how often the sender had been started when it first made this message
32      shared        KiB of arrays in shared memory that the body refers to; 0 for none
36      buffers       number of raw buffers behind this frame
40      seq           iteration
48      sent_ns       when it was sent, nanoseconds since the epoch; 0 for not said.
                      Of a STATE: bytes of the largest message that its sender, or anybody
                      behind it, has lately made, see `camagick_broker.sizes`
56      body          length of the body in bytes
======  ============  ==========================================================================

All numbers are little-endian and unsigned.
"""

from __future__ import annotations

import enum
import functools
import struct
from typing import Any, NamedTuple

from camagick_broker.construct import new_tuple
from camagick_broker.errors import LocalProtocolError, RemoteProtocolError

MAGIC = b"CSPY"
VERSION = 1
_START, _REST = struct.Struct("<4sBBH8sIIII"), struct.Struct("<IIQQI")
_SHARED = struct.Struct("<I")  # with which the rest begins
PREFIX_BYTES = _START.size + _REST.size
RUN_BYTES = 8
#: No frame of a message may be larger, in bytes; ZeroMQ itself refuses what is.
MAX_FRAME_BYTES = 1 << 31
MAX_BUFFERS = 4096
#: Flag of a DATA that is empty because its sender shares its work, and it was another one's turn.
PASSED = 1
#: Flag of a DATA whose buffers are compressed, see `camagick_broker.squeeze`.
SQUEEZED = 2


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
    shared: int = 0
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
    return pack_rest(
        pack_start(head), head.seq, head.buffers, head.sent_ns, body, shared=head.shared
    )


def pack_start(head: Head) -> bytes:
    """Return the part of a prefix that stays the same from message to message of one kind.

    Raises
    ------
    LocalProtocolError
        For a number that does not fit.
    """
    if len(head.run) != RUN_BYTES:
        raise LocalProtocolError(f"a run is {RUN_BYTES} bytes, not {head.run!r}")
    try:
        return _START.pack(
            MAGIC, VERSION, head.kind, head.flags, head.run, head.edge, head.sender,
            head.incarnation, head.attempt,
        )  # fmt: skip
    except struct.error as error:
        raise LocalProtocolError(f"cannot send {head}: {error}") from None


def pack_rest(
    start: bytes, seq: int, buffers: int, sent_ns: int, body: bytes, *, shared: int = 0
) -> bytes:
    """Return the first frame of a message that begins with `start`, see `pack`."""
    if buffers > MAX_BUFFERS:
        raise LocalProtocolError(f"{buffers} large arrays in one message, {MAX_BUFFERS} can travel")
    if PREFIX_BYTES + len(body) > MAX_FRAME_BYTES:
        raise LocalProtocolError(f"a body of {len(body)} bytes, {MAX_FRAME_BYTES} can travel")
    try:
        return start + _REST.pack(shared, buffers, seq, sent_ns, len(body)) + body
    except struct.error as error:
        raise LocalProtocolError(f"cannot send iteration {seq}: {error}") from None


def unpack(
    frame: memoryview | bytes | bytearray, run: bytes | None = None
) -> tuple[Head, memoryview]:
    """Take a first frame apart in which one message stands.

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
    found = unpack_all(frame, run)
    if len(found) > 1:
        raise RemoteProtocolError(f"{len(found)} messages in one frame, where one is expected")
    return found[0]


def unpack_all(
    frame: memoryview | bytes | bytearray, run: bytes | None = None
) -> list[tuple[Head, memoryview]]:
    """Take apart a first frame in which several messages may stand.

    Parameters
    ----------
    frame, run
        See `unpack`.

    Returns
    -------
    list of (Head, memoryview)
        At least one; none but the only one has raw buffers behind it.

    Raises
    ------
    RemoteProtocolError
        With the reason, for anything that is not exactly such a frame; nothing of it is used then.
    """
    view = memoryview(frame)
    size, end = len(view), 0
    found: list[tuple[Head, memoryview]] = []
    while end < size or not found:
        rest, at = end + _START.size, end + PREFIX_BYTES
        if at > size:
            raise RemoteProtocolError(
                f"too short for a message: {size - end} bytes, the prefix alone has {PREFIX_BYTES}"
            )
        kind, its_run, edge, sender, incarnation, attempt, flags = _read_start(
            bytes(view[end:rest]), run
        )
        shared, buffers, seq, sent_ns, length = _REST.unpack_from(view, rest)
        end = at + length
        if end > size or buffers > MAX_BUFFERS:
            raise _wrong_length(size - at, length, buffers)
        head = new_tuple(Head, (
            kind, its_run, edge, sender, seq, incarnation, attempt, shared, flags, buffers,
            sent_ns,
        ))  # fmt: skip
        found.append((head, view[at:end]))
    if len(found) > 1 and any(head.buffers for head, _ in found):
        raise RemoteProtocolError("several messages in one frame, and raw buffers behind it")
    return found


@functools.lru_cache(maxsize=64)
def _read_start(start: bytes, run: bytes | None) -> tuple[Any, ...]:
    """Check the part of a prefix that hardly ever changes."""
    (
        magic, version, kind, flags, its_run, edge, sender, incarnation, attempt,
    ) = _START.unpack(start)  # fmt: skip
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
    return _KINDS[kind], its_run, edge, sender, incarnation, attempt, flags


def shared_bytes(frame: bytes) -> int:
    """Return how many bytes of arrays in shared memory a message refers to, about.

    Parameters
    ----------
    frame
        Its first frame, as `pack` returned it.
    """
    return int(_SHARED.unpack_from(frame, _START.size)[0]) << 10


def _wrong_length(present: int, said: int, buffers: int) -> RemoteProtocolError:
    if present < said:
        return RemoteProtocolError(
            f"wrong length: {present} bytes of body, where the prefix says {said}"
        )
    return RemoteProtocolError(f"too many buffers: {buffers}, at most {MAX_BUFFERS}")


_KINDS = {int(kind): kind for kind in Kind}
