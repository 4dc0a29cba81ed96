"""``-stats``: the figures of a run as JSON lines, once a second and at its end."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import time
from typing import TYPE_CHECKING, Any

from camagick_broker.inquiry import Inquiry
from caspy import figures

if TYPE_CHECKING:
    from collections.abc import Mapping

    from camagick_broker.running import Card
    from caspy.figures import Row

log = logging.getLogger(__name__)

PERIOD_S = 1.0
#: How long to wait for the broker's last word; it waits a second itself for that of the actors.
_LAST_S = 2.5


def serve(card: Card, handle: int) -> int:
    """Write lines until SIGTERM, which must be blocked, then the last one; return the exit code."""
    writer = _Writer(handle)
    since = due = time.monotonic()
    answer: dict[str, Any] | None = None
    with Inquiry(card.run, card.folder) as inquiry:
        inquiry.status(0.0)  # from now on it is told the end, however soon that is
        while _wait(due := due + PERIOD_S):
            answer = inquiry.status(PERIOD_S) or answer
            if answer is not None and inquiry.over is None:
                writer.write(line(card, answer, time.monotonic() - since))
        answer = inquiry.last_word(_LAST_S) or answer
        writer.write(line(card, answer or {}, time.monotonic() - since, final=True))
    return 0


def line(
    card: Card, status: Mapping[str, Any], seconds: float, *, final: bool = False
) -> dict[str, Any]:
    """Return one line.

    Parameters
    ----------
    card, status
        The run, and what its broker answered.
    seconds
        Since the start of the run.
    final
        Whether it is the last line.

    Returns
    -------
    dict
        ``final`` is true in the last line only; ``complete`` tells there whether every actor has
        said its last figures, which one that was killed has not. ``rate`` is that of the last
        second, and in the last line that of the whole run.
    """
    found = figures.rows(card, status)
    made = {
        "time": round(time.time(), 3), "bus": card.bus, "run": card.run.hex(), "final": final,
        "seconds": round(seconds, 3), "iterations": figures.iterations(card, found),
    }  # fmt: skip
    if final:
        made["complete"] = all(row.state == "ended" for row in found)
    # The end may come a moment after a report: its last line speaks of the whole run.
    over = seconds if final else 0.0
    made["actors"] = {row.name: _actor(row, over) for row in found}
    return made


def _actor(row: Row, seconds: float) -> dict[str, Any]:
    rate = row.seq / seconds if seconds else row.rate
    return {
        "state": row.state, "iterations": row.seq, "rate": round(rate, 3),
        "messages_in": row.messages_in, "bytes_in": row.bytes_in,
        "messages_out": row.messages_out, "bytes_out": row.bytes_out,
        "busy": round(row.busy, 4), "busy_seconds": round(row.busy_s, 6),
        "latency_seconds": round(row.latency_s, 6), "kept": row.kept, "resends": row.resends,
        "duplicates": row.duplicates, "gaps": row.gaps, "refused": row.refused,
        "restarts": row.restarts, "copied_bytes": row.copied_bytes,
        "slot_bytes": row.slot_bytes, "unplaced": row.unplaced, **row.own,
    }  # fmt: skip


def _wait(due: float) -> bool:
    """Wait until a time has come; tell whether that was before SIGTERM."""
    left = max(0.0, due - time.monotonic())
    return signal.sigtimedwait((signal.SIGTERM,), left) is None


class _Writer:
    """Writes lines whole; who does not read them must not hold up, or end, the run."""

    def __init__(self, handle: int) -> None:
        self._handle = handle
        self._said = self._closed = False

    def write(self, content: dict[str, Any]) -> None:
        """Write a line; a reader who has gone is no error, anything else is said once."""
        if self._closed:
            return
        left = json.dumps(content).encode() + b"\n"
        try:
            while left:
                left = left[os.write(self._handle, left) :]
        except BrokenPipeError:
            self._closed = True
            with contextlib.suppress(OSError):
                os.close(self._handle)
        except OSError as error:
            if not self._said:
                log.warning('msg="cannot write statistics: %s"', error.strerror or error)
            self._said = True
