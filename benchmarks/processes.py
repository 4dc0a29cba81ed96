"""Processes with a deadline, what they print, and the processor time they take."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from benchmarks.measure import Budget, Figure

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ROOT = Path(__file__).parents[1]
CASPY = [sys.executable, "-m", "caspy"]
DEADLINE_S = 60.0
_PIPE_BYTES = 1 << 20
_NAP_S = 0.005  # between two looks: whoever measures shall take nothing of the cores


def environment(**more: str) -> dict[str, str]:
    """Return the environment of what is measured: this tree's caspy, output as it comes."""
    roots = [str(ROOT / name) for name in ("broker", "actors", "launch", "benchmarks/stages")]
    path = os.pathsep.join([*roots, *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", **more}


def peer_environment(**more: str) -> dict[str, str]:
    """Return the environment of a peer: nothing of ours on its path."""
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return {**kept, "PYTHONUNBUFFERED": "1", **more}


@contextlib.contextmanager
def running(
    command: Sequence[str], env: Mapping[str, str], *, at_once: bool = False, **options: Any
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command, and end it with its descendants at the end of the block, softly or at once."""
    if options.setdefault("stdout", subprocess.PIPE) is None:
        options["stdout"] = subprocess.DEVNULL
    with tempfile.TemporaryFile() as complaints:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stderr=complaints, env=dict(env),
            start_new_session=True, **options,
        )  # fmt: skip
        if process.stdout is not None:
            with contextlib.suppress(OSError):
                fcntl.fcntl(process.stdout.fileno(), fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        try:
            yield process
        except RuntimeError as error:
            complaints.seek(0)
            last = complaints.read().decode(errors="replace").strip().rpartition("\n")[2]
            raise RuntimeError(f"{error}: {last}" if last else str(error)) from None
        finally:
            end(process, at_once)


def end(process: subprocess.Popen[bytes], at_once: bool = False) -> None:
    """End a process as a user would, then harder; and then whatever it has left."""
    family = descendants(process.pid)
    if at_once:
        process.kill()
        _kill(family)
    if process.stdout is not None:
        process.stdout.close()
    # For most, a closed output is the end. Two interrupts are "stop at once" to caspy, and one is
    # the end of nearly everybody else.
    steps = ((0, 2.0), (signal.SIGINT, 3.0), (signal.SIGINT, 3.0), (signal.SIGKILL, 9.0))
    for number, wait in steps if process.stdout is not None else steps[1:]:
        if process.poll() is None and number:
            process.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(wait)
            break
    _, alive = psutil.wait_procs(family, timeout=2.0)
    _kill(alive)
    psutil.wait_procs(alive, timeout=5.0)


def _kill(family: Sequence[psutil.Process]) -> None:
    for one in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            one.kill()


def descendants(pid: int) -> list[psutil.Process]:
    """Return all processes that stem from one."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).children(recursive=True)
    return []


def cpu_seconds(*pids: int) -> float:
    """Return the processor time that processes and their living descendants have taken so far."""
    family = {*pids, *(process.pid for pid in pids for process in descendants(pid))}
    return sum(map(own_cpu_seconds, family))


def own_cpu_seconds(pid: int) -> float:
    """Return the processor time that the living threads of one process have taken so far."""
    total = 0
    for task in Path(f"/proc/{pid}/task").glob("*/schedstat"):  # nanoseconds; stat has ticks
        with contextlib.suppress(OSError, IndexError):
            total += int(task.read_text().split()[0])
    return total / 1e9


def name_of(pid: int) -> str:
    """Return what a process calls itself, or '' if it is gone."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0", maxsplit=1)[0]
    return ""


class Rows:
    """The lines that come out of a file descriptor.

    Parameters
    ----------
    fd
        Where they come from; made non-blocking.
    """

    def __init__(self, fd: int) -> None:
        os.set_blocking(fd, False)
        self._fd = fd
        self.count = 0
        self.text: list[bytes] | None = None
        #: Whose end is that of the lines, where they come through a pipe with a name.
        self.writer: subprocess.Popen[bytes] | None = None

    def wait(self, seconds: float) -> int:
        """Wait for lines, so long at most, and return how many came."""
        until = time.monotonic() + seconds
        while not select.select([self._fd], [], [], min(1.0, max(0.0, seconds)))[0]:
            if self.writer is not None and self.writer.poll() is not None:
                raise RuntimeError("it ended early")
            if time.monotonic() >= until:
                return 0
        came = 0
        with contextlib.suppress(BlockingIOError):
            while piece := os.read(self._fd, _PIPE_BYTES):
                came += piece.count(b"\n")
                if self.text is not None:
                    self.text.append(piece)
            raise RuntimeError("it ended early")
        self.count += came
        return came

    def first(self) -> None:
        """Wait for the first line."""
        until = time.monotonic() + DEADLINE_S
        while not self.wait(until - time.monotonic()):
            if time.monotonic() >= until:
                raise RuntimeError(f"no output within {DEADLINE_S:.0f} s")

    def lines(self, count: int) -> list[bytes]:
        """Return so many lines, from now on."""
        self.text = []
        goal = self.count + count
        while self.count < goal:
            self._next()
        return b"".join(self.text).split(b"\n")[:count]

    def rate(self, seconds: float, warm: float, *pids: int) -> Figure:
        """Return lines a second.

        Parameters
        ----------
        seconds
            How long to measure; longer, if less than 3 lines come.
        warm
            What to let pass before, in seconds.
        *pids
            Whose processor time is counted.
        """
        self.first()
        until = time.monotonic() + warm
        while time.monotonic() < until:
            self.wait(until - time.monotonic())
            time.sleep(_NAP_S)
        begin, cpu = self._next(), cpu_seconds(*pids)
        count, last = self.count, begin
        while last < begin + seconds or self.count < count + 3:
            last = self._next()
            if last > begin + DEADLINE_S:
                raise RuntimeError(f"less than 3 lines within {DEADLINE_S:.0f} s")
        lines = self.count - count
        used = (cpu_seconds(*pids) - cpu) / lines
        return Figure(lines / (last - begin), used * 1e6, {"lines": lines})

    def _next(self) -> float:
        """Wait for a line and return when it came."""
        time.sleep(_NAP_S)
        until = time.monotonic() + DEADLINE_S
        while not self.wait(until - time.monotonic()):
            if time.monotonic() >= until:
                raise RuntimeError(f"no line within {DEADLINE_S:.0f} s")
        return time.monotonic()


def rate_of(command: Sequence[str], env: Mapping[str, str], budget: Budget) -> Figure:
    """Run a command for a while and return the lines a second that it prints."""
    with running(command, env) as process:
        if process.stdout is None:
            raise RuntimeError("no output")
        rows = Rows(process.stdout.fileno())
        return rows.rate(budget.seconds, budget.warm_s, process.pid)
