"""Messages that no honest peer sends: at wire level, and thrown at live sockets.

`prefixes` and `bodies` are the two halves; `corpus` is all of them as multipart messages for one
edge; `controls` is what can be said to a broker; `noise` is for peers that do not speak ZeroMQ.
Each entry has a name that says what is wrong with it.
"""

from __future__ import annotations

import pickle
import struct
from typing import Any

import msgpack
import numpy as np

from camagick_broker.wire import PREFIX, Head, Kind, pack

#: Set by unpickling `POISON`; no test may ever see it set.
DETONATED: list[bool] = []
HUGE = 2**63


class Bomb:
    """Pickled, it is a call of `detonate`."""

    def __reduce__(self) -> tuple[Any, ...]:
        return detonate, ()


def detonate() -> np.ndarray:
    DETONATED.append(True)
    return np.zeros(3)


POISON = pickle.dumps(Bomb())


def small(**changes: Any) -> dict[bytes, Any]:
    """Return an array as msgpack-numpy writes it, with changes."""
    content = {b"nd": True, b"type": "<f8", b"kind": b"", b"shape": [2], b"data": bytes(16)}
    return {**content, **{key.encode(): value for key, value in changes.items()}}


def scalar(**changes: Any) -> dict[bytes, Any]:
    content = {b"nd": False, b"type": "<f8", b"data": bytes(8)}
    return {**content, **{key.encode(): value for key, value in changes.items()}}


def ext(code: int, content: Any) -> msgpack.ExtType:
    return msgpack.ExtType(code, msgpack.packb(content))


def body_of(value: Any) -> bytes:
    """Return the body of a message that says `value` for one tag."""
    return bytes(msgpack.packb([{}, [], [["tag", 1, None, None, value]]]))


def nested(code: int, depth: int) -> bytes:
    packed = b"\x90"
    for _ in range(depth):
        packed = msgpack.packb(msgpack.ExtType(code, b"\x91" + packed))
    return _LEAD + packed


_VALUES: dict[str, Any] = {
    "dtype object": small(type="|O", data=POISON),
    "dtype object, kind object": small(type=[["", "|O"]], kind=b"O", data=POISON),
    "kind object, innocent dtype": small(kind=b"O", data=POISON + bytes(16 - len(POISON) % 16)),
    "kind object, innocent dtype, right size": small(kind=b"O"),
    "kind void": small(type=[["a", "<f8"]], kind=b"V"),
    "structured dtype by name": small(type="i4,f4"),
    "subarray dtype": small(type="(2,)f8", shape=[1]),
    "syntax error in dtype": small(type="(1 2)f8"),
    "void dtype": small(type="|V8"),
    "dtype of no length, many of it": small(type="<U0", shape=[2**40], data=b""),
    "dtype of negative length": small(type="<U-1", data=b""),
    "dtype of huge length": small(type="|S99999999999999999999", data=b""),
    "dtype that is deprecated": small(type="|a8"),
    "dtype as number": small(type=8),
    "dtype as map": small(type={"names": ["a"], "formats": ["<f8"]}),
    "dtype of another alphabet": small(type=b"\xff\xfe"),
    "dtype very long": small(type="<f8" * 1000),
    "dtype that does not exist": small(type="<f3"),
    "time without a unit that exists": small(type="<M8[zz]"),
    "shape too large": small(shape=[3]),
    "shape too small": small(shape=[1]),
    "shape negative": small(shape=[-2, -1]),
    "shape huge": small(shape=[HUGE, HUGE]),
    "shape huge, and empty": small(shape=[0, HUGE], data=b""),
    "shape with fractions": small(shape=[2.0]),
    "shape of truth": small(shape=[True, 2]),
    "shape no list": small(shape=2),
    "shape of very many dimensions": small(shape=[1] * 65 + [2]),
    "data as text": small(data="0" * 16),
    "data as number": small(data=0),
    "text that does not exist": small(type="<U4", shape=[1], data=b"\xff" * 16),
    "scalar object": scalar(type="|O", data=POISON),
    "scalar too long": scalar(data=bytes(16)),
    "scalar of nothing": scalar(data=b""),
    "scalar text that does not exist": scalar(type="<U2", data=b"\xff" * 8),
    "complex that is none": {b"complex": True, b"data": "one"},
    "complex of bytes": {b"complex": True, b"data": b"1j"},
    "complex very long": {b"complex": True, b"data": "1" * 1000 + "j"},
    "buffer that is not there": ext(2, [0, "<f8", [2]]),
    "buffer of negative number": ext(2, [-1, "<f8", [2]]),
    "buffer of huge number": ext(2, [HUGE, "<f8", [2]]),
    "buffer without number": ext(2, ["0", "<f8", [2]]),
    "buffer described too shortly": ext(2, [0]),
    "buffer no list": ext(2, 0),
    "shared memory that nobody has": ext(3, [0, 1, 0, "<f8", [2], [8]]),
    "unknown extension": ext(42, [1]),
    "tuple no list": ext(1, {"a": 1}),
    "tuple of garbage": msgpack.ExtType(1, b"\xc1\xc1"),
    "tuple of nothing": msgpack.ExtType(1, b""),
}


