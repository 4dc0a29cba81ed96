"""An actor, as the Channel Access server knows it: by its key, over all its processes."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from camagick.service.ca import Terms
from camagick.service.ca_pv import STALLED

if TYPE_CHECKING:
    from camagick.service.ca_inbox import Inbox

log = logging.getLogger(__name__)

_SHORTEST_S, _LONGEST_S = 0.02, 1.0


@dataclass(slots=True, eq=False)
class Owner:
    """What the server keeps of an actor.

    Attributes
    ----------
    key
        Names the actor, whichever process it is.
    terms
        How its values are published.
    pvs
        Those it has published a value of.
    inbox
        What clients have written for it; None where it does not want to know.
    heard
        When it last gave a sign of life, on the monotonic clock.
    is_stale
        Whether its values were made invalid since.
    """

    key: str
    terms: Terms = field(default_factory=Terms)
    pvs: set[Any] = field(default_factory=set)
    inbox: Inbox | None = None
    heard: float = field(default_factory=time.monotonic)
    is_stale: bool = False

    async def lives(self, fresh: set[Any]) -> None:
        """Note a sign of life; `fresh` are PVs that it has just given a value."""
        self.heard = time.monotonic()
        if self.is_stale:
            self.is_stale = False
            log.warning('msg="values come again, alarms are taken back" pvs=%d', len(self.pvs))
            for channel in self.pvs - fresh:
                await channel.end_alarm()

    async def watch(self) -> None:
        """Make its values invalid whenever they are too old, until cancelled."""
        while self.terms.stale:
            left = self.heard + self.terms.stale - time.monotonic()
            if left <= 0 and not self.is_stale and self.pvs:
                self.is_stale = True
                log.warning(
                    'msg="no new values, alarm INVALID" stale=%g pvs=%d first=%s',
                    self.terms.stale, len(self.pvs), min(one.name for one in self.pvs),
                )  # fmt: skip
                for channel in tuple(self.pvs):
                    await channel.raise_alarm(STALLED)
            await asyncio.sleep(min(max(left, _SHORTEST_S), _LONGEST_S))
