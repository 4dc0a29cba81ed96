import fcntl

import pytest

from camagick.tools.filelock import WriterLock


def test_one_writer_and_readers(tmp_path):
    path = str(tmp_path / "x")
    lock = WriterLock(path, 0)
    assert lock.size == 0
    with pytest.raises(BlockingIOError):
        WriterLock(path, 0.05)
    with open(path) as reader:
        fcntl.flock(reader, fcntl.LOCK_SH | fcntl.LOCK_NB)
        with open(path) as writer, pytest.raises(BlockingIOError):
            fcntl.flock(writer, fcntl.LOCK_EX | fcntl.LOCK_NB)
    lock.release()
    WriterLock(path, 0).release()


def test_locks_can_be_switched_off(tmp_path, monkeypatch):
    path = str(tmp_path / "x")
    monkeypatch.setenv("HDF5_USE_FILE_LOCKING", "FALSE")
    first, second = WriterLock(path, 0), WriterLock(path, 0)
    first.release()
    second.release()
