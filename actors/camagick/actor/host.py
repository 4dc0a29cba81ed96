"""Runs one processor: takes iterations from the station, hands results back to it."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from camagick.actor.inputs import Inputs, Tree
from camagick.actor.messages import Writer
from camagick.data import Data
from camagick.processor import EndOfData, ProcessorBase, Result, conclude
from camagick_broker.protocol import Stop
from camagick_broker.station import Station

if TYPE_CHECKING:
    from collections.abc import Mapping

    from camagick_broker.edges import Joined
    from camagick_broker.protocol import Permit
    from camagick_broker.wiring import Wiring

log = logging.getLogger(__name__)

#: Exit code of an actor whose I/O thread failed.
SOCKETS_FAILED = 70
#: Exit code of an actor that never started: nothing can drain through it.
NOT_STARTED = 3
#: Seconds between two chances for the I/O thread while the processor is busy in Python.
_SWITCH_S = 0.0005


class Host:
    """What the two kinds of hosts (with and without an event loop) have in common.

    Parameters
    ----------
    node
        The processor.
    wiring
        Its place on the bus.
    tree
        How its inputs belong together; None for a head.
    progress
        A writable sequence: its first number is how many iterations have been done.
    """

    def __init__(
        self, node: ProcessorBase, wiring: Wiring, tree: Tree | None, progress: Any
    ) -> None:
        self.node = node
        self.wiring = wiring
        self.stopping = False
        self.exit_code = 0
        self.waits = node.gates or wiring.is_head
        self._inputs = Inputs(wiring.inputs, tree) if tree is not None else None
        self._write = Writer(wiring, copies=node.keeps_frames)
        self._busy_s = 0.0
        self._progress = progress
        self._since = time.monotonic()
        self._log = logging.getLogger(type(node).__module__)
        self.station = Station(wiring, self.deliver, self._figures)
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

    def hand_over(self, seq: int, made: Result, given: tuple[Any, ...], before: Any) -> None:
        """Send on what the processor made of an iteration."""
        data, context, lineage = given
        result = conclude(self.node, made, data, context, before)
        frames = self._write(seq, result, context, lineage) if self.wiring.consumers else []
        self._progress[0] = seq + 1
        self.station.call("sent", seq, frames)

    def count_busy(self, since: float) -> None:
        """Note that the processor has worked since then (`time.perf_counter`)."""
        self._busy_s += time.perf_counter() - since

    def failed(self, error: Exception, seq: int | None = None, code: int = 1) -> None:
        """Say what went wrong, once; the run will end with exit code 1."""
        if isinstance(error, EndOfData):
            return
        self.exit_code = code
        text = " ".join(str(error).split()) or type(error).__name__
        where = "" if seq is None else f" iteration={seq}"
        known = isinstance(error, (ValueError, TypeError, OSError)) or _is_ours(error)
        text = text if known else f"{type(error).__name__}: {text}"
        self._log.error('msg="%s" actor=%s%s', text, self.wiring.name, where)
        self._log.debug("details", exc_info=error)

    def finish(self) -> int:
        """Wait until the station has done what is left, and return the exit code."""
        self.station.call("closed")
        self._thread.join()
        return self.exit_code

    def _figures(self) -> dict[str, Any]:
        return {
            **self.node.figures(),
            "seq": self._progress[0],
            "busy_s": self._busy_s,
            "lifetime_s": time.monotonic() - self._since,
            "pid": os.getpid(),
        }


def _is_ours(error: Exception) -> bool:
    return type(error).__module__.startswith(("camagick.", "camagick_broker."))
