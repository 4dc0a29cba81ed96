"""Serves an actor's sockets while its processor computes for long.

A processor that is a plain function runs in the thread that serves the sockets: handing every
message from one thread to another would cost more than most processors do. But acknowledgements,
restarted neighbours and the broker cannot wait for a computation of seconds. So a second thread
looks now and then whether the first one is still at the same call, and serves the sockets until it
is back. While nothing happens on the bus, it sleeps.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

#: Seconds that a call may last before the sockets are served beside it.
PATIENCE_S = 0.02
_TURN_S = 0.5


class StandIn:
    """The second thread of an actor.

    Parameters
    ----------
    turn
        Serves the sockets until a moment of the monotonic clock, or shorter.
    ring
        Makes `turn` return soon.
    let_out
        Sends what was made; neither this nor `turn` is called while another thread is in one.
    """

    def __init__(
        self, turn: Callable[[float], None], ring: Callable[[], None], let_out: Callable[[], None]
    ) -> None:
        self._turn, self._ring, self._let_out = turn, ring, let_out
        self._serving = threading.Lock()
        self._turns = 0
        self._present = False  # the first thread is at the sockets
        self._over = False
        self._awake = threading.Event()
        self._sleeps = True  # the second thread waits for that
        self._pause = threading.Event()
        self._thread = threading.Thread(target=self._run, name="stand-in", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def serve(self, until: float) -> None:
        """Serve the sockets, as the first thread."""
        self._present = True
        if not self._serving.acquire(blocking=False):
            self._ring()
            self._serving.acquire()
        try:
            self._turns += 1
            self._turn(until)
        finally:
            self._serving.release()
            self._present = False

    def let_out(self) -> None:
        """Send what was made, as the first thread; not if the second one is just at it."""
        if self._serving.acquire(blocking=False):
            try:
                self._let_out()
            finally:
                self._serving.release()

    def leave(self) -> None:
        """Note that the first thread computes now; must be called before it does."""
        if self._sleeps:
            self._awake.set()

    def stop(self) -> None:
        """End the second thread; the sockets are the first one's alone after that."""
        self._over = True
        self._pause.set()
        self._awake.set()
        self._ring()
        self._thread.join()

    def _run(self) -> None:
        while not self._over:
            self._awake.wait()
            self._sleeps = False
            before = self._turns
            self._pause.wait(PATIENCE_S)
            if self._turns != before:
                continue
            if self._is_away():
                self._stand_in()
                continue
            self._awake.clear()
            self._sleeps = True
            if self._is_away():  # it left just now, and has seen that this thread was awake
                self._awake.set()

    def _stand_in(self) -> None:
        while self._is_away():
            with self._serving:
                if self._is_away():
                    self._turn(time.monotonic() + _TURN_S)

    def _is_away(self) -> bool:
        return not (self._present or self._over)
