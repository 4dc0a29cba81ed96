"""Fuzzing the whole decoder: whatever comes, a result or a `RemoteProtocolError`, soon and small.

``make fuzz`` runs this file as a script for a minute: with atheris, which looks for new paths
through the code, where it is installed, else with mutations drawn at random. The tests run the same
property with hypothesis, see `tests/test_fuzz.py`.

    python -m tests.fuzz_wire SECONDS [SEED]
"""

from __future__ import annotations

import random
import resource
import sys
import time
from typing import Any

import numpy as np

from camagick_broker.admission import pid_of
from camagick_broker.control import hear, say
from camagick_broker.encoder import Encoder
from camagick_broker.errors import RemoteProtocolError
from camagick_broker.reader import decode
from camagick_broker.subscriptions import Subscriptions
from camagick_broker.wire import MAX_BUFFERS, Head, Kind, pack, unpack
from tests import hostile

RUN = b"fuzz run"
#: What one message may take at most: seconds, and bytes beyond its own. (A short message may say,
#: rightly, an array of nothing with a long shape; it may never claim memory by that.)
SECONDS, BYTES = 5.0, 1 << 28
_CUT = b"\n--\n"  # between the frames of one input


def seeds() -> list[bytes]:
    """Return good messages of every sort, and the bad ones that are known."""
    values: list[Any] = [
        1, -1.5, "text", None, True, b"bytes", (1, (2, [3, {"a": 4}])), 1 + 2j, np.float32(1),
        np.arange(6).reshape(2, 3), np.zeros((0, 3)), np.array(["ab", "c"]), np.array([b"x"]),
        np.array(["2020-01-01"], "M8[ns]"), np.ones(5000), np.zeros((3, 4000), ">u2"),
    ]  # fmt: skip
    known = {"unit": "mm", "time": 1.5, "at": None, "ok": True, "size": np.int16(1), "all": [1]}
    found = []
    for value in values:
        body, buffers = Encoder()({2: 3}, [["c", 2, "o", known, 1]], [["t", 1, None, None, value]])
        head = Head(Kind.DATA, RUN, 1, 1, 5, buffers=len(buffers))
        found.append([pack(head, body), *(np.asarray(one).tobytes() for one in buffers)])
    varying = hostile.packed_body(hostile.template_of([1, "<f8", 1]), b"\2".ljust(24, b"\0"))
    found += [[pack(Head(Kind.DATA, RUN, 1, 1, 5), varying)]]
    found += [[say(RUN, 1, {"op": "register", "name": "a", "in": {1: {"b": 2.0}}})]]
    found += [[pack(Head(kind, RUN, 1, 2, 3))] for kind in Kind]
    found += [frames for _, frames in hostile.corpus(RUN, 1, 0)]
    found += [frames for _, frames in hostile.controls(RUN) if len(frames) < 10]
    return [_CUT.join(frames) for frames in found if sum(map(len, frames)) < 1 << 18]


def check(data: bytes) -> None:
    """Read one input as everything that reads; raise for what must not be."""
    first, *buffers = data.split(_CUT)
    for read in (_as_message, _as_control, _as_subscription):
        try:
            read(first, buffers)
        except RemoteProtocolError as error:
            if len(str(error)) > 1000:
                raise AssertionError("a log line without end") from None
    pid_of(data[:200].decode("latin-1"))
    assert not hostile.DETONATED, "it was unpickled"


def _as_message(first: bytes, buffers: list[bytes]) -> None:
    head, body = unpack(first, RUN)
    assert head.buffers <= MAX_BUFFERS
    for mark in decode(body, buffers).data.values():
        if isinstance(mark.value, np.ndarray):
            assert mark.value.dtype.kind in "biufcSUmM"
            assert mark.value.nbytes <= sum(map(len, buffers)) + len(first)


def _as_control(first: bytes, _: list[bytes]) -> None:
    assert isinstance(hear(first, RUN)[1]["op"], str)


def _as_subscription(first: bytes, _: list[bytes]) -> None:
    Subscriptions([1, 2]).take(first)


def mutated(data: bytes, others: list[bytes], rng: random.Random) -> bytes:
    """Return an input with bits flipped, parts cut out, doubled, or taken from others."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 3, 8))):
        at = rng.randrange(len(changed) + 1)
        until = min(len(changed), at + rng.choice((1, 2, 4, 8, 60, 1000)))
        kind = rng.randrange(7)
        if kind == 0 and at < len(changed):
            changed[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            changed[at:until] = rng.randbytes(until - at)
        elif kind == 2:
            del changed[at:until]
        elif kind == 3:
            changed[at:at] = changed[at:until]
        elif kind == 4:
            changed[at:until] = rng.choice((b"\xff" * 4, b"\0" * 4, b"\xdd\xff\xff\xff\xff", _CUT))
        elif kind == 5:
            other = rng.choice(others)
            begin = rng.randrange(len(other) + 1)
            changed[at:until] = other[begin : begin + rng.choice((4, 16, 60, 1000))]
        elif len(changed) >= 60:  # the prefix says what is there, so that the body is looked at
            changed[56:60] = max(0, len(bytes(changed).split(_CUT)[0]) - 60).to_bytes(4, "little")
    return bytes(changed)


def fuzz(seconds: float, seed: int) -> int:
    """Draw mutations for so long; return how many there were."""
    rng, known = random.Random(seed), seeds()  # noqa: S311 - nothing secret
    began, count = time.monotonic(), 0
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    while (now := time.monotonic()) < began + seconds:
        data = mutated(rng.choice(known), known, rng)
        try:
            check(data)
        except Exception:
            print(f"seed {seed}, input {count}: {data!r}")
            raise
        assert time.monotonic() - now < SECONDS, f"too long: {data!r}"
        count += 1
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10
    assert grown < BYTES, f"{grown} bytes more"
    return count


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.SystemRandom().randrange(1 << 32)
    try:
        import atheris  # type: ignore[import-untyped]
    except ImportError:
        print(f"atheris is not installed: mutations at random, seed {seed}")
        print(f"{fuzz(seconds, seed)} inputs in {seconds:.0f} s, and nothing found")
        return
    words = [sys.argv[0], f"-max_total_time={seconds:.0f}", "-rss_limit_mb=2048", "-timeout=5"]
    atheris.instrument_all()
    rng, known = random.Random(seed), seeds()  # noqa: S311 - nothing secret

    def mutate(data: bytes, size: int, _: int) -> bytes:
        return mutated(data or rng.choice(known), known, rng)[:size]

    atheris.Setup(words, check, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
