"""What an EPICS source has not handed on, over all the processes it was. Knows no network."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from camagick.service.ca_queues import Queued
from camagick.tools.tally import Tally

if TYPE_CHECKING:
    from camagick.service.ca_trigger import Trigger

log = logging.getLogger(__name__)


class Losses:
    """Counts the rows that were queued, and never taken.

    They gave way in a full queue, or waited in one whose process was killed.

    Parameters
    ----------
    trigger
        The queue; other triggers have none, and lose nothing here.
    folder
        Of the run, '' in one process.
    name
        Unique in the run.
    figure
        What the user finds the count under.

    Attributes
    ----------
    taken
        How many rows were handed on, by predecessors too.
    """

    def __init__(self, trigger: Trigger, folder: str, name: str, figure: str = "missed") -> None:
        self._figure = figure
        self._queue = trigger if isinstance(trigger, Queued) else None
        self._tally = Tally(folder if self._queue is not None else "", name)
        self._queued, self._newest = self._tally.before
        self._warned, self._told = False, self._queued == 0
        self.taken = self._before = 0

    def recall(self, taken: int) -> None:
        """Learn how many rows predecessors have handed on."""
        self.taken = self._before = taken

    @property
    def missed(self) -> int:
        """How many rows are lost for good."""
        if self._queue is None:
            return 0
        return max(0, self._queued - self._before) + self._queue.overruns

    def came(self, stamp: float) -> None:
        """Take note of an event, with its time."""
        if self._queue is None:
            return
        if stamp == self._newest > 0.0 and self._queued > self._before:
            self._queued -= 1  # the newest of those that were lost: an IOC says it again
        self._newest = 0.0
        self._tally.note(self._queued + self._queue.queued, stamp)

    def took(self) -> None:
        """Take note that a row is handed on; warn once of each kind of loss."""
        self.taken += 1
        if not self._told:
            self._told = True
            if self._queued > self._before:
                log.warning(
                    'msg="what a killed process had not yet handed on is lost" %s=%d',
                    self._figure,
                    self._queued - self._before,
                )
        if self._queue is not None and self._queue.overruns and not self._warned:
            self._warned = True
            log.warning(
                'msg="the pipe is slower than the PVs: the oldest events are left out'
                ' (%s in -top and -stats)" missed=%d',
                self._figure,
                self._queue.overruns,
            )

    def close(self) -> None:
        """Forget what a successor would have to know: there is none."""
        self._tally.close()
