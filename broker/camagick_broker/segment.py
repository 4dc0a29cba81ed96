"""Memory that one actor writes and the actors behind it read; the launcher makes it.

A segment is a file without a name (memfd): it outlives its actor's process, and goes with the last
process of the run. It is huge and sparse from the beginning, and sealed, so that nobody can cut off
what another one looks at; memory is taken only for what `camagick_broker.slotpool` makes of it.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os

#: Addresses in a file cost nothing; what is behind them does.
SEGMENT_BYTES = 1 << 40
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
_PUNCH_HOLE, _KEEP_SIZE = 2, 1
_libc = ctypes.CDLL(None, use_errno=True)


class Segment:
    """The memory of one actor.

    Parameters
    ----------
    number
        The actor's number.

    Attributes
    ----------
    handle
        The open file.

    Raises
    ------
    OSError
        Where the system does not allow such a file.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.handle = os.memfd_create("caspy-slots", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(self.handle, SEGMENT_BYTES)
            fcntl.fcntl(self.handle, fcntl.F_ADD_SEALS, _SEALS)
        except OSError:
            self.close()
            raise

    def only_read(self) -> None:
        """Give up, for this process, the right to write.

        The kernel then refuses to map it writable: nobody spoils what another one has made.
        """
        handle = os.open(f"/proc/self/fd/{self.handle}", os.O_RDONLY | os.O_CLOEXEC)
        os.close(self.handle)
        self.handle = handle

    def fill(self, offset: int, size: int) -> None:
        """Take memory for a part of it, as zeros.

        Raises
        ------
        OSError
            Where there is none. Without this, whoever writes there later would be killed.
        """
        os.posix_fallocate(self.handle, offset, size)

    def give_back(self, offset: int, size: int) -> None:
        """Let the system have the memory of a part of it again."""
        arguments = (ctypes.c_int64(offset), ctypes.c_int64(size))
        if _libc.fallocate(self.handle, _PUNCH_HOLE | _KEEP_SIZE, *arguments):
            raise OSError(ctypes.get_errno(), "cannot give memory back")

    def read(self, offset: int, size: int) -> bytearray:
        """Return a copy of a part, for whoever has no addresses left to map it to."""
        content = bytearray(size)
        if os.preadv(self.handle, [content], offset) != size:
            raise OSError(errno.EIO, "shared memory that ends too early")
        return content

    def close(self) -> None:
        """Let go of it, as far as this process is concerned."""
        os.close(self.handle)
