"""Who may connect to an actor: the processes that the same launcher has started.

A name in a folder can be opened by every program of its user, and a second PULL at a PUSH takes
every other message away. So the kernel is asked who has come: it knows the process at the other end
of a unix socket, and nobody can pretend to be another. Over a network it is keys that say who
somebody is.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from camagick_broker.errors import RemoteProtocolError
from camagick_broker.keys import key_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from camagick_broker.refusals import Refusals

#: Of a peer that was hung up on, or hung up, before it had said who it is.
NO_KEY = "no key was shown: noise, a plain peer, a port scan, or a cut connection"


class Doorman:
    """Admits or turns away who connects, and keeps account of the latter.

    Parameters
    ----------
    refusals
        Where it is counted and logged.
    """

    def __init__(self, refusals: Refusals) -> None:
        self._refusals = refusals

    def admits(self, place: str, peer: str) -> bool:
        """Tell whether a peer may connect.

        Parameters
        ----------
        place
            The socket, as the log calls it.
        peer
            Its address, as ZeroMQ says it, see `pid_of`.
        """
        if is_kin(peer):
            return True
        if has_gone(peer):  # perhaps one of ours
            return False
        error = RemoteProtocolError(f"a stranger wants to connect: {describe(peer)}")
        self._refusals.note(f"connections to {place}", error)
        return False

    def recognises(
        self, place: str, peer: str, key: bytes, admitted: Mapping[bytes, str]
    ) -> str | None:
        """Return whose key this is; None if nobody with it may connect.

        Parameters
        ----------
        place, peer
            See `admits`.
        key
            The public key that the peer has shown, and proved to be its own.
        admitted
            Public keys of those who may connect, and who that is.
        """
        who = admitted.get(key)
        if not who:
            self.refuse(place, f"unknown key: {key_id(key)}", peer)
            return None
        return who

    def refuse(self, place: str, reason: str, peer: str) -> None:
        """Note that a peer from another host was turned away; log it once per peer and kind."""
        peer = peer or "an address that has gone"
        error = RemoteProtocolError(reason)
        self._refusals.note(f"connections to {place}", error, peer, once_for=peer)

    def heard_noise(self, place: str) -> None:
        """Note that somebody has come who does not speak ZeroMQ."""
        error = RemoteProtocolError("not ZeroMQ: what a peer said first")
        self._refusals.note(f"connections to {place}", error)


class Visits:
    """Finds in what a socket reports who was hung up on, since he did not speak ZeroMQ.

    ZeroMQ does not say which connection has succeeded. Who is hung up on while nobody has succeeded
    since he came, has not; and nobody is accused of it who may have.
    """

    def __init__(self) -> None:
        self._succeeded = self._excused = 0
        self._came: dict[int, int] = {}

    def came(self, handle: int) -> None:
        """Note that somebody has connected."""
        self._came[handle] = self._succeeded

    def succeeded(self) -> None:
        """Note that somebody's handshake has succeeded."""
        self._succeeded += 1

    def excused(self) -> None:
        """Note that the next to go has left by himself, or that the doorman knows of him."""
        self._excused += 1

    def forget(self, handle: int) -> None:
        """Note that somebody has gone of whom all is known."""
        self._came.pop(handle, None)

    def went(self, handle: int) -> bool:
        """Tell whether whoever is gone was hung up on."""
        came = self._came.pop(handle, -1)
        if self._excused:
            self._excused -= 1
            return False
        return came == self._succeeded


class Callers:
    """Finds in what a socket with a lock reports who was hung up on, and why.

    ZeroMQ reports on one after the other: what has failed is said right before its end. Who has
    failed without a word of that has not even greeted, see `Visits`.
    """

    def __init__(self) -> None:
        self._visits = Visits()
        self._names: dict[int, str] = {}
        self._reason = ""

    def came(self, handle: int, name: str) -> None:
        """Note that somebody has connected, and from where."""
        self._visits.came(handle)
        self._names[handle] = name

    def succeeded(self) -> None:
        """Note that somebody's handshake has succeeded."""
        self._visits.succeeded()

    def excused(self) -> None:
        """Note that the doorman has refused somebody: it is counted already."""
        self._visits.excused()

    def failed(self, reason: str) -> None:
        """Note why the next to go is hung up on."""
        self._reason = reason

    def went(self, handle: int) -> tuple[str, str] | None:
        """Return why somebody was hung up on, and where he came from; None if he was not."""
        name, reason, self._reason = self._names.pop(handle, ""), self._reason, ""
        if reason:
            self._visits.forget(handle)
            return reason, name
        return (NO_KEY, name) if self._visits.went(handle) else None


def pid_of(peer: str) -> int:
    """Return the process at the other end of a unix socket; 0 where it cannot be known.

    `peer` is ``HOST:UID:GID:PID``, as the kernel said when it connected. An address of IPv6 may
    look like that at its end; it has more colons.
    """
    parts = peer.rsplit(":", 3)
    if ":" in parts[0]:
        return 0
    if len(parts) == 4 and all(part.isdecimal() for part in parts[1:]):
        return int(parts[3])
    return 0


def is_kin(peer: str) -> bool:
    """Tell whether a peer is this process, its parent, or another child of its parent."""
    pid = pid_of(peer)
    if not pid:
        return False
    launcher = os.getppid()
    return pid in (os.getpid(), launcher) or _parent(pid) == launcher


def has_gone(peer: str) -> bool:
    """Tell whether a peer's process has ended, so that nobody can say any more who it was."""
    return bool(pid_of(peer)) and _parent(pid_of(peer)) < 0


def describe(peer: str) -> str:
    """Say who a peer is."""
    pid = pid_of(peer)
    if not pid:
        return f"{peer:.80}" or "unknown"
    try:
        name = Path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return f"process {pid}, which has gone"
    return f"process {pid} ({name})"


def _parent(pid: int) -> int:
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:  # it has gone
        return -1
    # The name, in parentheses, may contain anything; behind it come state and parent.
    return int(stat.rpartition(b")")[2].split()[1])
