"""A file that one program writes and others read: the locks that tell them apart."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import struct
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

#: Beyond the end of any file: the byte that stands for 'a caspy writes this file'.
_BYTE = 2**62
_BUSY = (errno.EAGAIN, errno.EACCES)
#: A file system without locks is no reason not to write (HDF5 calls that 'best effort').
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EINVAL)


def locks_work() -> bool:
    """Tell whether files can be locked here; HDF5 itself is told in the same way that not."""
    return os.environ.get("HDF5_USE_FILE_LOCKING", "").upper() not in ("FALSE", "0")


class WriterLock:
    """Be the only writer of a file, and let readers in.

    Two locks are held until `release`. A shared one of the kind HDF5 takes itself: readers (who
    take it shared too) come in, any other HDF5 program that wants to write (and takes it alone)
    is kept out. And one of ours on a byte that no reader looks at, which only one writer can have;
    as an open-file lock it lives as long as this descriptor and dies with the process.

    Parameters
    ----------
    path
        The file.
    timeout
        How many seconds to wait for another writer.
    create
        Whether it is made where it does not exist.

    Attributes
    ----------
    fd
        Its descriptor, open for reading and writing until `release`.

    Raises
    ------
    BlockingIOError
        When another program writes the file.
    OSError
        When the file cannot be opened for writing.
    """

    def __init__(self, path: str, timeout: float, *, create: bool = True) -> None:
        flags = os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if create else 0)
        self.fd = os.open(path, flags, 0o666)
        try:
            self._wait(time.monotonic() + timeout)
        except BaseException:
            os.close(self.fd)
            raise

    @property
    def size(self) -> int:
        """Size of the file in bytes."""
        return os.fstat(self.fd).st_size

    @property
    def deleted(self) -> bool:
        """Whether the file has no name any more: what is written to it is lost."""
        return os.fstat(self.fd).st_nlink == 0

    def _wait(self, deadline: float) -> None:
        if not locks_work():
            return
        for lock in (self._lock_shared, self._lock_byte):
            _wait_for(lock, deadline)

    def _lock_shared(self) -> None:
        fcntl.flock(self.fd, fcntl.LOCK_SH | fcntl.LOCK_NB)

    def _lock_byte(self) -> None:
        wanted = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, _BYTE, 1, 0)
        fcntl.fcntl(self.fd, fcntl.F_OFD_SETLK, wanted)

    def release(self) -> None:
        """Let other writers in."""
        with contextlib.suppress(OSError):
            os.close(self.fd)


class FolderLock:
    """Be the only writer of what is in a folder; whoever reads need not ask.

    Parameters
    ----------
    path
        The folder.
    timeout
        How many seconds to wait for another writer.

    Raises
    ------
    BlockingIOError
        When another program writes there.
    OSError
        When it is no folder, or cannot be opened.
    """

    def __init__(self, path: str, timeout: float) -> None:
        self._path = path
        self._fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if locks_work():
                _wait_for(self._lock, time.monotonic() + timeout)
        except BaseException:
            os.close(self._fd)
            raise

    @property
    def deleted(self) -> bool:
        """Whether the folder was deleted or renamed: what is written would be another one."""
        try:
            return not os.path.samestat(os.stat(self._path), os.fstat(self._fd))
        except FileNotFoundError:
            return True

    def _lock(self) -> None:
        fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def release(self) -> None:
        """Let other writers in."""
        with contextlib.suppress(OSError):
            os.close(self._fd)


def _wait_for(lock: Callable[[], None], deadline: float) -> None:
    """Try to lock until it works, or `time.monotonic` is beyond `deadline`."""
    while True:
        try:
            lock()
        except OSError as error:
            if error.errno in _NO_LOCKS:
                return
            if error.errno not in _BUSY or time.monotonic() > deadline:
                raise
        else:
            return
        time.sleep(0.02)
