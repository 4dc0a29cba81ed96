"""Commands of the shell, which never outlive the process that runs them, however that ends."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import signal
import subprocess
from typing import IO, Any

from camagick.tools.reservoir import waiting

log = logging.getLogger(__name__)

#: Seconds between asking a command to end and killing it.
_GRACE_S = 1.0
_TAIL_BYTES = 2000
#: It leads the group of all commands. When its input ends, their owner has gone, or wants this.
_GUARD = 'trap "" TERM HUP INT; read -r _; sleep "$0"; kill -KILL 0'


def shell() -> str:
    """Return the shell that commands are run by: bash, or sh where there is none."""
    return shutil.which("bash") or "/bin/sh"


class Commands:
    """The commands of one processor: a process group of their own, with a guard.

    The guard is a shell that waits for the end of its input, a pipe from this process. The kernel
    closes that when this process ends, by SIGKILL too, and the guard kills the group: also what
    commands have started in the background. Only what leaves the group (a daemon) stays.

    Parameters
    ----------
    grace_s
        Seconds that the guard leaves to commands which were told to end by the end of their input.
    """

    def __init__(self, grace_s: float = 0.0) -> None:
        self._grace_s = grace_s
        self._guard: subprocess.Popen[bytes] | None = None

    def start(self, text: str, **streams: Any) -> subprocess.Popen[bytes]:
        """Run ``bash -c text``; its input is empty, and its errors go to where ours go.

        Parameters
        ----------
        text
            What to run.
        **streams
            `stdin`, `stdout`, `stderr` as for `subprocess.Popen`.

        Raises
        ------
        OSError
            When that cannot be started.
        """
        if self._guard is None:
            self._guard = subprocess.Popen(  # noqa: S603 - the shell, with the text above
                [shell(), "-c", _GUARD, str(self._grace_s)], process_group=0,
                stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
        return subprocess.Popen(  # noqa: S603 - what the user wants to be run
            [shell(), "-c", text], process_group=self._guard.pid,
            **{"stdin": subprocess.DEVNULL, **streams},
        )  # fmt: skip

    def close(self, process: subprocess.Popen[bytes] | None = None) -> None:
        """Ask all commands to end, and kill whatever of them is left soon after.

        Parameters
        ----------
        process
            The command to wait for.
        """
        guard, self._guard = self._guard, None
        if guard is None:
            return
        if process is not None and process.poll() is None:
            with contextlib.suppress(OSError):
                os.killpg(guard.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_GRACE_S)
        with contextlib.suppress(OSError):
            os.killpg(guard.pid, signal.SIGKILL)
        if guard.stdin is not None:
            guard.stdin.close()
        guard.wait()
        if process is not None:
            process.wait()


class Murmur:
    """What a command says on its standard error: logged, and the last of it kept for messages."""

    def __init__(self, stream: IO[bytes], text: str) -> None:
        self._stream, self._text = stream, text
        os.set_blocking(stream.fileno(), False)
        self._tail = b""

    def fileno(self) -> int:
        """Return the descriptor to wait for."""
        return self._stream.fileno()

    def listen(self) -> bool:
        """Take what there is; False at the end."""
        try:
            content = os.read(self._stream.fileno(), 65536)
        except BlockingIOError:
            return True
        for line in content.splitlines():
            log.info('msg="%s" command="%s"', line.decode("utf-8", "replace"), self._text)
        self._tail = (self._tail + content)[-_TAIL_BYTES:]
        return bool(content)

    @property
    def waits(self) -> bool:
        """Whether there is more to listen to."""
        return waiting(self._stream.fileno()) > 0

    @property
    def lines(self) -> list[str]:
        """The last lines, without empty ones."""
        lines = self._tail.decode("utf-8", "replace").split("\n")
        return [line.strip() for line in lines if line.strip()]

    @property
    def last(self) -> str:
        """The last line."""
        return self.lines[-1] if self.lines else ""

    def close(self) -> None:
        """Hear no more."""
        self._stream.close()


async def exited(process: subprocess.Popen[bytes]) -> int:
    """Wait for the end of a process and return its exit code."""
    handle = os.pidfd_open(process.pid)
    loop, event = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(handle, event.set)
    try:
        await event.wait()
    finally:
        loop.remove_reader(handle)
        os.close(handle)
    return process.wait()


def ending(code: int) -> str:
    """Say how a command has ended, for people."""
    if code < 0:
        return f"was killed by {signal.Signals(-code).name}"
    if code > 128 and code - 128 in set(signal.Signals):
        return f"was killed by {signal.Signals(code - 128).name}"
    return f"ended with exit code {code}"
