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

from camagick_broker.wire import PREFIX_BYTES, Head, Kind, pack

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


def template_of(form: Any, attributes: Any = None) -> list[Any]:
    """Return the template of a message that has one tag, whose value has this form."""
    return [{}, [], [["tag", 1, None, form, attributes]]]


def packed_body(template: Any, rest: bytes = b"") -> bytes:
    """Return a body of a template, as it is or packed, and what stands behind it."""
    packed = template if isinstance(template, bytes) else bytes(msgpack.packb(template))
    head = struct.pack("<I", len(packed)) + packed
    return head + bytes(-len(head) % 8) + rest


def body_of(value: Any) -> bytes:
    """Return the body of a message that says `value` for one tag, loosely."""
    return packed_body(template_of("loose"), bytes(msgpack.packb([value])))


def nested(code: int, depth: int) -> bytes:
    packed = b"\x90"
    for _ in range(depth):
        packed = msgpack.packb(msgpack.ExtType(code, b"\x91" + packed))
    return packed_body(template_of("loose"), b"\x91" + packed)


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


def _templates() -> dict[str, Any]:
    """Return templates that are none, by what is wrong with them."""
    row = ["tag", 1, None, "float", None]
    attributes: dict[str, Any] = {
        "no map": 3, "a list": [], "without name": {1: ["mm"]}, "of no form": {"a": None},
        "of an unknown form": {"a": "f8"}, "of two texts": {"a": ["b", "c"]},
        "of bytes": {"a": [b"b"]}, "of a number": {"a": [1]}, "in one another": {"a": {"b": "int"}},
    }  # fmt: skip
    forms: dict[str, Any] = {
        "nothing": None, "a number": 1, "a map": {}, "an empty list": [], "a text": ["a"],
        "no word": "", "another word": "floats", "codes of struct": "999999999s",
        "an object": "|O", "a void": "|V8", "text": "<U4", "times": "<M8[s]", "big-endian": ">f8",
        "a list of a word": ["loose"], "where nothing can be": [4, "<f8", [2]],
        "a varying shape of sizes": [1, "<f8", [2]], "a varying shape of truth": [1, "<f8", True],
        "too many dimensions": [1, "<f8", 65], "dimensions below 0": [1, "<f8", -1],
        "varying objects": [1, "|O", 1],
        "truth where an array is": [True, "<f8", 0],
        "where something might be": [True, "<f8", [2]], "where nobody knows": ["0", "<f8", [2]],
        "an array of objects": [0, "|O", [2]], "a buffer of objects": [2, "|O", [2]],
        "a slot of objects": [3, "|O", [2], [8]], "an array of structures": [0, "i4,f4", [2]],
        "a dtype of no length": [0, "<U0", [2**40]], "a dtype that is a map": [0, {}, [2]],
        "an array without shape": [0, "<f8"], "a shape of fractions": [0, "<f8", [2.0]],
        "a negative shape": [0, "<f8", [-2]], "a shape of truth": [0, "<f8", [True]],
        "a slot without strides": [3, "<f8", [2]], "strides of text": [3, "<f8", [2], ["8"]],
        "no strides": [3, "<f8", [2], None], "a list of too much": [0, "<f8", [2], 1, 1],
    }  # fmt: skip
    return {
        "template of two parts": [{}, []],
        "template no list": {"a": 1},
        "lineage no map": [[], [], [row]],
        "lineage of text": [{"a": 1}, [], [row]],
        "lineage of fractions": [{1: 1.5}, [], [row]],
        "entries no list": [{}, [], 5],
        "entries as map": [{}, [], {"abcde": 1}],
        "entry too short": [{}, [], [row[:4]]],
        "entry as text": [{}, [], ["abcde"]],
        "entry as extension": [{}, [], [msgpack.ExtType(5, b"abcde")]],
        "tag as number": [{}, [], [[7, *row[1:]]]],
        "maker as text": [{}, [], [["t", "1", *row[2:]]]],
        "maker of truth": [{}, [], [["t", True, *row[2:]]]],
        "origin as number": [{}, [], [["t", 1, 1, "float", None]]],
        **{f"attributes {name}": template_of("float", one) for name, one in attributes.items()},
        **{f"form: {name}": template_of(one) for name, one in forms.items()},
        "text that is no utf-8": b"\x93\x80\x90\x91\x95\xa1\xff\x01\xc0\xa5float\xc0",
        "list that claims to be endless": b"\x93\x80\x90\xdd\xff\xff\xff\xff",
        "map that claims to be endless": b"\x93\xdf\xff\xff\xff\xff\x90\x90",
        "lists in lists": b"\x91" * 100_000,
        "template of garbage": b"\xc1" * 20,
        "template of nothing": b"",
        "template cut short": bytes(msgpack.packb(template_of("float")))[:-1],
        "template with something behind it": bytes(msgpack.packb(template_of("float"))) + b"\0",
    }


