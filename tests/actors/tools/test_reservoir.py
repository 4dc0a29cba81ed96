"""What was read outlives whoever has read it, up to the very moment of its death."""

from __future__ import annotations

import os
import signal

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from camagick.tools.reservoir import Reservoir

PAGE = os.sysconf("SC_PAGE_SIZE")


def forked(work) -> None:
    """Do something in a process that is killed in the middle, or at its end."""
    pid = os.fork()
    if not pid:
        try:
            work()
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL


@pytest.fixture(name="pipe")
def _pipe():
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


@pytest.mark.parametrize("size", [1, 15, 16, 17, 3000])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_kill_around_a_read_loses_nothing(pipe, size, moment, monkeypatch):
    read, write = pipe
    ring = Reservoir(PAGE)
    # Other bytes than those of the mark: of a single byte, it could not be told.
    content = (bytes(255 - byte for byte in ring._mark(16)) + os.urandom(size))[:size]
    os.write(write, content)
    real = os.readv

    def killed(handle, parts):
        if moment == "after":
            real(handle, parts)
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(os, "readv", killed)
    forked(lambda: ring.fill(read))
    monkeypatch.undo()

    ring.recover()
    assert ring.end == (size if moment == "after" else 0)
    os.write(write, b"more")
    ring.fill(read)
    assert ring.copy(0, ring.end) == content + b"more"


def test_memory_that_nobody_needs_is_given_back(pipe):
    read, write = pipe
    ring, piece = Reservoir(64 << 20), os.urandom(60_000)
    before = psutil.Process().memory_info().shared
    while ring.end < 100 << 20:  # once around, and more
        os.write(write, piece)
        ring.fill(read)
        assert ring.copy(ring.floor, ring.end) == piece
        ring.release(ring.end, 0)
    assert psutil.Process().memory_info().shared - before < 16 << 20


def test_a_successor_goes_on_where_things_were(pipe):
    read, write = pipe
    ring = Reservoir(PAGE)
    os.write(write, b"one two three")

    def work():
        ring.fill(read)
        ring.release(4, 1)

    forked(work)
    ring.recover()
    assert (ring.copy(ring.floor, ring.end), ring.count) == (b"two three", 1)


@given(st.lists(st.tuples(st.integers(1, PAGE), st.integers(0, PAGE)), max_size=30))
def test_bytes_come_out_as_they_went_in(steps):
    ring = Reservoir(PAGE)
    read, write = os.pipe()
    stream, used, sent = os.urandom(64 * PAGE), 0, 0
    try:
        for size, take in steps:
            sent += os.write(write, stream[sent : sent + min(size, ring.room)])
            if sent > ring.end:
                ring.fill(read)
            assert ring.end == sent
            assert ring.copy(used, sent) == stream[used:sent]
            at = stream.find(b"\n", used, sent)
            assert ring.find(b"\n", used, sent) == at
            target = bytearray(sent - used)
            ring.copy_to(used, memoryview(target))
            assert target == stream[used:sent]
            used = min(sent, used + take)
            ring.release(used, 0)
    finally:
        os.close(read)
        os.close(write)
