"""Keys of sockets that leave the host: CURVE pairs, and who may connect with which.

A key is 40 bytes of Z85 (ZeroMQ RFC 32), printable, without quotes and backslashes. A secret is
never shown: not by `repr`, not in a log, not on a command line.
"""

from __future__ import annotations

import ctypes
import hashlib
import resource
from typing import TYPE_CHECKING, NamedTuple

import zmq

from camagick_broker.errors import AddressError

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Length of a key as text.
KEY_BYTES = 40
_Z85 = frozenset(
    b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
)
_PR_SET_DUMPABLE = 4


class Keys(NamedTuple):
    """A pair of keys.

    Attributes
    ----------
    public, secret
        40 bytes of Z85 each.
    """

    public: bytes
    secret: bytes

    def __repr__(self) -> str:
        return f"Keys({key_id(self.public)})"


class Lock(NamedTuple):
    """Who may connect to a socket that is bound.

    Attributes
    ----------
    own
        The keys of whoever binds.
    admitted
        Public keys of those who may connect, and who that is: for the log, and for whoever asks
        `camagick_broker.port.sender_name`. It is looked at when somebody connects: it may change.
    """

    own: Keys
    admitted: Mapping[bytes, str]


class Key(NamedTuple):
    """What a socket that connects shows, and whom it expects.

    Attributes
    ----------
    own
        The keys of whoever connects.
    server
        Public key of whoever is connected to: nobody else can be in his place.
    """

    own: Keys
    server: bytes


def fresh() -> Keys:
    """Make a pair of keys that nobody else has."""
    return Keys(*zmq.curve_keypair())


def checked(public: bytes, secret: bytes) -> Keys:
    """Return a pair of keys that came from a file or a channel.

    Raises
    ------
    AddressError
        If they are no keys, or not of one pair; the text does not say what they were.
    """
    if not (is_key(public) and is_key(secret)) or zmq.curve_public(secret) != public:
        raise AddressError("not a pair of keys: 40 characters of Z85 each, made together")
    return Keys(public, secret)


def is_key(text: bytes) -> bool:
    """Tell whether this may be a key."""
    return len(text) == KEY_BYTES and _Z85.issuperset(text)


def key_id(public: bytes) -> str:
    """Return 8 characters by which people and logs know a public key."""
    return hashlib.sha256(public).hexdigest()[:8]


def keep_secrets() -> None:
    """Let no core file be written of this process, and no other program of its user look into it.

    For processes that hold secrets. No debugger can be attached to them either.
    """
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