#: All of a body before its only value.
_LEAD = b"\x93\x80\x90\x91\x95\xa1t\x01\xc0\xc0"


def bodies() -> list[tuple[str, bytes]]:
    """Return bodies that cannot be read."""
    row = ["tag", 1, None, None, 1.0]
    found = [(name, body_of(value)) for name, value in _VALUES.items()]
    found += [
        ("empty body", b""),
        ("body of garbage", b"\xc1" * 20),
        ("body with something behind it", body_of(1) + b"\x00"),
        ("body cut short", body_of([1, 2, 3])[:-1]),
        ("body no list", bytes(msgpack.packb({"a": 1}))),
        ("body of two parts", bytes(msgpack.packb([{}, []]))),
        ("lineage no map", bytes(msgpack.packb([[], [], [row]]))),
        ("lineage of text", bytes(msgpack.packb([{"a": 1}, [], [row]]))),
        ("entries no list", bytes(msgpack.packb([{}, [], 5]))),
        ("entries as map", bytes(msgpack.packb([{}, [], {"abcde": 1}]))),
        ("entry too short", bytes(msgpack.packb([{}, [], [row[:4]]]))),
        ("entry as text", bytes(msgpack.packb([{}, [], ["abcde"]]))),
        ("tag as number", bytes(msgpack.packb([{}, [], [[7, *row[1:]]]]))),
        ("maker as text", bytes(msgpack.packb([{}, [], [["t", "1", None, None, 1]]]))),
        ("origin as number", bytes(msgpack.packb([{}, [], [["t", 1, 1, None, 1]]]))),
        ("attributes no map", bytes(msgpack.packb([{}, [], [["t", 1, None, 3, 1]]]))),
        ("attribute without name", bytes(msgpack.packb([{}, [], [["t", 1, None, {1: 2}, 1]]]))),
        ("timestamp out of range", _LEAD + b"\xc7\x0c\xff" + b"\xff" * 12),
        ("map with a list as key", _LEAD + b"\x81\x91\x01\x01"),
        ("text that is no utf-8", b"\x93\x80\x90\x91\x95\xa1\xff\x01\xc0\xc0\x01"),
        ("list that claims to be endless", b"\x93\x80\x90\xdd\xff\xff\xff\xff"),
        ("map that claims to be endless", b"\x93\xdf\xff\xff\xff\xff\x90\x90"),
        ("bytes that claim to be endless", _LEAD + b"\xc6\xff\xff\xff\xff"),
        ("extension that claims to be endless", b"\x93\x80\x90\x91\xc9\xff\xff\xff\xff\x01"),
        ("lists in lists", b"\x91" * 100_000),
        ("tuples in tuples", nested(1, 2000)),
        ("buffers in buffers", nested(2, 2000)),
    ]  # fmt: skip
    return found


def changed(frame: bytes, offset: int, new: bytes) -> bytes:
    return frame[:offset] + new + frame[offset + len(new) :]


def prefixes(run: bytes, edge: int, seq: int) -> list[tuple[str, bytes]]:
    """Return first frames that are no message of this run, around a body that is one."""
    good = pack(Head(Kind.DATA, run, edge, edge, seq), body_of(1.0))
    length = struct.Struct("<I")
    size = len(good) - PREFIX.size
    return [
        ("nothing", b""),
        ("one byte", b"C"),
        ("cut in the prefix", good[: PREFIX.size - 1]),
        ("cut in the body", good[:-1]),
        ("something behind it", good + b"\0"),
        ("garbage", bytes(range(256))),
        ("http request", b"GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: curl/8.0\r\n\r\n" * 2),
        ("tls hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(80)),
        ("port scanner", b"\r\n\r\n" + bytes(100)),
        ("wrong magic", changed(good, 0, b"CSPZ")),
        ("older version", changed(good, 4, b"\0")),
        ("newer version", changed(good, 4, b"\2")),
        ("wrong run", changed(good, 8, bytes(a ^ 255 for a in run))),
        ("no kind", changed(good, 5, b"\0")),
        ("unknown kind", changed(good, 5, b"\xff")),
        ("body said to be longer", changed(good, 56, length.pack(size + 1))),
        ("body said to be shorter", changed(good, 56, length.pack(size - 1))),
        ("body said to be huge", changed(good, 56, length.pack(2**32 - 1))),
        ("endless buffers", changed(good, 36, length.pack(2**32 - 1))),
    ]


def corpus(run: bytes, edge: int, seq: int) -> list[tuple[str, list[bytes]]]:
    """Return hostile messages for the input from `edge` that expects iteration `seq`."""
    right = Head(Kind.DATA, run, edge, edge, seq)
    found = [(name, [frame]) for name, frame in prefixes(run, edge, seq)]
    found += [(name, [pack(right, body)]) for name, body in bodies()]
    good = body_of(1.0)
    two = body_of([ext(2, [0, "<f8", [2]]), ext(2, [1, "<f8", [2]])])
    found += [
        ("another edge", [pack(right._replace(edge=edge + 1), good)]),
        ("another sender", [pack(right._replace(sender=edge + 1), good)]),
        ("an actor that does not exist", [pack(right._replace(edge=2**32 - 1), good)]),
        ("a buffer that was not announced", [pack(right, good), bytes(16)]),
        ("a buffer that is missing", [pack(right._replace(buffers=2), two), bytes(16)]),
        ("a buffer too short", [pack(right._replace(buffers=2), two), bytes(16), bytes(15)]),
        ("a buffer nobody speaks of", [pack(right._replace(buffers=1), good), bytes(16)]),
        ("object in a buffer", [
            pack(right._replace(buffers=1), body_of(ext(2, [0, "|O", [1]]))), POISON,
        ]),
        ("stale descriptor", [
            pack(right._replace(shared=7), body_of(ext(3, [0, 6, 0, "<f8", [2], [8]]))),
        ]),
    ]  # fmt: skip
    found += [
        (f"{kind.name} where data belongs", [pack(right._replace(kind=kind))])
        for kind in Kind if kind not in (Kind.DATA, Kind.END, Kind.PROBE)
    ]  # fmt: skip
    return found


#: ZMTP 3.0: signature, version, mechanism NULL, as a client, padding.
GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)


