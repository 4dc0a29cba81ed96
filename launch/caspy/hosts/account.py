"""What a run took with it that ended because a host was lost: counted, source by source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from caspy.rule import ancestors

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from camagick_broker.ledger import Ledger
    from caspy.layout import Actor
    from caspy.plan import Plan


@dataclass(frozen=True)
class Loss:
    """What became of the iterations of one source.

    Attributes
    ----------
    source
        The source.
    made, is_made_exact
        How many it has made; where that is not exact, it may have made more.
    safe, is_safe_exact
        How many of them have ended at all last actors; where that is not exact, it may be more.
    most
        No more than so many can be lost: no source goes farther ahead of the last actors.
    """

    source: Actor
    made: int
    is_made_exact: bool
    safe: int
    is_safe_exact: bool
    most: int

    def __str__(self) -> str:
        """Say it in a line of the log."""
        made = f"{self.made}" + ("" if self.is_made_exact else " or more")
        safe = f"{self.safe}" + ("" if self.is_safe_exact else " or more")
        return (
            f'msg="iterations made: {made}; safe in all sinks: {safe}; lost: {self._lost}"'
            f" source={self.source.name} host={self.source.host or 'local'}"
        )

    @property
    def _lost(self) -> str:
        known = self.made - self.safe
        if self.is_made_exact:
            return f"{known}" if self.is_safe_exact else f"{known} at most"
        least = f"{known} or more, " if self.is_safe_exact else ""
        return f"{least}{self.most} at most"


def losses(
    plan: Plan, ledger: Ledger, lost: Collection[str], unheard: Collection[str],
    begins: Mapping[int, int],
) -> Iterator[Loss]:  # fmt: skip
    """Yield what became of the iterations of each source of the pipes that a lost host was part of.

    Parameters
    ----------
    plan, ledger
        What was run, and how far all actors have come, now that all have ended.
    lost
        The hosts that were lost.
    unheard
        The hosts whose last words are missing: what the ledger says of their actors was true, but
        they may have come farther.
    begins
        Where actors have begun anew whose hosts were lost before: their predecessors may have
        stored more, but not by more than a window.
    """
    sure = {number: seq + plan.window for number, seq in begins.items()}
    for pipe in plan.pipes:
        if any(actor.host in lost for actor in pipe.actors):
            before = ancestors(pipe.actors)
            for head in pipe.heads:
                behind = [one for one in pipe.actors if head in {one.number, *before[one.number]}]
                yield _loss(plan, behind, ledger, unheard, sure)


def _loss(
    plan: Plan, behind: list[Actor], ledger: Ledger, unheard: Collection[str],
    sure: Mapping[int, int],
) -> Loss:  # fmt: skip
    """Count for a source, the first of all that are `behind` it."""
    source = behind[0]
    last = [actor for actor in behind if not actor.consumers]
    rows = [ledger[actor.number] for actor in last]
    return Loss(
        source=source,
        # What others have made of an iteration was made, though its source had no time to say so.
        made=max(ledger[actor.number].made for actor in behind),
        is_made_exact=source.host not in unheard,
        safe=min(row.low for row in rows),
        # One that was killed may have stored what it had no time to note.
        is_safe_exact=all(
            actor.host not in unheard
            and row.begun <= row.made == row.low >= sure.get(actor.number, 0)
            for actor, row in zip(last, rows, strict=True)
        ),
        most=plan.window,
    )
