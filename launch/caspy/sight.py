"""A running bus as it is seen: from its own host, or from another one by a key."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Literal, NamedTuple

from camagick_broker import running
from camagick_broker.inquiry import Inquiry

if TYPE_CHECKING:
    from camagick_broker.grants import TapKey
    from camagick_broker.remoteinquiry import RemoteInquiry
    from camagick_broker.running import Card

_PATIENCE_S, _FAR_S = 1.0, 5.0


class Sight(NamedTuple):
    """A running bus.

    Attributes
    ----------
    card
        What it says about itself; of another host's without command and process.
    key
        By which it is reached; None for a bus of this host.
    """

    card: Card
    key: TapKey | None = None

    @property
    def patience_s(self) -> float:
        """How long to wait for an answer of its broker."""
        return _PATIENCE_S if self.key is None else _FAR_S

    def inquire(self) -> Inquiry:
        """Return what asks its broker."""
        if self.key is None:
            return Inquiry(self.card.run, self.card.folder)
        return self.inquire_there(self.key)

    @staticmethod
    def inquire_there(key: TapKey) -> RemoteInquiry:
        """Return what asks the broker of a bus on another host, and may end that."""
        from camagick_broker.remoteinquiry import RemoteInquiry

        return RemoteInquiry(key)

    def fate(self) -> Literal["running", "ended", "killed"]:
        """Return what has become of it; of another host's, nobody knows but its broker."""
        return running.fate(self.card) if self.key is None else "running"


def find(name: str, key: str = "") -> Sight:
    """Return a running bus.

    Parameters
    ----------
    name
        Its name; '' for the only one there is, or the one that the key is for.
    key
        Key file, for a bus of another host.

    Raises
    ------
    AddressError
        When there is none, or the key is no good; names what is wrong.
    """
    if not key:
        return Sight(running.find(name))
    from camagick_broker.grants import key_for
    from camagick_broker.keys import keep_secrets
    from camagick_broker.remote import find_there

    logging.getLogger("camagick_broker").addHandler(logging.NullHandler())  # errors say it all
    keep_secrets()
    read = key_for(key, name)
    return Sight(find_there(read), read)
