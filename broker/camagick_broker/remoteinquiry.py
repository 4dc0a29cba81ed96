"""Questions to the broker of a bus on another host: as `Inquiry`, by way of that bus's gateway."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from camagick_broker.control import say
from camagick_broker.errors import AddressError
from camagick_broker.inquiry import Inquiry
from camagick_broker.remote import PATIENCE_S, connect, refusal

if TYPE_CHECKING:
    from camagick_broker.grants import TapKey
    from camagick_broker.port import Outlet


class RemoteInquiry(Inquiry):
    """Asks about one bus, again and again, and may ask for its end; for one thread.

    Parameters
    ----------
    key
        What was granted.

    Attributes
    ----------
    over
        The broker's last word, as that of `Inquiry`.
    """

    def __init__(self, key: TapKey) -> None:
        self._key = key
        self._heard_at = time.monotonic()
        super().__init__(key.run, "")

    def status(self, timeout_s: float = 2.0) -> dict[str, Any] | None:
        """Return what the broker knows; None when no answer comes in time.

        Raises
        ------
        AddressError
            When the key is refused, or nothing has been heard for a minute.
        """
        return self._checked(super().status(timeout_s))

    def end(self, timeout_s: float = 2.0) -> dict[str, Any] | None:
        """Ask that the run drains and ends; to be repeated where no answer comes.

        Returns
        -------
        dict or None
            Whether this key `may` do that, and, if so, `why_not`: '' where it is done.

        Raises
        ------
        AddressError
            As `status`.
        """
        if not self._outlet.waiting:
            self._outlet.send([say(self._run, 0, {"op": "end"})])
        return self._checked(self._wait("end", timeout_s))

    def _connect(self) -> Outlet:
        return connect(self._port, self._key)

    def _checked(self, answer: dict[str, Any] | None) -> dict[str, Any] | None:
        """Return an answer; raises where none will come any more."""
        now = time.monotonic()
        if answer is not None or self.over is not None:
            self._heard_at = now
        elif reason := refusal(self._port, self._key):
            raise AddressError(reason)
        elif now > self._heard_at + PATIENCE_S:
            raise AddressError(f"nothing heard of bus {self._key.bus} for {PATIENCE_S:.0f} s")
        return answer
