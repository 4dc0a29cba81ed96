"""What one actor does about errors: say them, count them, go on or give up."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from camagick.processor import EndOfData

if TYPE_CHECKING:
    from camagick.actor.assignment import Assignment
    from camagick_broker.ledger import Row

#: Exit code of an actor whose processor has failed.
FAILED = 1
#: Exit code of an actor that wants to be started anew, since its processor has failed.
RESTART = 75
#: The same, where the fault lies outside of it (a full disk, a device that is away): whatever it
#: was at is not to blame, and may be tried again for long.
OUTSIDE = 76
_MOST_LINES = 5


class Failures:
    """Errors of one actor.

    Parameters
    ----------
    assignment
        The actor's work.
    row
        What outlives the process.

    Attributes
    ----------
    exit_code
        Of the process; whoever takes the place of a failed one fails, too.
    counts
        How many iterations went on without this actor's output, and why.
    """

    def __init__(self, assignment: Assignment, row: Row) -> None:
        self._name = assignment.wiring.name
        self._on_error = assignment.on_error
        self._row = row
        self._log = logging.getLogger(type(assignment.node).__module__)
        self.exit_code = FAILED if row.failed else 0
        self.counts = {"errors": 0, "dead_letters": 0, "torn": 0}

    @property
    def again(self) -> bool:
        """Whether a new process shall go on from here."""
        return self.exit_code in (RESTART, OUTSIDE)

    def stops(self, error: Exception, seq: int) -> bool:
        """Take an error of a processor in an iteration; tell whether this is the end."""
        if isinstance(error, EndOfData):
            return True
        if self._on_error != "skip":
            self.give_up(error, seq)
            return True
        self._count("errors", error, seq)
        return False

    def torn(self, error: Exception, seq: int) -> None:
        """Note an iteration whose inputs do not belong together."""
        self._count("torn", error, seq)

    def give_up(self, error: Exception, seq: int) -> None:
        """End for an error: of the run, or of this process."""
        code = FAILED
        if self._on_error == "restart":
            code = OUTSIDE if _is_outside(error) else RESTART
        self.fatal(error, seq, code)

    def fatal(self, error: Exception, seq: int | None = None, code: int = FAILED) -> None:
        """Say what went wrong, once; the run will end with exit code 1."""
        if isinstance(error, EndOfData) or self.again:
            return
        self.exit_code = code
        if code == FAILED:
            self._row.failed = 1
        self._say(error, seq)

    def set_aside(self, seq: int, kept: str) -> None:
        """Note an iteration that has ended this actor again and again."""
        self.counts["dead_letters"] += 1
        text = "set aside: it ends this actor again and again"
        self._log.error('msg="%s" actor=%s iteration=%d kept="%s"', text, self._name, seq, kept)

    def _count(self, what: str, error: Exception, seq: int) -> None:
        self.counts[what] += 1
        if self.counts[what] <= _MOST_LINES:
            last = "; more are only counted" if self.counts[what] == _MOST_LINES else ""
            self._say(error, seq, f" (going on without this output{last})")

    def _say(self, error: Exception, seq: int | None, more: str = "") -> None:
        text = " ".join(str(error).split()) or type(error).__name__
        where = "" if seq is None else f" iteration={seq}"
        known = isinstance(error, (ValueError, TypeError, OSError)) or _is_ours(error)
        text = text if known else f"{type(error).__name__}: {text}"
        self._log.error('msg="%s%s" actor=%s%s', text, more, self._name, where)
        self._log.debug("details", exc_info=error)


def _is_ours(error: Exception) -> bool:
    return type(error).__module__.startswith(("camagick.", "camagick_broker."))


def _is_outside(error: BaseException | None) -> bool:
    """Tell whether the system, or something that it reaches, is the cause of an error."""
    while error is not None:
        if isinstance(error, OSError):
            return True
        error = error.__cause__ or error.__context__
    return False
