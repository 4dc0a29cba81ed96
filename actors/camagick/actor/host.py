"""Runs one processor: takes iterations from the station, hands results back to it."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from camagick.actor import deadletter
from camagick.actor.inputs import Inputs
from camagick.actor.messages import Writer
from camagick.data import Data
from camagick.processor import EndOfData, Result, conclude
from camagick_broker.encoder import Encoder
from camagick_broker.protocol import Stop
from camagick_broker.reader import decode
from camagick_broker.resume import take_over
from camagick_broker.station import Station

if TYPE_CHECKING:
    from collections.abc import Mapping

    from camagick.actor.assignment import Assignment
    from camagick_broker.edges import Joined
    from camagick_broker.protocol import Permit

log = logging.getLogger(__name__)

#: Exit code of an actor whose I/O thread failed.
SOCKETS_FAILED = 70
#: Exit code of an actor that wants to be started anew, since its processor has raised.
RESTART = 75
#: Exit code of an actor that never started: nothing can drain through it.
NOT_STARTED = 3
#: Seconds between two chances for the I/O thread while the processor is busy in Python.
_SWITCH_S = 0.0005
_MOST_LINES = 5


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
    exit_code
        Of the process.
    waits
        Whether it may wait for the outside for ever.
    """

    def __init__(self, assignment: Assignment) -> None:
        node, wiring = assignment.node, assignment.wiring
        self.node, self.wiring = node, wiring
        self._assignment = assignment
        self._row = assignment.ledger[wiring.number]
        self.resume = take_over(wiring, self._row, assignment.journal)
        self.stopping = False
        self.exit_code = 1 if self._row.failed else 0
        self.waits = node.gates or wiring.is_head
        tree = assignment.tree
        self._inputs = Inputs(wiring.inputs, tree) if tree is not None else None
        self._write = Writer(wiring, copies=node.keeps_frames)
        self._encode = Encoder()
        self._busy_s, self._began = 0.0, 0.0
        self._uncommitted = 0
        self._batch = max(1, wiring.window // 2)
        self._counts = {"skipped": 0, "dead_letters": 0}
        self._since = time.monotonic()
        self._log = logging.getLogger(type(node).__module__)
        node.placement = node.placement._replace(
            number=wiring.number, incarnation=wiring.incarnation
        )
        self.station = Station(wiring, self.deliver, self._figures, assignment.ledger, self.resume)
        self._thread = threading.Thread(target=self._serve, name="station", daemon=True)

    def deliver(self, item: Joined | Permit | Stop) -> None:
        """Take what the station has for the processor; called in the station's thread."""
        raise NotImplementedError

    def begin(self) -> None:
        """Start the station's thread, and obey signals."""
        sys.setswitchinterval(_SWITCH_S)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGUSR1, lambda *_: self.station.call("stop"))
        signal.signal(signal.SIGTERM, lambda *_: self.cut())
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGUSR1, signal.SIGTERM))
        self._thread.start()

    def cut(self) -> None:
        """End at once, orderly: nothing more is taken, the processor is shut down."""
        self.stopping = True
        self.exit_code = self.exit_code or 128 + signal.SIGTERM
        self.station.cut()
        self.deliver(Stop())

    def _serve(self) -> None:
        """Let the station work; an actor without its sockets ends, and says so."""
        try:
            self.station.run()
        except Exception as error:
            log.error('msg="the sockets failed: %s" actor=%s', error, self.wiring.name)  # noqa: TRY400
            log.debug("details", exc_info=error)
            self.stopping = True
            self.exit_code = SOCKETS_FAILED
            self.deliver(Stop())

    def read(self, joined: Joined | None) -> tuple[Data, Data, Mapping[int, int]]:
        """Return what an iteration brings; empty for a head."""
        if self._inputs is None or joined is None:
            return Data(), Data(), {}
        return self._inputs(joined)

    def recall(self) -> None:
        """Tell the processor, which has been started, what its predecessor knew."""
        journal, first = self._assignment.journal, self.resume.seq - self.node.memory
        if journal is not None and self.node.memory and self.resume.seq:
            records = [journal.read(seq) for seq in range(max(0, first), self.resume.seq)]
            bodies = [decode(memoryview(r.remembered[0]), r.remembered[1:]) for r in records]
            self.node.recall([{entry.tag: entry.value for entry in b.data} for b in bodies])

    def is_poison(self, seq: int) -> bool:
        """Tell whether an iteration has killed this actor too often."""
        return seq in self._assignment.poison

    def note_begin(self, seq: int) -> None:
        """Note that the processor is called for an iteration now."""
        self.node.seq = seq
        self._row.begun = seq + 1
        self._began = time.perf_counter()

    def hand_over(self, seq: int, made: Result, given: tuple[Any, ...], before: Any) -> None:
        """Send on what the processor made of an iteration."""
        data, context, lineage = given
        self._busy_s += time.perf_counter() - self._began
        result = conclude(self.node, made, data, context, before)
        frames = self._write(seq, result, context, lineage) if self.wiring.consumers else []
        if self._assignment.journal is not None:
            self._assignment.journal.write(seq, frames, self._remembered())
        self._row.made = seq + 1
        self._uncommitted += 1
        self.station.call("sent", seq, frames)

    def _remembered(self) -> list[Any]:
        if not self.node.memory:
            return []
        known = self.node.remember() or {}
        body, buffers = self._encode({}, [], [[t, 0, None, None, v] for t, v in known.items()])
        return [body, *buffers]

    def settle(self, *, idle: bool) -> bool:
        """Commit what was handed over, if it is time to; tell whether all is well."""
        if not self.node.commits or not self._uncommitted:
            return True
        if not idle and self._uncommitted < self._batch:
            return True
        try:
            self.node.commit()
        except Exception as error:  # noqa: BLE001 - any failure of a processor ends the run
            self._give_up(error, self._row.made - 1)
            return False
        self._uncommitted = 0
        self.station.call("committed", self._row.made)
        return True

    def set_aside(self, seq: int, joined: Joined | None) -> bool:
        """Keep an iteration that kills this actor, and go on without it."""
        self._counts["dead_letters"] += 1
        try:
            given = self.read(joined)
            kept = str(deadletter.keep(self.wiring, seq, given[0], given[1]))
        except Exception as error:  # noqa: BLE001 - it must not end the run after all
            given, kept = (Data(), Data(), {}), f"nowhere: {error}"
        self._log.error(
            'msg="set aside: it ends this actor again and again" actor=%s iteration=%d kept="%s"',
            self.wiring.name, seq, kept,
        )  # fmt: skip
        self.hand_over(seq, {}, given, dict(given[1]))
        return True

    def go_on_after(self, error: Exception, seq: int, joined: Joined | None) -> bool:
        """Do what was asked for when the processor raises; tell whether to go on."""
        if isinstance(error, EndOfData) or self._assignment.on_error != "skip":
            self._give_up(error, seq)
            return False
        self._counts["skipped"] += 1
        if self._counts["skipped"] <= _MOST_LINES:
            last = "; more are only counted" if self._counts["skipped"] == _MOST_LINES else ""
            self._say(error, seq, f" (going on without this output{last})")
        try:
            given = self.read(joined)
        except Exception:  # noqa: BLE001 - it has been said
            given = (Data(), Data(), {})
        self.hand_over(seq, {}, given, dict(given[1]))
        return True

    def _give_up(self, error: Exception, seq: int) -> None:
        again = self._assignment.on_error == "restart" and not isinstance(error, EndOfData)
        self.failed(error, seq, RESTART if again else 1)

    def say_ended(self, seq: int) -> None:
        """There is no iteration `seq` here: say so, or leave that to a successor."""
        if self.exit_code == RESTART:
            self.station.cut()
        else:
            self.station.call("ended", seq)

    def failed(self, error: Exception, seq: int | None = None, code: int = 1) -> None:
        """Say what went wrong, once; the run will end with exit code 1."""
        if isinstance(error, EndOfData) or self.exit_code == RESTART:
            return
        self.exit_code = code
        if code == 1:
            self._row.failed = 1
        self._say(error, seq)

    def _say(self, error: Exception, seq: int | None, more: str = "") -> None:
        text = " ".join(str(error).split()) or type(error).__name__
        where = "" if seq is None else f" iteration={seq}"
        known = isinstance(error, (ValueError, TypeError, OSError)) or _is_ours(error)
        text = text if known else f"{type(error).__name__}: {text}"
        self._log.error('msg="%s%s" actor=%s%s', text, more, self.wiring.name, where)
        self._log.debug("details", exc_info=error)

    def finish(self) -> int:
        """Wait until the station has done what is left, and return the exit code."""
        self.station.call("closed")
        self._thread.join()
        return self.exit_code

    def _figures(self) -> dict[str, Any]:
        return {
            "seq": self._row.made,
            "restarts": self.wiring.incarnation - 1,
            **self._counts,
            "busy_s": self._busy_s,
            "lifetime_s": time.monotonic() - self._since,
            "pid": os.getpid(),
        }


def _is_ours(error: Exception) -> bool:
    return type(error).__module__.startswith(("camagick.", "camagick_broker."))
