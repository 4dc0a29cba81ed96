"""Where the actors of a lost host begin anew, and which of them need not. No I/O.

What they noted themselves of the last moments is not known. What they told their producers is:
nothing of the lost host can reach those any more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from camagick_broker.wiring import LIVES
from caspy.crew import Beginning

if TYPE_CHECKING:
    from camagick_broker.ledger import Ledger, Row
    from caspy.plan import Plan


def resume(plan: Plan, host: str, times: int, ledger: Ledger) -> Beginning:
    """Return where the actors of a host begin that was lost.

    Their producers keep what has not ended behind them: from there on all can be made again. An
    actor that has told one of them that the end has ended here and downstream is over, though it
    had no time to say so to all: it is noted as such, for the others as well.

    Parameters
    ----------
    plan, ledger
        What is run, and how far all have come.
    host
        What the plan calls it.
    times
        How many hosts have been lost.
    """
    begins: dict[int, int] = {}
    for actor in plan.actors:  # producers stand before their consumers
        if actor.host == host:
            row = ledger[actor.number]
            before = [ledger[number] for number in actor.inputs]
            if any(map(_has_ended, before)):
                row.over = 1
            lows = (begins.get(one, ledger[one].low) for one in actor.inputs)
            begins[actor.number] = max(lows, default=0)
    over = [number for number in begins if ledger[number].over]
    return Beginning(times * LIVES + 1, begins, over)


def _has_ended(row: Row) -> bool:
    """Tell whether all of an actor has ended downstream: nothing is kept there for anybody."""
    return bool(row.over or (row.ended and row.low >= row.ended))
