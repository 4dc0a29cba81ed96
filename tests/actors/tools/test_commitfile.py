"""A file whose content changes at commits only: compared with plain bytes, cut and damaged."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from camagick.tools import commitfile, redo
from camagick.tools.commitfile import CommitFile
from camagick.tools.filelock import WriterLock
from camagick.tools.overlay import Overlay


@contextmanager
def opened(path: Path) -> Iterator[int]:
    fd = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        yield fd
    finally:
        os.close(fd)


pieces = st.tuples(st.integers(0, 60), st.binary(min_size=1, max_size=30))


@given(put=st.lists(pieces, max_size=20), window=st.tuples(st.integers(0, 90), st.integers(0, 90)))
def test_an_overlay_is_what_was_put_last(put, window):
    overlay, plain = Overlay(), bytearray(200)
    for start, data in put:
        overlay.put(start, memoryview(data))
        plain[start : start + len(data)] = data
    seen = bytearray(window[1])
    overlay.apply(window[0], memoryview(seen))
    assert seen == plain[window[0] : window[0] + window[1]]
    ends = [(start, start + len(data)) for start, data in overlay]
    assert all(a[1] <= b[0] or b[1] <= a[0] for a in ends for b in ends if a is not b)
    assert overlay.size == sum(end - start for start, end in ends)
    overlay.clear()
    assert (overlay.size, len(overlay)) == (0, 0)


steps = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(0, 300), st.binary(min_size=1, max_size=80)),
        st.tuples(st.just("truncate"), st.integers(1, 300), st.just(b"")),
        st.tuples(st.just("commit"), st.just(0), st.just(b"")),
    ),
    max_size=25,
)


@settings(deadline=None)
@given(steps=steps, large=st.sampled_from([1, 16, 2**16]))
def test_the_disk_is_as_of_the_last_commit(tmp_path_factory, steps, large):
    path = tmp_path_factory.mktemp("file") / "x"
    path.write_bytes(b"start")
    now, length, last = bytearray(b"start"), 5, b"start"
    commitfile._LARGE = large  # from here on, what differs is looked for
    commitfile._BLOCK = 8
    try:
        with opened(path) as fd:
            image = CommitFile(fd)
            for what, number, data in steps:
                if what == "write":
                    now.extend(bytes(max(0, number - len(now))))
                    now[number : number + len(data)] = data
                    length = max(length, number + len(data))
                    image.seek(number)
                    image.write(memoryview(data))
                elif what == "truncate":  # nothing is lost: the file may grow again
                    now.extend(bytes(max(0, number - len(now))))
                    length = number
                    image.truncate(number)
                else:
                    image.commit()
                    del now[length:]
                    last = bytes(now)
                    assert path.read_bytes() == last
                assert path.read_bytes()[: len(last)] == last
    finally:
        commitfile._LARGE, commitfile._BLOCK = 2**16, 4096


def test_what_is_held_is_read_back(tmp_path):
    with opened(tmp_path / "x") as fd:
        os.write(fd, bytes(100))
        image = CommitFile(fd)
        image.seek(90)
        image.write(b"0123456789abcdef")
        image.seek(88)
        assert image.read(25) == bytes(2) + b"0123456789abcdef" + bytes(7)
        assert image.tell() == 113
        assert image.seek(0, os.SEEK_END) == 106
        assert image.held == 10  # what is behind the end goes to the disk at once
        assert (tmp_path / "x").read_bytes()[100:] == b"abcdef"


def test_of_a_large_part_only_what_differs_is_held(tmp_path):
    content = bytearray(os.urandom(3 * 2**18 + 77))
    (tmp_path / "x").write_bytes(content)
    with opened(tmp_path / "x") as fd:
        image = CommitFile(fd)
        image.write(memoryview(content))
        assert image.held <= 4096  # the rest of the last block is not looked at
        content[300_000] ^= 1
        image.seek(0)
        image.write(memoryview(content))
        assert image.held <= 2 * 4096
        image.commit()
        assert (tmp_path / "x").read_bytes() == content


def test_bytes_that_nobody_looks_at_go_to_the_disk_at_once(tmp_path):
    path, new = tmp_path / "x", np.frombuffer(b"new!", np.uint16)
    with opened(path) as fd:
        os.write(fd, bytes(100))
        image = CommitFile(fd)
        image.put(10, new, unseen=True)
        assert path.read_bytes()[10:14] == b"new!"
        image.put(20, new, unseen=False)
        image.put(22, new, unseen=True)  # over what is held: that must not come on top of it
        assert path.read_bytes()[14:] == bytes(86)
        image.commit()
        assert path.read_bytes() == bytes(10) + b"new!" + bytes(6) + b"nenew!" + bytes(74)


def test_where_an_array_is_written_is_seen(tmp_path):
    arrays = np.zeros(4), np.zeros(4)
    with opened(tmp_path / "x") as fd:
        image = CommitFile(fd)
        with image.watching(arrays[0]) as places:
            for array in (*arrays, arrays[0][:2]):
                image.write(array.data)
        image.write(arrays[0].data)
    assert places == [0]


CHANGES: list[tuple[int, bytes]] = [(0, b"new"), (50, b"middle"), (95, b"12345")]


def noted(path: Path) -> tuple[bytes, bytes]:
    """Return a file as it is before a commit, and with its redo record complete."""
    before = bytes(range(120))
    path.write_bytes(before)
    with opened(path) as fd:

        def killed(*_: object) -> None:
            raise KeyboardInterrupt

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(redo, "_do", killed)
            with pytest.raises(KeyboardInterrupt):
                redo.commit(fd, CHANGES, 100)
    return before, path.read_bytes()


def after() -> bytes:
    content = bytearray(range(120))
    for start, data in CHANGES:
        content[start : start + len(data)] = data
    return bytes(content[:100])


def test_a_complete_record_is_replayed_and_an_incomplete_one_is_not(tmp_path):
    path = tmp_path / "x"
    before, record = noted(path)
    assert record[:120] == before
    for length in range(120, len(record) + 1):
        path.write_bytes(record[:length])
        with opened(path) as fd:
            assert redo.replay(fd) == (length == len(record))
            assert redo.replay(fd) is False
        assert path.read_bytes() == (after() if length == len(record) else record[:length])


def test_a_damaged_record_is_not_replayed(tmp_path):
    path = tmp_path / "x"
    _, record = noted(path)
    for place in range(120, len(record)):
        damaged = bytearray(record)
        damaged[place] ^= 4
        path.write_bytes(damaged)
        with opened(path) as fd:
            assert not redo.replay(fd)
        assert path.read_bytes() == damaged


def test_half_of_the_changes_are_done_again(tmp_path):
    path = tmp_path / "x"
    _, record = noted(path)
    path.write_bytes(b"new" + record[3:])
    with opened(path) as fd:
        assert redo.replay(fd)
    assert path.read_bytes() == after()


def test_recovering_as_a_reader(tmp_path, capsys, monkeypatch):
    path = tmp_path / "x"
    noted(path)
    lock = WriterLock(str(path), 0)
    with pytest.raises(BlockingIOError):
        redo.recover(str(path))
    assert redo._main([str(path)]) == 1
    lock.release()
    with monkeypatch.context() as patch:
        patch.setenv("HDF5_USE_FILE_LOCKING", "FALSE")
        assert not redo.recover(str(path))
    assert redo._main([str(path), str(path)]) == 0
    assert path.read_bytes() == after()
    said = capsys.readouterr().out
    assert "x: finished what was noted\n" in said
    assert "x: nothing to do\n" in said
    with pytest.raises(FileNotFoundError):
        redo.recover(str(tmp_path / "none"))
    assert not (tmp_path / "none").exists()


def test_after_a_failure_nothing_is_committed(tmp_path, monkeypatch):
    path = tmp_path / "x"
    path.write_bytes(bytes(100))
    full = OSError(errno.ENOSPC, "No space left on device")
    with opened(path) as fd:
        image = CommitFile(fd)
        image.write(b"held")
        with monkeypatch.context() as patch:

            def refuse(*_: object) -> int:
                raise full

            patch.setattr(os, "pwrite", refuse)
            image.seek(100)
            assert image.write(b"behind") == 6  # HDF5 is not told
        assert image.error is full
        image.seek(0)
        assert image.read(4) == b"held"
        image.seek(100)
        assert image.read(6) == b"behind"
        with pytest.raises(OSError, match="No space"):
            image.commit()
    assert path.read_bytes() == bytes(100)


def test_a_failure_in_the_middle_of_a_commit_is_made_good_by_the_next_one(tmp_path, monkeypatch):
    """On a file system that copies on write, overwriting may need room, too."""
    path = tmp_path / "x"
    path.write_bytes(bytes(100))
    real, calls = os.pwrite, []

    def refuse_third(*words: Any) -> int:
        calls.append(words)
        if len(calls) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(*words)

    with opened(path) as fd:
        image = CommitFile(fd)
        for start in (0, 50):
            image.seek(start)
            image.write(b"changed")
        with monkeypatch.context() as patch:
            patch.setattr(os, "pwrite", refuse_third)
            with pytest.raises(OSError, match="No space"):
                image.commit()
        with pytest.raises(OSError, match="No space"):
            image.commit()
    with opened(path) as fd:
        assert redo.replay(fd)
    assert path.read_bytes() == (b"changed".ljust(50, b"\0") * 2)
