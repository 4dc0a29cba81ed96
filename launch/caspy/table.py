"""Plain-text tables, and numbers as people read them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from caspy.words import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from camagick_broker.running import Card
    from caspy.figures import Row


class Column(NamedTuple):
    """One column: its title, whether it is flush right, and what stands in it."""

    title: str
    right: bool
    text: Callable[[Row], str]


def _count(number: float) -> str:
    """Return a whole number; nothing for none, so that what is not 0 is seen."""
    return str(int(number)) if number else "-"


def amount(number: float) -> str:
    """Return a number with three digits and its order of magnitude: 12.3k."""
    for power, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= power:
            return f"{number / power:.3g}{letter}" if number < 1e12 else f"{number:.1e}"
    return f"{number:.3g}" if number < 999.5 else "1k"


def _share(share: float) -> str:
    return f"{100 * share:.0f}%"


def _latency(row: Row) -> str:
    return f"{row.latency_s * 1000:.3g}" if row.messages_in else "-"


#: Shown where there are several.
HOST = Column("host", False, lambda row: row.host or "-")
COLUMNS = (
    Column("#", True, lambda row: str(row.number)),
    Column("actor", False, lambda row: row.name),
    HOST,
    Column("state", False, lambda row: row.state),
    Column("iteration", True, lambda row: str(row.seq)),
    Column("1/s", True, lambda row: amount(row.rate)),
    Column("in B/s", True, lambda row: amount(row.rate_in)),
    Column("out B/s", True, lambda row: amount(row.rate_out)),
    Column("latency ms", True, _latency),
    Column("busy", True, lambda row: _share(row.busy)),
    Column("waiting", True, lambda row: _share(1 - row.busy)),
    Column("kept", True, lambda row: _count(row.kept)),
    Column("resends", True, lambda row: _count(row.resends)),
    Column("dupl", True, lambda row: _count(row.duplicates)),
    Column("gaps", True, lambda row: _count(row.gaps)),
    Column("refused", True, lambda row: _count(row.refused)),
    Column("missed", True, lambda row: _count(row.own.get("missed", 0))),
    Column("restarts", True, lambda row: _count(row.restarts)),
)
#: What is left out, in this order, where there is no room for everything.
_SPARE = ("waiting", "in B/s", "#", "state", "latency ms", "out B/s", "busy")
_GAP = 2


def fitting(rows: Sequence[Row], width: int) -> list[Column]:
    """Return the columns that have room in a width; first those go in which nothing stands."""
    columns = [one for one in COLUMNS if one is not HOST or _has_hosts(rows)]
    empty = [one.title for one in COLUMNS[::-1] if all(one.text(row) == "-" for row in rows)]
    for title in (*empty, *_SPARE):
        if _width(rows, columns) <= width:
            break
        columns = [column for column in columns if column.title != title]
    return columns


def _has_hosts(rows: Sequence[Row]) -> bool:
    return any(row.host for row in rows)


def _width(rows: Sequence[Row], columns: Sequence[Column]) -> int:
    cells = [max(len(one.title), *(len(one.text(row)) for row in rows)) for one in columns]
    return sum(cells) + _GAP * (len(cells) - 1)


def table(titles: Sequence[str], lines: Sequence[Sequence[str]], right: Sequence[bool]) -> str:
    """Return a table, as wide as it has to be; the last column is not padded."""
    all_lines = [titles, *lines]
    widths = [max(len(line[place]) for line in all_lines) for place in range(len(titles))]
    return "".join(
        (" " * _GAP)
        .join(
            cell.rjust(width) if flush else cell.ljust(width)
            for cell, width, flush in zip(line, widths, right, strict=True)
        )
        .rstrip()
        + "\n"
        for line in all_lines
    )


def actors_table(rows: Sequence[Row], columns: Sequence[Column] = COLUMNS) -> str:
    """Return the actors of a bus as a table."""
    columns = [one for one in columns if one is not HOST or _has_hosts(rows)]
    lines = [[column.text(row) for column in columns] for row in rows]
    return table([one.title for one in columns], lines, [one.right for one in columns])


def place(name: str, host: str) -> str:
    """Return an actor and where it runs, as it is typed."""
    return f"{name} @{host}" if host else name


def clock(seconds: float) -> str:
    """Return a moment, in local time."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def command_of(card: Card) -> str:
    """Return the command line of a run, as it would be typed."""
    return " ".join(map(shown, card.command))
