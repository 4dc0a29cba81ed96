"""One child process: how it is forked, named, and never outlives its parent."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import signal
import sys
import traceback
from typing import TYPE_CHECKING

from setproctitle import setproctitle

if TYPE_CHECKING:
    from collections.abc import Callable

_PR_SET_PDEATHSIG = 1
#: Frames come and go: memory for the next one is not fetched from the system each time, page by
#: page (mallopt(3); a tenth of what a network hop of 1 MB costs).
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
#: Drain, and stop at once; see `camagick.actor.host`.
HELD = (signal.SIGUSR1, signal.SIGTERM)
#: To a launcher: drain and end, as Ctrl-C says it, however often it is said.
DRAIN = signal.SIGUSR1
log = logging.getLogger(__name__)


def fork(title: str, work: Callable[[], int], last: int = signal.SIGKILL) -> int:
    """Fork a process that does `work` and exits with what it returns; return its pid.

    The child is in a session of its own, so that Ctrl-C reaches the launcher alone, and is killed
    when the launcher dies, however that happens. It begins with the signals in `HELD` blocked, and
    unblocks them when it has handlers for them. `last` is the signal that it gets when the launcher
    has died.

    Must be called from the main thread: the kernel ties the child to the thread that made it.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    parent = os.getpid()
    # A signal that comes before the child can handle it waits until it can.
    signal.pthread_sigmask(signal.SIG_BLOCK, HELD)
    pid = os.fork()
    if pid:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD)
        return pid
    code = 70
    try:
        _become_child(title, parent, last)
        code = work()
    except BaseException as error:  # noqa: BLE001 - nothing may get past the fork
        log.error(  # noqa: TRY400 - the trace is for whoever debugs
            'msg="%s: %s" process="%s"', type(error).__name__, error, title
        )
        log.debug("%s", traceback.format_exc())
    finally:
        _flush_quietly()
        os._exit(code)


def _become_child(title: str, parent: int, last: int) -> None:
    os.setsid()
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, last, 0, 0, 0)
    libc.mallopt(_M_MMAP_THRESHOLD, 1 << 25)
    libc.mallopt(_M_TRIM_THRESHOLD, 1 << 26)
    if os.getppid() != parent:  # it died before we asked
        os._exit(1)
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD, signal.SIGUSR1):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    setproctitle(title)


def _flush_quietly() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):  # the reader has gone: nobody is left to tell
            continue


def told_to_stop(ring: Callable[[], None]) -> Callable[[], bool]:
    """Obey SIGTERM from here on, in a child: say whether it has come, and ring when it does."""
    stopped: list[int] = []

    def stop(number: int, _: object) -> None:
        stopped.append(number)
        ring()

    signal.signal(signal.SIGTERM, stop)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD)
    return lambda: bool(stopped)


class Child:
    """A process that was forked and not yet waited for.

    Attributes
    ----------
    name, kind
        What it is called; 'actor', 'broker' or 'service'.
    handle
        A pidfd: readable when the process has ended.
    waits
        It may wait for the outside for ever, and has to be told to stop.
    number, incarnation
        Of an actor: its number, and how often it has been started.
    """

    def __init__(
        self, name: str, pid: int, kind: str, *, waits: bool = False, number: int = 0,
        incarnation: int = 1,
    ) -> None:  # fmt: skip
        self.name = name
        self.pid = pid
        self.kind = kind
        self.waits = waits
        self.number, self.incarnation = number, incarnation
        self.handle = os.pidfd_open(pid)

    def signal(self, number: int) -> None:
        """Send a signal, if it still lives."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.handle, number)

    def reap(self) -> int:
        """Wait for its end, which has come, and return the exit code; negative for a signal."""
        os.close(self.handle)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
