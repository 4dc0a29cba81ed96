"""``-stop``: end a running bus from another terminal, as Ctrl-C does in its own."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from typing import TYPE_CHECKING

from camagick_broker.running import fate, find

if TYPE_CHECKING:
    from collections.abc import Iterator

    from camagick_broker.running import Card

#: A drain without progress is given up by the run itself, after 60 seconds; see `caspy.supervisor`.
PATIENCE_S = 90.0
_LOOK_S = 0.05
#: How long to wait for the launcher itself, when its bus has ended.
_EXIT_S = 5.0


class CannotStop(Exception):
    """A bus is running, but its launcher cannot be told to end."""


def stop(name: str, patience_s: float = PATIENCE_S) -> tuple[str, int]:
    """Ask the launcher of a bus to drain and end, and wait until it has.

    Parameters
    ----------
    name
        The bus.
    patience_s
        How long to wait.

    Returns
    -------
    (str, int)
        What has happened, and an exit code: 0 when it has ended, 1 when it is still draining.

    Raises
    ------
    AddressError
        When no bus of that name is running.
    CannotStop
        When the process on its card is not its launcher.
    """
    card = find(name)
    since = time.monotonic()
    with _launcher(card) as handle:
        with contextlib.suppress(ProcessLookupError):  # it has just ended
            signal.pidfd_send_signal(handle, signal.SIGINT)
        while (found := fate(card)) == "running":
            if time.monotonic() > since + patience_s:
                return f"{name} was asked to end, and still drains (caspy -ls {name})", 1
            time.sleep(_LOOK_S)
        if card.command[:1] == ("caspy",):  # a script may have more to do
            select.select([handle], [], [], _EXIT_S)
    how = "was killed meanwhile" if found == "killed" else "has ended"
    return f"{name} {how}, after {time.monotonic() - since:.1f} s", int(found == "killed")


def ask(card: Card, times: int = 1) -> None:
    """Press Ctrl-C in the terminal of a bus: once to drain and end, twice to end at once.

    Raises
    ------
    CannotStop
        When the process on its card is not its launcher.
    """
    with _launcher(card) as handle:
        for _ in range(times):
            with contextlib.suppress(ProcessLookupError):  # it has just ended
                signal.pidfd_send_signal(handle, signal.SIGINT)
            time.sleep(_LOOK_S)


@contextlib.contextmanager
def _launcher(card: Card) -> Iterator[int]:
    """Yield a handle of the launcher of a bus, once it is certain that this process is the one."""
    try:
        handle = os.pidfd_open(card.pid)
    except (OSError, OverflowError) as error:
        reason = f"process {card.pid} of bus {card.bus} cannot be reached: {error}"
        raise CannotStop(reason) from None
    try:
        # With the handle open, the process seen here is the one that will be signalled.
        if not _holds_lock(card):
            raise CannotStop(
                f"process {card.pid} is not the launcher of bus {card.bus}: stop it by hand"
            )
        yield handle
    finally:
        os.close(handle)


def _holds_lock(card: Card) -> bool:
    """Tell whether the process on the card has the lock of its bus open."""
    try:
        lock = (card.folder / "lock").stat()
        opened = os.listdir(f"/proc/{card.pid}/fd")
    except FileNotFoundError:
        return fate(card) != "running"  # it has just ended
    except OSError:
        return False
    for number in opened:
        with contextlib.suppress(OSError):
            if os.path.samestat(os.stat(f"/proc/{card.pid}/fd/{number}"), lock):
                return True
    return False
