"""Who may connect to an actor: the processes that the same launcher has started.

A name in a folder can be opened by every program of its user, and a second PULL at a PUSH takes
every other message away. So the kernel is asked who has come: it knows the process at the other end
of a unix socket, and nobody can pretend to be another.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from camagick_broker.errors import RemoteProtocolError

if TYPE_CHECKING:
    from camagick_broker.refusals import Refusals


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

    def heard_noise(self, place: str) -> None:
        """Note that somebody has come who does not speak ZeroMQ."""
        error = RemoteProtocolError("not ZeroMQ: what a peer said first")
        self._refusals.note(f"connections to {place}", error)


class Visits:
    """Finds, in what a socket reports of its connections, who was hung up on: it was no ZeroMQ.

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

    def went(self, handle: int) -> bool:
        """Tell whether whoever is gone was hung up on."""
        came = self._came.pop(handle, -1)
        if self._excused:
            self._excused -= 1
            return False
        return came == self._succeeded


def pid_of(peer: str) -> int:
    """Return the process at the other end of a unix socket; 0 where it cannot be known.

    `peer` ends in ``:UID:GID:PID``, as the kernel said when it connected.
    """
    parts = peer.rsplit(":", 3)
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
