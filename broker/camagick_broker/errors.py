"""What can go wrong on the bus: our own fault, the peer's, or the place it runs in."""

from __future__ import annotations


class BusError(Exception):
    """Base of all errors of the bus."""


class LocalProtocolError(BusError):
    """We were about to do what the protocol does not allow."""


class RemoteProtocolError(BusError):
    """A peer sent what the protocol does not allow; the message is dropped, we live on.

    The text is ``kind: particulars``, so that each kind needs to be logged only once.
    """

    @property
    def kind(self) -> str:
        """What sort of fault it is, without the particulars."""
        return str(self).partition(":")[0]


class AddressError(BusError):
    """A bus cannot live where it was asked to: name, folder or path do not fit."""
