"""Something that has to be done every now and then, whether or not data comes."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Ticker:
    """A thread that calls a function once in every period.

    A thread and no task of an event loop: processors that never wait run without one.

    Parameters
    ----------
    period
        Seconds from one call to the next.
    action
        What to call; the first exception ends the thread and is kept in `error`.
    name
        Name of the thread.
    """

    def __init__(self, period: float, action: Callable[[], None], name: str) -> None:
        self.error: Exception | None = None
        self._period, self._action = period, action
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._over.wait(self._period):
            try:
                self._action()
            except Exception as error:  # noqa: BLE001 - handed to the thread that is in charge
                self.error = error
                return

    def stop(self) -> None:
        """End the thread; returns when no call is under way any more."""
        self._over.set()
        self._thread.join()
