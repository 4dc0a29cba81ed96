"""What a PV Access source says in the log about its PVs, each thing once."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)

_REMIND = 60.0
_TOGETHER = 0.2


class Watch:
    """Which PVs are there, and what was said about it.

    Parameters
    ----------
    silent
        Tells which PVs are not there.
    timeout
        Seconds after which they are named; again every minute.
    on_silence
        Gets their names each time.
    """

    def __init__(
        self,
        silent: Callable[[], list[str]],
        timeout: float,
        on_silence: Callable[[list[str]], None],
    ) -> None:
        self._silent, self._on_silence = silent, on_silence
        self._known: set[str] = set()
        self._changes: dict[str, bool] = {}
        self._said: set[str] = set()
        self._loop = asyncio.get_running_loop()
        self._reminder = self._loop.call_later(timeout, self._remind)
        self._report_due: asyncio.TimerHandle | None = None

    def close(self) -> None:
        """Say nothing any more."""
        self._reminder.cancel()
        if self._report_due is not None:
            self._report_due.cancel()
            self._report()

    def changed(self, name: str, connected: bool) -> None:
        """Take note of a connection made or lost."""
        if connected and name not in self._known:
            self._known.add(name)
            return  # the first connection is nothing to speak of
        if not self._changes:  # a server has many PVs: one line for all of them
            self._report_due = self._loop.call_later(_TOGETHER, self._report)
        self._changes[name] = connected

    def once(self, about: str, text: str) -> None:
        """Warn, once about the same thing."""
        if about not in self._said:
            self._said.add(about)
            log.warning('msg="%s"', text)

    def _report(self) -> None:
        for state, text in ((False, "PV disconnected"), (True, "PV connected again")):
            names = [name for name, connected in self._changes.items() if connected is state]
            if names:
                log.warning('msg="%s" pv=%s', text, ",".join(names))
        self._changes.clear()

    def _remind(self) -> None:
        self._reminder = self._loop.call_later(_REMIND, self._remind)
        silent = self._silent()
        if silent:
            log.warning('msg="PV does not answer" pv=%s', ",".join(silent))
            self._on_silence([name for name in silent if name not in self._known])
