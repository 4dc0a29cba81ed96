"""Where an actor begins: at the first iteration, or where its predecessor was killed. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from camagick_broker.references import restored

if TYPE_CHECKING:
    from camagick_broker.journal import Journal
    from camagick_broker.ledger import Row
    from camagick_broker.reader import SlotReader
    from camagick_broker.wiring import Wiring


@dataclass(frozen=True, slots=True)
class Resume:
    """What an actor knows when it begins; for the first of its kind, nothing.

    Attributes
    ----------
    seq
        The iteration that comes next.
    low
        Everything below this has ended, here and downstream.
    go
        For a head: everything below this was permitted.
    kept
        Messages from `low` to `seq` that were made, and may have to be sent again.
    ended_at
        The iteration that was said not to exist; None where none was.
    """

    seq: int = 0
    low: int = 0
    go: int = 0
    kept: tuple[tuple[int, list[Any]], ...] = field(default=())
    ended_at: int | None = None


def take_over(
    wiring: Wiring, row: Row, journal: Journal | None, slots: SlotReader | None = None
) -> Resume:
    """Return where an actor begins.

    Parameters
    ----------
    wiring
        Its place.
    row
        How far its predecessor has come.
    journal
        What that one has made, where nobody could make it again.
    slots
        Reads arrays that it speaks of; None where it holds them itself.
    """
    if wiring.incarnation == 1:
        return Resume()
    if journal is not None and wiring.consumers:
        first = max(row.low, row.made - journal.slots)
        records = [(seq, journal.read(seq).frames) for seq in range(first, row.made)]
        if slots is not None:
            records = [(seq, restored(frames, slots)) for seq, frames in records]
        ended_at = row.ended - 1 if row.ended else None
        return Resume(row.made, row.low, row.go, tuple(records), ended_at)
    if wiring.consumers or wiring.commits:  # it makes again what has not ended
        return Resume(row.low, row.low, row.go)
    # Nobody makes the effects of a last actor twice; it has no message to be asked for.
    ended_at = row.ended - 1 if row.ended and wiring.is_head else None
    return Resume(row.made, row.made, row.go, ended_at=ended_at)
