"""``-stop``: end a running bus from another terminal or host, as Ctrl-C does in its own."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from typing import TYPE_CHECKING, Any

from camagick_broker.running import fate
from caspy.process import DRAIN
from caspy.sight import find

if TYPE_CHECKING:
    from collections.abc import Iterator

    from camagick_broker.remoteinquiry import RemoteInquiry
    from camagick_broker.running import Card

#: A drain without progress is given up by the run itself, after 60 seconds; see `caspy.supervisor`.
PATIENCE_S = 90.0
_LOOK_S = 0.05
#: How long to wait for the launcher itself, when its bus has ended.
_EXIT_S = 5.0
#: How long another host may be silent about a bus that was asked to end.
_SILENT_S = 15.0
_ASK_S = 1.0


class CannotStop(Exception):
    """A bus is running, but its launcher cannot be told to end."""


def stop(name: str, patience_s: float = PATIENCE_S, key: str = "") -> tuple[str, int]:
    """Ask the launcher of a bus to drain and end, and wait until it has.

    Parameters
    ----------
    name
        The bus.
    patience_s
        How long to wait.
    key
        Key file, for a bus of another host.

    Returns
    -------
    (str, int)
        What has happened, and an exit code: 0 when it has ended, 1 when it is still draining.

    Raises
    ------
    AddressError
        When no bus of that name is running, or the key is no good.
    CannotStop
        When the process on its card is not its launcher, or the key is for looking only.
    """
    seen = find(name, key)
    if seen.key is not None:
        with seen.inquire_there(seen.key) as inquiry:
            return _stop_there(inquiry, seen.card.bus, key, patience_s)
    return _stop_here(seen.card, patience_s)


def _stop_here(card: Card, patience_s: float) -> tuple[str, int]:
    name, since = card.bus, time.monotonic()
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


def _stop_there(inquiry: RemoteInquiry, name: str, key: str, patience_s: float) -> tuple[str, int]:
    since = heard_at = time.monotonic()
    asked = False
    while inquiry.over is None:
        if not asked:
            answer = inquiry.end(_ASK_S)
            asked = answer is not None and _is_done(answer, key)
        else:
            answer = inquiry.status(_ASK_S)
        now = time.monotonic()
        heard_at = heard_at if answer is None else now
        if now > heard_at + _SILENT_S:
            return f"{name} was asked to end, and cannot be reached any more", 1
        if now > since + patience_s:
            return f"{name} was asked to end, and still drains (caspy -ls {name} key={key})", 1
        inquiry.last_word(_ASK_S if asked else _LOOK_S)
    return f"{name} has ended, after {time.monotonic() - since:.1f} s", 0


def _is_done(answer: dict[str, Any], key: str) -> bool:
    """Tell that a gateway has asked the launcher to end; raises where it has not."""
    if answer.get("may") is not True:
        raise CannotStop(
            f"the key {key} may only look and listen: caspy -grant BUS without --read-only"
            " makes one that may end the run"
        )
    if answer.get("why_not"):
        raise CannotStop(str(answer["why_not"]))
    return True


def drain(card: Card) -> str:
    """Let a bus drain and end, however often this is asked for; return why not, '' if it does."""
    try:
        with _launcher(card) as handle, contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, DRAIN)
    except CannotStop as error:
        return str(error)
    return ""


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
