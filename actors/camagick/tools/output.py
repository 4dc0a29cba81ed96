"""What a command prints, read as an event loop allows."""

from __future__ import annotations

import asyncio
import os
import subprocess
from typing import TYPE_CHECKING

from camagick.tools.command import Murmur, ending, exited
from camagick.tools.inlet import Inlet

if TYPE_CHECKING:
    from camagick.tools.command import Commands
    from camagick.tools.reservoir import Reservoir


class Output:
    """Starts a command, and reads its standard output into a reservoir.

    Parameters
    ----------
    commands
        What runs it.
    text
        The command.
    reservoir
        Where the bytes go to.

    Raises
    ------
    OSError
        When it cannot be started.
    """

    def __init__(self, commands: Commands, text: str, reservoir: Reservoir) -> None:
        self._commands, self._text = commands, text
        self._handle, end = os.pipe2(os.O_CLOEXEC)
        try:
            self._process = commands.start(text, stdout=end, stderr=subprocess.PIPE)
        except OSError:
            os.close(self._handle)
            raise
        finally:
            os.close(end)
        stream = self._process.stderr
        if stream is None:
            raise RuntimeError("a pipe was asked for")
        self._loop = asyncio.get_running_loop()
        self._murmur = Murmur(stream, text)
        self._loop.add_reader(self._murmur, self._hear)
        self._inlet = Inlet(self._handle, reservoir)

    @property
    def waits(self) -> bool:
        """Whether there is more to read at once."""
        return self._inlet.waits

    def fill(self) -> bool:
        """Read what waits; False at the end."""
        return self._inlet.fill()

    async def more(self) -> bool:
        """Wait until there is more and read it; False at the end."""
        return await self._inlet.more()

    async def failure(self) -> str:
        """Wait for the end of the command, and say what was wrong with it; '' for nothing."""
        code = await exited(self._process)
        if not code:
            return ""
        while self._murmur.listen() and self._murmur.waits:
            pass
        said = f": {self._murmur.last}" if self._murmur.last else ""
        return f"{ending(code)}{said}"

    def close(self) -> None:
        """Hear no more; a command that still runs is ended."""
        self._loop.remove_reader(self._murmur)
        if self._process.poll() is None:
            self._commands.close(self._process)
        self._murmur.close()
        os.close(self._handle)

    def _hear(self) -> None:
        if not self._murmur.listen():
            self._loop.remove_reader(self._murmur)
