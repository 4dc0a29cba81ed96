"""A host without an event loop, for processors that are plain functions."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from typing import TYPE_CHECKING, Any

from camagick.actor.host import NOT_STARTED, Host
from camagick_broker.edges import Joined
from camagick_broker.protocol import Permit, Stop

if TYPE_CHECKING:
    from camagick.actor.inputs import Tree
    from camagick.processor import ProcessorBase
    from camagick_broker.wiring import Wiring


class PlainHost(Host):
    """Takes one item after the other from a queue."""

    def __init__(
        self, node: ProcessorBase, wiring: Wiring, tree: Tree | None, progress: Any
    ) -> None:
        self._inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._stopped = threading.Event()
        super().__init__(node, wiring, tree, progress)

    def deliver(self, item: Any) -> None:
        if isinstance(item, Stop):
            self.stopping = True
            self._stopped.set()
        self._inbox.put(item)

    def run(self) -> int:
        """Host the processor from its start to its end; return the exit code."""
        self.begin()
        try:
            # Most never wait in there; an event loop for those that do costs little, once.
            asyncio.run(self.node.startup())
        except Exception as error:  # noqa: BLE001 - any failure of a processor ends the run
            self.failed(error, code=NOT_STARTED)
            self.station.cut()
        else:
            self.station.call("started")
            seq = self._lead() if self.wiring.is_head else self._follow()
            self.station.call("ended", seq)
        try:
            asyncio.run(self.node.shutdown())
        except Exception as error:  # noqa: BLE001 - see above
            self.failed(error)
        return self.finish()

    def _lead(self) -> int:
        """Iterate as a head; return the first iteration that does not exist."""
        seq = 0
        while seq != self.wiring.count and self._permitted(seq) and self._iterate(seq, None):
            seq += 1
        return seq

    def _follow(self) -> int:
        """Iterate behind others; return the first iteration that does not exist."""
        seq = 0
        while True:
            item = self._inbox.get()
            if isinstance(item, Joined):
                if item.ended or not self._iterate(seq, item):
                    return seq
                seq += 1
            elif self.stopping and (self.waits or self.exit_code):
                return seq

    def _permitted(self, seq: int) -> bool:
        """Wait until a head may start an iteration; False when it never may."""
        try:
            self._wait_until_due()
        except Exception as error:  # noqa: BLE001 - any failure of a processor ends the run
            self.failed(error, seq)
            return False
        if self.stopping:
            return False
        self.station.call("armed", seq)
        return isinstance(self._inbox.get(), Permit) and not self.stopping

    def _iterate(self, seq: int, joined: Joined | None) -> bool:
        """Do one iteration; tell whether there may be another."""
        try:
            given = self.read(joined)
            if joined is not None and self.waits:
                self._wait_until_due()
                if self.stopping:
                    return False
            before = dict(given[1])
            since = time.perf_counter()
            self.node.seq = seq
            made = self.node.process(given[0], given[1])
            self.count_busy(since)
            self.hand_over(seq, made, given, before)
        except Exception as error:  # noqa: BLE001 - any failure of a processor ends the run
            self.failed(error, seq)
            return False
        return True

    def _wait_until_due(self) -> None:
        wait = self.node.due()
        if wait > 0:
            self._stopped.wait(wait)
