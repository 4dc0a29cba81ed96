"""``-top``: a running bus as it works; a table a second, on a terminal in its place."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import time
from typing import TYPE_CHECKING, Any, TextIO

from caspy import figures
from caspy.sight import find
from caspy.table import actors_table, clock, command_of, fitting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from caspy.figures import Row
    from caspy.sight import Sight

PERIOD_S = 1.0
_LEAVE = frozenset("qQ\x03\x04")
_TROUBLE = frozenset({"resends", "dupl", "gaps", "refused", "missed", "restarts"})


def top(name: str, out: TextIO, keys: TextIO, key: str = "") -> str:
    """Show a bus until it ends, or until the user leaves.

    Parameters
    ----------
    name
        The bus; '' for the only one that is running.
    out
        Where to; a screen if it is a terminal.
    keys
        Where the user types q; heard only if both are terminals.
    key
        Key file, for a bus of another host.

    Returns
    -------
    str
        What to say at the end.

    Raises
    ------
    AddressError
        When there is no such bus, or it cannot be reached any more.
    """
    seen = find(name, key)
    with contextlib.suppress(KeyboardInterrupt):
        if out.isatty() and _has_rich():
            return _on_screen(seen, keys)
        return _line_by_line(seen, out)
    return ""


def looks(seen: Sight, wait: Callable[[float], bool]) -> Iterator[tuple[list[Row], bool]]:
    """Yield the rows of a bus, and whether its broker answers, once a second until it ends.

    Parameters
    ----------
    seen
        The bus.
    wait
        Waits so many seconds; tells whether to go on.
    """
    with seen.inquire() as inquiry:
        due = time.monotonic()
        answer: dict[str, Any] | None = None
        while inquiry.over is None:
            newest = inquiry.status(PERIOD_S)
            if newest is None and (inquiry.last_word(0.0) or seen.fate() != "running"):
                return
            answer = newest or answer
            yield figures.rows(seen.card, answer), newest is not None
            due = max(due + PERIOD_S, time.monotonic())
            if not wait(due - time.monotonic()):
                return


def _line_by_line(seen: Sight, out: TextIO) -> str:
    def wait(seconds: float) -> bool:
        time.sleep(max(0.0, seconds))
        return True

    for found, answers in looks(seen, wait):
        silent = "" if answers else ", its broker does not answer"
        out.write(f"{seen.card.bus} at {clock(time.time())}{silent}\n{actors_table(found)}\n")
        out.flush()
    return _last_words(seen)


def _on_screen(seen: Sight, keys: TextIO) -> str:
    from rich.console import Console
    from rich.live import Live

    left = []
    with (
        _single_keys(keys) as handle,
        Live(console=Console(), screen=True, auto_refresh=False, transient=True) as live,
    ):

        def wait(seconds: float) -> bool:
            if _leaves(handle, seconds):
                left.append(True)
            return not left

        for found, answers in looks(seen, wait):
            live.update(_screen(seen, found, answers, live.console.width), refresh=True)
    return "" if left else _last_words(seen)


def _screen(seen: Sight, found: list[Row], answers: bool, width: int) -> Any:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    card = seen.card
    process = f"pid {card.pid}" if seen.key is None else f"on {card.host}"
    head = Text(f"{card.bus}  {process}  since {clock(card.started)}", style="bold")
    head.append(f"  {figures.iterations(card, found)} iterations", style="not bold")
    if not answers:
        head.append("  its broker does not answer", style="bold red")
    grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="reverse")
    columns = fitting(found, width)
    for column in columns:
        grid.add_column(column.title, justify="right" if column.right else "left", no_wrap=True)
    for row in found:
        cells = []
        for column in columns:
            cell = column.text(row)
            style = "bold yellow" if column.title in _TROUBLE and cell != "-" else ""
            cells.append(Text(cell, style=style))
        grid.add_row(*cells, style="dim" if row.state != "running" else None)
    command = Text(command_of(card), style="dim", no_wrap=True, overflow="ellipsis")
    return Group(head, command, grid, Text("q leaves", style="dim"))


def _last_words(seen: Sight) -> str:
    how = "was killed" if seen.fate() == "killed" else "has ended"
    return f"{seen.card.bus} {how}"


def _has_rich() -> bool:
    from caspy.catalogue import is_installed

    if is_installed("rich"):
        return True
    sys.stderr.write("caspy: -top shows more with rich: pip install '.[top]'\n")
    return False


@contextlib.contextmanager
def _single_keys(keys: TextIO) -> Iterator[int | None]:
    """Let keys be read one by one and unseen; yields None where nobody can type."""
    import termios
    import tty

    if not keys.isatty():
        yield None
        return
    handle = keys.fileno()
    before = termios.tcgetattr(handle)
    tty.setcbreak(handle)  # Ctrl-C still is a signal
    try:
        yield handle
    finally:
        termios.tcsetattr(handle, termios.TCSADRAIN, before)


def _leaves(handle: int | None, seconds: float) -> bool:
    """Wait for a key that leaves, no longer than so many seconds."""
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        if handle is None:
            time.sleep(left)
        elif select.select([handle], [], [], left)[0]:
            typed = os.read(handle, 64).decode(errors="replace")
            if not typed or _LEAVE & set(typed):
                return True
    return False
