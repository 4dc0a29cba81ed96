"""``-stop``: end a running bus from another terminal, as Ctrl-C does in its own."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from typing import TYPE_CHECKING

from camagick_broker.running import fate, find

if TYPE_CHECKING:
    from camagick_broker.running import Card

#: A drain without progress is given up by the run itself, after 60 seconds; see `caspy.supervisor`.
PATIENCE_S = 90.0
_LOOK_S = 0.05


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
    _interrupt(card)
    while (found := fate(card)) == "running":
        if time.monotonic() > since + patience_s:
            return f"{name} was asked to end, and still drains (caspy -ls {name})", 1
        time.sleep(_LOOK_S)
    how = "was killed meanwhile" if found == "killed" else "has ended"
    return f"{name} {how}, after {time.monotonic() - since:.1f} s", int(found == "killed")


def _interrupt(card: Card) -> None:
    """Send SIGINT to the launcher, once it is certain that this process is the one."""
    try:
        handle = os.pidfd_open(card.pid)
    except (OSError, OverflowError) as error:
        raise CannotStop(
            f"process {card.pid} of bus {card.bus} cannot be reached: {error}"
        ) from None
    try:
        # With the handle open, the process seen here is the one that is signalled.
        if not _holds_lock(card):
            raise CannotStop(
                f"process {card.pid} is not the launcher of bus {card.bus}: stop it by hand"
            )
        with contextlib.suppress(ProcessLookupError):  # it has just ended
            signal.pidfd_send_signal(handle, signal.SIGINT)
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
