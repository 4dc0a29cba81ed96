"""Runs one processor: takes iterations from the station, hands results back to it."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import signal
import sys
import time
from typing import TYPE_CHECKING, Any

from camagick.actor import deadletter
from camagick.actor.failures import Failures
from camagick.actor.handover import HandOver
from camagick.actor.inputs import Given, Inputs, Torn
from camagick_broker.protocol import Stop
from camagick_broker.resume import take_over
from camagick_broker.station import Station
from camagick_broker.wiring import LIVES

if TYPE_CHECKING:
    from collections.abc import Callable

    from camagick.actor.assignment import Assignment
    from camagick_broker.edges import Joined
    from camagick_broker.protocol import Permit

log = logging.getLogger(__name__)

#: Exit code of an actor whose I/O thread failed.
SOCKETS_FAILED = 70
#: Exit code of an actor that never started: nothing can drain through it.
NOT_STARTED = 3
#: So many new objects before the garbage is collected: messages are made and dropped, in no cycles.
_GARBAGE = 20_000
#: Seconds between two chances for the other thread while one is busy in Python.
_SWITCH_S = 0.0005


class Host:
    """What the two kinds of hosts (with and without an event loop) have in common.

    Attributes
    ----------
    node, wiring
        The processor, and its place on the bus.
    resume
        Where it begins.
    stopping
        Nothing more is to be begun.
    hand_over, failures
        What is done with results, and with errors.
    waits
        Whether it may wait for the outside for ever.
    is_exceptional
        Whether there are iterations that its processor is not called for.
    """

    def __init__(self, assignment: Assignment) -> None:
        node, wiring = assignment.node, assignment.wiring
        self.node, self.wiring = node, wiring
        self._assignment = assignment
        self.hand_over = HandOver(assignment)
        row = self.hand_over.row
        self.failures = Failures(assignment, row)
        self.resume = take_over(wiring, row, assignment.journal, self.hand_over.noted_in)
        self.stopping = False
        self.waits = node.gates or wiring.is_head
        self.is_exceptional = bool(assignment.share or assignment.poison)
        tree = assignment.tree
        self._inputs = Inputs(wiring.inputs, tree, assignment.lines) if tree is not None else None
        self._since = time.monotonic()
        node.placement = node.placement._replace(
            number=wiring.number, incarnation=wiring.incarnation
        )
        self.station = Station(
            wiring, self.deliver, self._figures, assignment.ledger, self.resume,
            self.hand_over.slots,
        )  # fmt: skip
        self.hand_over.tell = self.station.call

    def deliver(self, item: Joined | Permit | Stop) -> None:
        """Take what the station has for the processor, in whichever thread serves the sockets."""
        raise NotImplementedError

    def settle_in(self) -> None:
        """Get ready for the work of this process, and obey signals."""
        sys.setswitchinterval(_SWITCH_S)
        gc.freeze()  # what was there before the fork is there for good: do not look at it again
        gc.set_threshold(_GARBAGE, 20, 20)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGUSR1, lambda *_: self.station.call("stop"))
        signal.signal(signal.SIGTERM, lambda *_: self.cut())
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGUSR1, signal.SIGTERM))

    def cut(self) -> None:
        """End at once, orderly: nothing more is taken, the processor is shut down."""
        self.stopping = True
        self.failures.exit_code = self.failures.exit_code or 128 + signal.SIGTERM
        self.station.cut()
        self.deliver(Stop())

    def serve(self, work: Callable[..., None], *arguments: Any) -> None:
        """Let the station do some work; an actor without its sockets ends, and says so."""
        try:
            work(*arguments)
        except Exception as error:
            log.error('msg="the sockets failed: %s" actor=%s', error, self.wiring.name)  # noqa: TRY400
            log.debug("details", exc_info=error)
            self.stopping = True
            self.failures.exit_code = SOCKETS_FAILED
            self.station.cut()
            self.deliver(Stop())

    def read(self, joined: Joined | None) -> Given:
        """Return what an iteration brings; empty for a head."""
        if self._inputs is None or joined is None:
            return Given.nothing()
        return self._inputs(joined)

    def recall(self) -> None:
        """Tell the processor, which has been started, what its predecessor knew."""
        self.hand_over.recall(self.resume.seq)

    def settle(self, *, idle: bool) -> bool:
        """Commit what was handed over, if it is time to; tell whether all is well."""
        if self.hand_over.is_due(idle=idle):
            try:
                self.hand_over.commit()
            except Exception as error:  # noqa: BLE001 - the user says what any failure leads to
                self.failures.give_up(error, self.hand_over.row.made - 1)
                return False
        return True

    def excepts(self, seq: int, joined: Joined | None) -> bool:
        """Do without the processor what is another worker's, or kills it; tell whether it was."""
        share = self._assignment.share
        if share is not None and not share.has(seq):
            self.hand_over.passed(seq)
        elif seq in self._assignment.poison:
            self._set_aside(seq, joined)
        else:
            return False
        return True

    def _set_aside(self, seq: int, joined: Joined | None) -> None:
        """Keep an iteration that kills this actor, and go on without it."""
        given = Given.nothing()
        try:
            given = self.read(joined)
            kept = str(deadletter.keep(self.wiring, seq, given.data, given.context))
        except Exception as error:  # noqa: BLE001 - it must not end the run after all
            kept = f"nowhere: {error}"
        self.failures.set_aside(seq, kept)
        self.hand_over.nothing(seq, given)

    def go_on_after(self, error: Exception, seq: int, joined: Joined | None) -> bool:
        """Do what was asked for when the processor raises; tell whether to go on."""
        if isinstance(error, Torn):
            self.failures.torn(error, seq)
            self.hand_over.nothing(seq, Given.nothing())
            return True
        if self.failures.stops(error, seq):
            return False
        given = Given.nothing()
        with contextlib.suppress(Exception):  # it may be what has failed
            given = self.read(joined)
        self.hand_over.nothing(seq, given)
        return True

    def say_ended(self, seq: int) -> None:
        """Say that there is no iteration `seq` here, or leave that to a successor."""
        if self.failures.again:
            self.station.cut()
        else:
            self.station.call("ended", seq)

    def _figures(self) -> dict[str, Any]:
        return {
            **self.node.figures(),
            **self.hand_over.figures(),
            "seq": self.hand_over.row.made,
            "restarts": sum(divmod(self.wiring.incarnation - 1, LIVES)),
            **self.failures.counts,
            "busy_s": self.hand_over.busy_s,
            "lifetime_s": time.monotonic() - self._since,
            "pid": os.getpid(),
        }
