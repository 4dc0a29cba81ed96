"""Which PVs answer, and what is said about those that do not. Knows no network."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

from camagick.errors import CamagickError

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

log = logging.getLogger(__name__)

#: Seconds between two lines about PVs that do not answer.
REMIND_S = 60.0
#: An IOC has many PVs: what happens to them within these seconds is one line.
_TOGETHER_S = 0.2


class NoAnswer(CamagickError):
    """PVs do not answer, and the user wants the run to end for that."""


class Watch:
    """Says once what happens to the connections of PVs, and reminds of those that stay away.

    Parameters
    ----------
    names
        The PVs.
    heard
        Holds those that have said something, now or later.
    timeout
        Seconds after which one that does not answer is named.
    strict
        Whether that ends the run.

    Attributes
    ----------
    disconnects
        How often a PV was lost.
    """

    def __init__(
        self, names: Iterable[str], heard: Container[str], timeout: float, *, strict: bool
    ) -> None:
        self._names, self._heard = list(names), heard
        self._timeout, self._strict = timeout, strict
        self._here: set[str] = set()
        self._since: dict[str, float] = {}
        self._lost: set[str] = set()  # since the last report
        self._away: set[str] = set()  # as far as the user knows
        self._named: set[str] = set()
        self._reporting = False
        self._woken = asyncio.Event()
        self.disconnects = 0

    def changed(self, name: str, here: bool) -> None:
        """Take note that a PV answers from now on, or does not."""
        if here == (name in self._here):
            return
        loop = asyncio.get_running_loop()
        if here:
            self._here.add(name)
        else:
            self._here.discard(name)
            self._lost.add(name)
            self._since[name] = loop.time()
            self.disconnects += 1
            self._woken.set()
        if not self._reporting and (self._lost or name in self._away):
            self._reporting = True
            loop.call_later(_TOGETHER_S, self._report)

    def missing(self) -> list[str]:
        """Return the PVs that do not answer now."""
        return [name for name in self._names if name not in self._here or name not in self._heard]

    async def run(self) -> None:
        """Name the PVs that have not answered for `timeout` seconds, then every minute.

        Raises
        ------
        NoAnswer
            Instead of naming them, where that is wanted.
        """
        loop = asyncio.get_running_loop()
        start = reminded = loop.time()
        while True:
            self._woken.clear()
            now = loop.time()
            since = {name: self._since.get(name, start) for name in self.missing()}
            late = [name for name, when in since.items() if now - when >= self._timeout]
            if late and self._strict:
                raise NoAnswer(f"no answer within {self._timeout:g} s: {', '.join(late)}")
            if self._name(late, again=now - reminded >= REMIND_S):
                reminded = now
            due = [when + self._timeout for name, when in since.items() if name not in late]
            if late:
                due.append(reminded + REMIND_S)
            with contextlib.suppress(TimeoutError):
                # Nothing tells when a PV that is connected says its first word.
                async with asyncio.timeout_at(min(due, default=now + REMIND_S)):
                    await self._woken.wait()

    def _name(self, late: list[str], *, again: bool) -> bool:
        """Name those that are late, and not yet known to be; tell whether any was named."""
        self._named.intersection_update(late)
        names = late if again else [name for name in late if name not in self._named]
        if names:
            log.warning('msg="PV does not answer" pv=%s', ",".join(names))
        self._named.update(names)
        return bool(names)

    def _report(self) -> None:
        self._reporting = False
        away = self._away | self._lost
        for text, names in (
            ("PV disconnected", self._lost - self._away),
            ("PV connected again", away & self._here),
        ):
            if names:
                listed = ",".join(name for name in self._names if name in names)
                log.warning('msg="%s" pv=%s', text, listed)
        self._away = away - self._here
        self._lost.clear()
