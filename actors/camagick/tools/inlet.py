"""Reading a descriptor as an event loop allows: nothing blocks, and every wait may be given up."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
from typing import TYPE_CHECKING

from camagick.tools.reservoir import CHUNK_BYTES, waiting

if TYPE_CHECKING:
    from pathlib import Path

    from camagick.tools.reservoir import Reservoir

_F_SETPIPE_SZ = 1031
#: Seconds between two looks at a file that may grow.
_LOOK_S = 0.1


class Inlet:
    """What comes through a descriptor: a pipe, a socket, a file, a device.

    Parameters
    ----------
    handle
        The descriptor; it is not set to be non-blocking, since others may share it.
    reservoir
        Where the bytes go to.
    """

    def __init__(self, handle: int, reservoir: Reservoir) -> None:
        self._handle, self._reservoir = handle, reservoir
        self._base = reservoir.base(handle)
        with contextlib.suppress(OSError):  # no pipe, or the user has too many
            fcntl.fcntl(handle, _F_SETPIPE_SZ, CHUNK_BYTES)

    @property
    def waits(self) -> bool:
        """Whether there is more to read at once."""
        return waiting(self._handle) > 0

    async def more(self) -> bool:
        """Wait until there is more and read it; False at the end. May be cancelled without loss.

        Raises
        ------
        OSError
            When it cannot be read.
        """
        if self.waits:
            await asyncio.sleep(0)  # a stream that never pauses must not keep others out
        else:
            await self._readable()
        return self.fill()

    def fill(self) -> bool:
        """Read what waits; False at the end."""
        if self._base is None:
            return self._reservoir.fill(self._handle) > 0
        return self._reservoir.fill(self._handle, self._base + self._reservoir.end) > 0

    async def _readable(self) -> None:
        loop, event = asyncio.get_running_loop(), asyncio.Event()
        try:
            loop.add_reader(self._handle, event.set)
        except PermissionError:  # a file, which can be read at any time
            await asyncio.sleep(0)
            return
        try:
            await event.wait()
        finally:
            loop.remove_reader(self._handle)


class FileInlet:
    """A file, read from a position on; positions in the reservoir are those in the file.

    Parameters
    ----------
    path
        The file.
    reservoir
        Where the bytes go to.
    follow
        Whether to wait for more at its end. A file that became shorter, or was replaced by another,
        is read again from its beginning.

    Attributes
    ----------
    restarts
        How often it was begun again.
    """

    def __init__(self, path: Path, reservoir: Reservoir, *, follow: bool) -> None:
        self._path, self._reservoir, self._follow = path, reservoir, follow
        self._handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.restarts = 0

    waits = False

    async def more(self) -> bool:
        """Read more, waiting for it where the file is followed; False at the end."""
        await asyncio.sleep(0)
        while not self.fill():
            if not self._follow:
                return False
            if not self._anew():
                await asyncio.sleep(_LOOK_S)
        return True

    def fill(self) -> bool:
        """Read what is there; False at the end."""
        return self._reservoir.fill(self._handle, self._reservoir.end) > 0

    def close(self) -> None:
        """Close the file."""
        os.close(self._handle)

    def _anew(self) -> bool:
        """Begin again where the file is no longer what it was; tell whether."""
        there = os.fstat(self._handle)
        try:
            now = os.stat(self._path)
        except FileNotFoundError:  # between two logs
            return False
        if (now.st_dev, now.st_ino) != (there.st_dev, there.st_ino):
            handle = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            os.close(self._handle)
            self._handle = handle
        elif there.st_size >= self._reservoir.end:
            return False
        self._reservoir.forget()
        self.restarts += 1
        return True
