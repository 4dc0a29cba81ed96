"""What passes between the hosts of a plan, as measured in a bus that runs with the same actors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from caspy import figures
from caspy.card import members
from caspy.table import amount, place, table

if TYPE_CHECKING:
    from camagick_broker.running import Card
    from caspy.plan import Plan

UNKNOWN = "bytes a second are known once it runs: -plan again beside it, or caspy -ls BUS"


class Measured(NamedTuple):
    """What was measured.

    Attributes
    ----------
    card
        The bus.
    edges
        What passes over the network there.
    """

    card: Card
    edges: list[figures.Crossing]


def measured(plan: Plan, bus: str | None) -> Measured | None:
    """Return what passes between the hosts of a plan where it runs; None where it does not.

    Parameters
    ----------
    plan
        Its window and count may be others.
    bus
        Where to look; None for the newest bus that has the same actors.
    """
    if not plan.hosts:
        return None
    from caspy.buses import ask
    from caspy.sight import Sight

    card = _twin(plan, bus)
    status = None if card is None else ask(Sight(card))
    if card is None or status is None:
        return None
    edges = figures.crossing(card, figures.rows(card, status))
    return Measured(card, edges) if any(one.row.messages_out for one in edges) else None


def _twin(plan: Plan, bus: str | None) -> Card | None:
    from camagick_broker.errors import AddressError
    from camagick_broker.running import running

    try:
        cards = running()
    except AddressError:  # a plan can be shown without
        return None
    own = members(plan)
    fitting = [card for card in cards if card.actors == own and bus in (None, card.bus)]
    return fitting[-1] if fitting else None


def as_text(found: Measured) -> list[str]:
    """Return it as the lines of a table."""
    lines = [
        [
            place(one.row.name, one.row.host), place(one.to.name, one.to.host),
            amount(one.message_bytes), amount(one.row.rate_messages), amount(one.row.rate_out),
        ]
        for one in found.edges
    ]  # fmt: skip
    titles = (f"over the network in bus {found.card.bus}", "to", "B/message", "1/s", "B/s")
    return table(titles, lines, (False, False, True, True, True)).splitlines()


def as_fields(found: Measured) -> dict[str, Any]:
    """Return it as maps and lists."""
    return {
        "bus": found.card.bus,
        "edges": [
            {
                "from": one.row.name, "to": one.to.name,
                "bytes_a_message": round(one.message_bytes),
                "messages_a_second": round(one.row.rate_messages, 3),
                "bytes_a_second": round(one.row.rate_out),
            }
            for one in found.edges
        ],
    }  # fmt: skip