def ready(kind: bytes) -> bytes:
    """Return ZMTP's command that says which type of socket a peer is."""
    content = b"\x05READY\x0bSocket-Type" + len(kind).to_bytes(4, "big") + kind
    return b"\x04" + bytes([len(content)]) + content


def noise() -> list[tuple[str, bytes]]:
    """Return what scanners, browsers and broken programs say to a socket."""
    huge, large = (b"\x02" + size.to_bytes(8, "big") for size in (2**62, 2**31 - 1))
    return [
        ("nothing", b""),
        ("one byte", b"\xff"),
        ("garbage", bytes(range(256)) * 8),
        ("zeros", bytes(5000)),
        ("http request", b"GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: curl/8.0\r\n\r\n"),
        ("tls hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500)),
        ("ssh", b"SSH-2.0-OpenSSH_9.6\r\n"),
        ("greeting cut short", GREETING[:11]),
        ("greeting cut in the mechanism", GREETING[:20]),
        ("greeting of an old version", b"\xff" + bytes(8) + b"\x7f\x00" + bytes(100)),
        ("greeting of an unknown mechanism", GREETING.replace(b"NULL", b"EVIL")),
        ("greeting and garbage", GREETING + b"\xff" * 200),
        ("greeting and a huge command", GREETING + b"\x06" + (2**62).to_bytes(8, "big")),
        ("wrong type of socket", GREETING + ready(b"REQ") + huge),
        ("no type of socket", GREETING + b"\x04\x06\x05READY"),
        ("a type that does not exist", GREETING + ready(b"EVIL")),
        ("right type and a huge message", GREETING + ready(b"PUSH") + huge),
        ("right type and 2 GiB", GREETING + ready(b"PUSH") + large),
    ]  # fmt: skip


def controls(run: bytes) -> list[tuple[str, list[bytes]]]:
    """Return what a stranger may say to a broker of this run."""
    entry = {
        "name": "a.1", "pid": 1, "incarnation": 99, "data": "ipc:///evil", "back": "ipc:///evil",
        "loop": "ipc:///evil", "multicast": False, "ready": True, "going": True,
    }  # fmt: skip
    deep: dict[str, Any] = {}
    for _ in range(500):
        deep = {"a": deep}
    words: dict[str, dict[str, Any]] = {
        "register": {"op": "register", **entry},
        "register with the wrong types": {"op": "register", **dict.fromkeys(entry, 1.5)},
        "register with nothing": {"op": "register"},
        "ready": {"op": "ready"},
        "statistics": {"op": "statistics", "seq": 2**63},
        "statistics in statistics": {"op": "statistics", "in": deep},
        "statistics without end": {"op": "statistics", **{str(n): n for n in range(20_000)}},
        "statistics that are none": {"op": "statistics", "in": [b"\0" * 1000]},
        "an answer": {"op": "directory", "actors": {1: entry}},
        "unknown": {"op": "shutdown"},
        "a method of Python": {"op": "_class__"},
        "nothing at all": {"op": ""},
    }
    found = [
        (f"{name}, as actor {sender}", [pack(Head(Kind.CONTROL, run, 0, sender, 0), _packed(word))])
        for name, word in words.items()
        for sender in (0, 1, 2, 2**32 - 1)
    ]
    odd = (b"", b"\xc1", b"\x90", b"\x80", b"\x81\xa2op\x01", POISON, b"\x91" * 10_000)
    found += [
        (f"body {body[:8]!r}", [pack(Head(Kind.CONTROL, run, 0, 1, 0), body)]) for body in odd
    ]
    return [*found, ("too many frames", [b"", *found[0][1]]), ("very many frames", [b"x"] * 5000)]


def _packed(content: Any) -> bytes:
    return bytes(msgpack.packb(content))
