"""``-ls``: which buses are running, and who is on one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from camagick_broker.running import running
from caspy import figures
from caspy.sight import Sight, find
from caspy.table import COLUMNS, Column, actors_table, amount, clock, command_of, place, table

if TYPE_CHECKING:
    from camagick_broker.running import Card
    from caspy.figures import Row

_WANTED = ("#", "actor", "host", "state", "iteration", "1/s", "kept", "restarts")


def list_buses() -> str:
    """Return all running buses, as text.

    Raises
    ------
    AddressError
        Where the folder of all buses cannot be trusted.
    """
    cards = running()
    if not cards:
        return "no bus is running\n"
    lines = []
    for card in cards:
        status = ask(Sight(card))
        found = figures.rows(card, status)
        lines.append([
            card.bus, str(card.pid), clock(card.started), str(len(card.actors)),
            amount(figures.rate(card, found)), _state(status, found), command_of(card),
        ])  # fmt: skip
    titles = ("bus", "pid", "since", "actors", "1/s", "state", "command")
    return table(titles, lines, (False, True, False, True, True, False, False))


def list_actors(name: str, key: str = "") -> str:
    """Return the actors and edges of one bus, as text.

    Parameters
    ----------
    name
        The bus.
    key
        Key file, for a bus of another host: processes and command line are not shown.

    Raises
    ------
    AddressError
        When no bus of that name is running, or the key is no good.
    """
    seen = find(name, key)
    card, here = seen.card, seen.key is None
    found = figures.rows(card, ask(seen))
    process, command = (f"pid {card.pid} ", f"    {command_of(card)}\n") if here else ("", "")
    head = f"{card.bus}: {process}on {card.host}, since {clock(card.started)}\n"
    columns = [column for column in COLUMNS if column.title in _WANTED]
    if here:
        columns[2:2] = [Column("pid", True, lambda row: str(row.pid or "-"))]
    columns += [
        Column("in", True, lambda row: str(row.messages_in)),
        Column("out", True, lambda row: str(row.messages_out)),
        Column("hands on to", False, lambda row: _consumers(card, row)),
    ]
    text = f"{head}{command}{actors_table(found, columns)}"
    crossing = _crossing(card, found)
    return f"{text}\n{crossing}" if crossing else text


def ask(seen: Sight) -> dict[str, Any] | None:
    """Return what the broker of a bus knows; None when it does not answer."""
    with seen.inquire() as inquiry:
        return inquiry.status(seen.patience_s)


def _state(status: dict[str, Any] | None, found: list[Row]) -> str:
    if status is None:
        return "no broker"
    states = {row.state for row in found}
    for state in ("starting", "silent"):
        if state in states:
            return state
    return "running"


def _crossing(card: Card, found: list[Row]) -> str:
    """Return a table of the edges between hosts, with what passes over them; '' for none."""
    lines = [
        [
            place(row.name, row.host), place(consumer.name, consumer.host),
            amount(row.rate_out), amount(row.bytes_out),
        ]
        for row, consumer in figures.crossing(card, found)
    ]  # fmt: skip
    titles = ("over the network", "to", "B/s", "B so far")
    return table(titles, lines, (False, False, True, True)) if lines else ""


def _consumers(card: Card, row: Row) -> str:
    return " ".join(actor.name for actor in card.consumers(row.number)) or "-"