def _behind_templates() -> dict[str, bytes]:
    """Return bodies with a good template, and something else than it says."""
    numbers = template_of("float", {"a": "int", "unit": ["mm"]})
    array, text = template_of([0, "<f8", [2]]), template_of([0, "<U4", [1]])
    varying = template_of([1, "<f8", 2])
    slot, loose = template_of([3, "<f8", [2], [8]]), template_of("loose", {"a": "loose"})
    said = packed_body(numbers, bytes(16))
    return {
        "numbers that are missing": packed_body(numbers),
        "numbers cut short": packed_body(numbers, bytes(15)),
        "numbers, and something behind them": packed_body(numbers, bytes(17)),
        "an array that is missing": packed_body(array),
        "an array too short": packed_body(array, bytes(15)),
        "an array too long": packed_body(array, bytes(24)),
        "an array of any length": packed_body(template_of([0, "<f8", [HUGE, HUGE]]), bytes(16)),
        "an empty array of any length": packed_body(template_of([0, "<f8", [0, HUGE]])),
        "an array of many dimensions": packed_body(template_of([0, "<f8", [1] * 65]), bytes(8)),
        "an array without the padding behind it": packed_body(
            template_of([0, "|u1", [3]]), bytes(3)
        ),
        "sizes that are missing": packed_body(varying, bytes(8)),
        "sizes of more than there is": packed_body(varying, struct.pack("<QQ16x", 3, 1)),
        "sizes of less than there is": packed_body(varying, struct.pack("<QQ16x", 1, 1)),
        "sizes that are huge": packed_body(varying, struct.pack("<QQ16x", HUGE, 2)),
        "sizes that are huge, of nothing": packed_body(varying, struct.pack("<QQ", HUGE, 0)),
        "varying letters that do not exist": packed_body(
            template_of([1, "<U4", 1]), struct.pack("<Q", 1) + b"\xff" * 16
        ),
        "letters that do not exist": packed_body(text, b"\xff" * 16),
        "a buffer that is not there": packed_body(template_of([2, "<f8", [2]])),
        "a slot that nobody has": packed_body(slot, bytes(24)),
        "a slot cut short": packed_body(slot, bytes(23)),
        "no loose values": packed_body(loose),
        "too few loose values": packed_body(loose, b"\x91\x01"),
        "too many loose values": packed_body(loose, b"\x93\x01\x01\x01"),
        "loose values as a map": packed_body(loose, b"\x82\x01\x01\x02\x02"),
        "a template said to be longer": struct.pack("<I", len(said) - 3) + said[4:],
        "a template said to be longer than the body": packed_body([{}, [], []]).replace(
            b"\4", b"\5", 1
        ),
        "a template said to be huge": b"\xff" * 4 + said[4:],
        "a template said to be nothing": bytes(4) + said[4:],
    }


def bodies() -> list[tuple[str, bytes]]:
    """Return bodies that cannot be read."""
    loose = template_of("loose")
    found = [(name, body_of(value)) for name, value in _VALUES.items()]
    found += [(name, packed_body(template, bytes(8))) for name, template in _templates().items()]
    found += _behind_templates().items()
    found += [
        ("empty body", b""),
        ("body too short for a length", bytes(3)),
        ("body of garbage", b"\xc1" * 20),
        ("body with something behind it", body_of(1) + b"\x00"),
        ("body cut short", body_of([1, 2, 3])[:-1]),
        ("timestamp out of range", packed_body(loose, b"\x91\xc7\x0c\xff" + b"\xff" * 12)),
        ("map with a list as key", packed_body(loose, b"\x91\x81\x91\x01\x01")),
        ("bytes that claim to be endless", packed_body(loose, b"\x91\xc6\xff\xff\xff\xff")),
        ("list that claims to be endless", packed_body(loose, b"\x91\xdd\xff\xff\xff\xff")),
        ("extension that claims to be endless", packed_body(loose, b"\x91\xc9\xff\xff\xff\xff\1")),
        ("loose lists in lists", packed_body(loose, b"\x91" * 100_000)),
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
    size = len(good) - PREFIX_BYTES
    return [
        ("nothing", b""),
        ("one byte", b"C"),
        ("cut in the prefix", good[: PREFIX_BYTES - 1]),
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
        ("a lie behind it", good + changed(good, 0, b"LIAR")),
        ("several, with buffers", good + changed(good, 36, length.pack(1))),
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
        ("object in the first buffer", [
            pack(right._replace(buffers=1), packed_body(template_of([2, "|O", [1]]))), POISON,
        ]),
        ("the first buffer too short", [
            pack(right._replace(buffers=1), packed_body(template_of([2, "<f8", [2]]))), bytes(15),
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
