"""Changes of a file that happen all or not at all, also when the process is killed among them.

What is to be overwritten is first noted in one *redo record* behind the end of the file, where no
reader looks; then it is done; then the file is cut to its length, and the record is gone. Whoever
finds a complete record at the end of a file does it all again, which does no harm. An incomplete
record means that nothing has been overwritten yet.

``python -m camagick.tools.redo FILE ...`` does that for files that no caspy opens again.
"""

from __future__ import annotations

import os
import struct
import sys
import zlib
from typing import TYPE_CHECKING

from camagick.tools.filelock import WriterLock, locks_work

if TYPE_CHECKING:
    from collections.abc import Iterable

_MAGIC = b"caspy\x00R\x01"
_PIECE = struct.Struct("<QQ")  # where it belongs, how many bytes follow
_TRAILER = struct.Struct("<8sQQQI")  # magic, start of the record, its bytes, file length, checksum


def commit(fd: int, pieces: Iterable[tuple[int, bytes | bytearray]], length: int) -> None:
    """Overwrite `pieces` of a file and make it `length` bytes long, all or nothing.

    Parameters
    ----------
    fd
        The open file, at least `length` bytes long, and locked by its only writer.
    pieces
        Where each piece belongs, and its bytes; overwritten in this order.
    length
        How long the file is afterwards.

    Raises
    ------
    NotNotedError
        When the record cannot be written: nothing has changed.
    OSError
        When the record is written, but not yet what it says: `replay` will do it.
    """
    pieces = list(pieces)
    start = os.fstat(fd).st_size
    parts: list[bytes | bytearray] = []
    for where, data in pieces:
        parts += [_PIECE.pack(where, len(data)), data]
    body = b"".join(parts)
    trailer = _trailer(start, body, length)
    try:
        write_all(fd, memoryview(body + trailer), start)
    except OSError as error:
        raise NotNotedError(*error.args) from error
    _do(fd, pieces, length)


class NotNotedError(OSError):
    """A redo record could not be written, so nothing was overwritten."""


def replay(fd: int) -> bool:
    """Do what a complete redo record at the end of a file says.

    Parameters
    ----------
    fd
        The file, open for reading and writing, and locked.

    Returns
    -------
    bool
        Whether there was one.
    """
    size = os.fstat(fd).st_size
    body_end = size - _TRAILER.size
    raw = os.pread(fd, _TRAILER.size, max(0, body_end))
    if body_end < 0 or not raw.startswith(_MAGIC):
        return False
    _, start, count, length, _ = _TRAILER.unpack(raw)
    if start + count != body_end:
        return False
    body = _read_all(fd, count, start)
    if raw != _trailer(start, body, length):
        return False
    pieces, at = [], 0
    while at < len(body):
        where, amount = _PIECE.unpack_from(body, at)
        at += _PIECE.size
        pieces.append((where, body[at : at + amount]))
        at += amount
    _do(fd, pieces, length)
    return True


def recover(path: str, timeout: float = 0.0) -> bool:
    """Finish what a killed writer of a file had noted; for who wants to read the file.

    Parameters
    ----------
    path
        Name of the file.
    timeout
        How many seconds to wait for somebody who is writing it.

    Returns
    -------
    bool
        Whether something had to be done. False, too, where locks do not work, since it cannot be
        told then whether the writer is alive.

    Raises
    ------
    BlockingIOError
        When somebody is writing the file: a redo record is his.
    OSError
        When the file cannot be opened for writing.
    """
    if not locks_work():
        return False
    lock = WriterLock(path, timeout, create=False)
    try:
        return replay(lock.fd)
    finally:
        lock.release()


def write_all(fd: int, data: memoryview, start: int) -> None:
    """Write all of `data` at `start`; a system call may do a part of it."""
    done = 0
    while done < len(data):
        done += os.pwrite(fd, data[done:], start + done)


def _read_all(fd: int, count: int, start: int) -> bytes:
    """Read `count` bytes at `start`; a system call returns 2 GiB at most."""
    parts: list[bytes] = []
    while count and (part := os.pread(fd, count, start)):
        parts.append(part)
        start, count = start + len(part), count - len(part)
    return b"".join(parts)


def _trailer(start: int, body: bytes, length: int) -> bytes:
    fields = (_MAGIC, start, len(body), length)
    return _TRAILER.pack(*fields, zlib.crc32(_TRAILER.pack(*fields, 0), zlib.crc32(body)))


def _do(fd: int, pieces: Iterable[tuple[int, bytes | bytearray]], length: int) -> None:
    for where, data in pieces:
        write_all(fd, memoryview(data), where)
    os.ftruncate(fd, length)


def _main(paths: list[str]) -> int:
    code = 0
    for path in paths:
        try:
            done = "finished what was noted" if recover(path) else "nothing to do"
        except OSError as error:
            done, code = f"{error.strerror or error} (is it being written?)", 1
        sys.stdout.write(f"{path}: {done}\n")
    return code


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
