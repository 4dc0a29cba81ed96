"""What Tango's errors mean, and saying them once.

Needs no pytango: its exceptions are looked at by their names.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import logging
    from collections.abc import Hashable

#: Seconds between two error lines about one thing.
SAY = 10.0

#: Reasons in pytango's stack of errors that mean: the device cannot be reached.
_AWAY = {
    "API_CantConnectToDatabase": "no answer from the Tango database",
    "API_DatabaseNotThere": "no answer from the Tango database",
    "API_TangoHostNotSet": "TANGO_HOST is not set",
    "DB_DeviceNotDefined": "the Tango database knows no such device",
    "DB_AliasNotDefined": "the Tango database knows no such alias",
    "API_DeviceNotDefined": "no such device",
    "API_DeviceNotExported": "its server is not running",
    "API_CantConnectToDevice": "no connection to its server",
    "API_ServerNotRunning": "its server is not running",
    "API_CommunicationFailed": "no connection to its server",
    "API_CorbaException": "no connection to its server",
}
_LATE = "API_DeviceTimedOut"


class Refused(Exception):
    """The device has answered, with an error; or a value that does not suit it."""


class Away(Exception):
    """The device cannot be reached.

    Attributes
    ----------
    sent
        Whether the request may have reached it all the same.
    """

    def __init__(self, reason: str, *, sent: bool = False) -> None:
        super().__init__(reason)
        self.sent = sent


class Late(Away):
    """The device is there, but did not answer in time."""


def judged(error: Any, timeout: float) -> Exception:
    """Return what one of pytango's DevFailed means: Refused, Away, or Late."""
    reasons = [str(item.reason) for item in error.args]
    if _LATE in reasons:
        return Late(f"no answer within {timeout:g} s", sent=True)
    for reason, text in _AWAY.items():
        if reason in reasons:
            # CORBA's TRANSIENT says that the request has not been sent.
            sent = reason == "API_CommunicationFailed" and not any(
                "TRANSIENT" in str(item.desc) for item in error.args
            )
            return Away(f"{text} ({reason})", sent=sent)
    return Refused(line(error.args))


def line(stack: Any) -> str:
    """Return the root of a stack of errors in one line."""
    if not stack:
        return "no reason given"
    text = " ".join(str(stack[0].desc).split())
    text = text if len(text) <= 200 else text[:197] + "..."
    return f"{text.replace(chr(34), chr(39))} ({stack[0].reason})"


class Complaints:
    """Error lines about tags: each at once, and then not more often than every few seconds.

    Parameters
    ----------
    log
        Where they go.
    said
        The text of all, such as "not written".
    """

    def __init__(self, log: logging.Logger, said: str) -> None:
        self._log, self._text = log, said
        self._last: dict[Hashable, tuple[float, int]] = {}
        self.count = 0

    def add(self, tag: str, device: str, target: object, reason: str, value: Any = None) -> None:
        """Say, or only count, that something has failed."""
        self.count += 1
        now = time.monotonic()
        when, missed = self._last.get(tag, (now - SAY, 0))
        if now - when < SAY:
            self._last[tag] = when, missed + 1
            return
        self._last[tag] = now, 0
        shown = "" if value is None else f" value={_short(value)}"
        self._log.error(
            'msg="%s" device=%s attribute=%s tag=%s%s reason="%s" before=%d',
            self._text,
            device,
            target,
            tag,
            shown,
            reason,
            missed,
        )


def _short(value: Any) -> str:
    if isinstance(value, np.ndarray) and value.size > 8:
        return f"<{value.dtype} array of shape {value.shape}>"
    text = str(value).replace("\n", " ")
    return text if len(text) <= 80 else text[:77] + "..."
