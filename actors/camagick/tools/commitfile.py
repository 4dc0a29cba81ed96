"""A file for HDF5 (h5py's driver ``fileobj``) whose content changes at commits only."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from camagick.tools import redo
from camagick.tools.overlay import Overlay
from camagick.tools.pieces import in_order

if TYPE_CHECKING:
    from collections.abc import Iterator

#: From this size on, only what has changed of an overwritten part is kept.
_LARGE = 2**16
#: Bytes that are compared at a time.
_SCRATCH = 2**18
_BLOCK = 4096


class CommitFile:
    """What HDF5 writes to, so that the file on the disk is always as of the last `commit`.

    What lies behind the committed end of the file goes to the disk at once, without a copy: nobody
    refers to it yet. What would overwrite committed bytes is held in memory until the commit.

    HDF5 does not bear an error from below: it tries again for ever, and crashes when it is closed.
    So none of the methods that it calls raises. After a failure everything is held in memory, no
    commit succeeds any more, and the disk keeps what it has.

    Parameters
    ----------
    fd
        The file, open for reading and writing. It is not closed here.

    Attributes
    ----------
    error
        The first failure, None while there is none.
    commits
        How many there were.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._position = 0
        self._length = self._committed = os.fstat(fd).st_size
        self._held = Overlay()
        self._watched = (0, 0)
        self._seen: list[int] = []
        self._scratch = bytearray()
        self.error: BaseException | None = None
        self.commits = 0

    @property
    def held(self) -> int:
        """Bytes in memory that wait for the commit."""
        return self._held.size

    # What HDF5 calls. Of `seek`, it uses the two that are here.

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Set the position, from the start or (with `os.SEEK_END`) from the end."""
        self._position = offset + (self._length if whence == os.SEEK_END else 0)
        return self._position

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def read(self, size: int) -> bytes:
        """Return `size` bytes from the position on."""
        target = bytearray(size)
        self.readinto(target)
        return bytes(target)

    def readinto(self, buffer: Any) -> int:
        """Fill `buffer` from the position on; zeros stand for what was never written."""
        target = memoryview(buffer).cast("B")
        try:
            self._read(self._position, target)
        except BaseException as error:  # noqa: BLE001 - see the class
            self._fail(error)
        self._position += len(target)
        return len(target)

    def write(self, data: Any) -> int:
        """Write at the position. `data` may be used again when this has returned."""
        source, start = memoryview(data).cast("B"), self._position
        if len(source) == self._watched[1] and _address(source) == self._watched[0]:
            self._seen.append(start)
        self._position += len(source)
        self._length = max(self._length, self._position)
        self._guarded(start, source)
        return len(source)

    def truncate(self, size: int) -> int:
        """Set the length that the file has from the next commit on."""
        self._length = size
        return size

    def flush(self) -> None:
        """Do nothing: HDF5 does not know when a commit is due."""

    # What the owner calls.

    @contextlib.contextmanager
    def watching(self, array: np.ndarray[Any, Any]) -> Iterator[list[int]]:
        """Give the list of places to which HDF5 writes an array (contiguous) out of its memory."""
        self._watched, self._seen = (array.ctypes.data, array.nbytes), []
        try:
            yield self._seen
        finally:
            self._watched = (0, 0)

    def put(self, start: int, array: np.ndarray[Any, Any], *, unseen: bool) -> None:
        """Overwrite a part of the file, behind the back of HDF5.

        Parameters
        ----------
        start
            Where it is.
        array
            What is to be there; contiguous.
        unseen
            Nothing that was committed refers to these bytes: they go to the disk at once.
        """
        source = array.reshape(-1).view(np.uint8).data
        self._guarded(start, source, unseen=unseen and not self._held.touches(start, len(source)))

    def commit(self) -> None:
        """Bring the file on the disk to what was written, all or nothing.

        Raises
        ------
        OSError
            When the disk does not take it, or did not take something before; the file stays as
            of the last commit.
        """
        if self.error is not None:
            raise self.error
        try:
            self._commit()
        except OSError as error:
            # Whoever comes next finishes what is noted completely; nothing may cut that off.
            self._fail(error, keep=not isinstance(error, redo.NotNotedError))
            raise
        self._committed = self._length
        self._held.clear()
        self.commits += 1

    def _commit(self) -> None:
        if not self._committed:
            self._create()
            return
        size = os.fstat(self._fd).st_size
        if size < self._length:
            self._extend(size)
        if self._held:
            pieces = in_order(self._held)
            redo.commit(self._fd, pieces, self._length)
        elif size > self._length:
            os.ftruncate(self._fd, self._length)

    def _create(self) -> None:
        """Write a new file in one go: a few hundred bytes, which a kill does not divide."""
        image = memoryview(bytearray(self._length))
        self._held.apply(0, image)
        try:
            redo.write_all(self._fd, image, 0)
        except OSError as error:
            raise redo.NotNotedError(*error.args) from error

    def _extend(self, size: int) -> None:
        """Make the file as long as HDF5 will say; with room on the disk, so no hole."""
        try:
            os.posix_fallocate(self._fd, size, self._length - size)
        except OSError as error:
            raise redo.NotNotedError(*error.args) from error

    def _read(self, start: int, target: memoryview) -> None:
        done = 0
        while done < len(target):
            count = os.preadv(self._fd, [target[done:]], start + done)
            if count == 0:
                target[done:] = bytes(len(target) - done)
                break
            done += count
        self._held.apply(start, target)

    def _guarded(self, start: int, source: memoryview, *, unseen: bool = False) -> None:
        try:
            self._write(start, source, unseen=unseen)
        except BaseException as error:  # noqa: BLE001 - see the class
            self._fail(error)
            self._held.put(start, source)

    def _write(self, start: int, source: memoryview, *, unseen: bool) -> None:
        border = 0 if unseen else self._committed or sys.maxsize  # a new file is held as a whole
        if self.error is not None:
            border = sys.maxsize
        split = min(max(border - start, 0), len(source))
        if split >= _LARGE:
            self._hold_changed(start, source[:split])
        elif split:
            self._held.put(start, source[:split])
        if split < len(source):
            redo.write_all(self._fd, source[split:], start + split)

    def _hold_changed(self, start: int, source: memoryview) -> None:
        """Hold the blocks that differ from what is there: a chunk mostly gains its last frame."""
        if not self._scratch:
            self._scratch = bytearray(_SCRATCH)
        for at in range(0, len(source), _SCRATCH):
            part = source[at : at + _SCRATCH]
            old = memoryview(self._scratch)[: len(part)]
            self._read(start + at, old)
            for first, last in _changes(part, old):
                self._held.put(start + at + first, part[first:last])

    def _fail(self, error: BaseException, *, keep: bool = False) -> None:
        if self.error is None:
            self.error = error
            if not keep:
                with contextlib.suppress(OSError):  # give back what nobody refers to
                    os.ftruncate(self._fd, self._committed)


def _address(view: memoryview) -> int:
    return int(np.frombuffer(view, np.uint8).ctypes.data)


def _changes(new: memoryview, old: memoryview) -> list[tuple[int, int]]:
    """Return first and last byte of all runs of blocks that differ; the odd rest counts as one."""
    blocks = len(new) // _BLOCK
    even = blocks * _BLOCK
    shape = blocks, _BLOCK // 8
    words = [np.frombuffer(side[:even], np.uint64).reshape(shape) for side in (new, old)]
    changed = (words[0] != words[1]).any(axis=1)
    if even == len(new) and not changed.any():
        return []
    edges = np.flatnonzero(np.diff(changed, prepend=False, append=False)) * _BLOCK
    runs = [(first, last) for first, last in edges.reshape(-1, 2).tolist()]
    return runs if even == len(new) else [*runs, (even, len(new))]
