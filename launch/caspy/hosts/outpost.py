"""The other hosts of a run, as the launcher's supervisor sees them."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import subprocess
from typing import TYPE_CHECKING, Any

from caspy.hosts.channel import Channel
from caspy.hosts.switch import SILENT
from caspy.process import Child, fork

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from caspy.supervisor import Supervisor

log = logging.getLogger(__name__)


class Outpost:
    """One other host, whose agent has been given its order.

    Parameters
    ----------
    host
        What the plan calls it.
    alias
        The one of its alternatives that is used.
    agent
        What was started for it: ssh, srun, or the agent itself.
    channel
        To the agent.
    patience_s
        For so long nothing need be heard of it.

    Attributes
    ----------
    ended
        All its actors have ended.
    """

    def __init__(
        self, host: str, alias: str, agent: subprocess.Popen[bytes], channel: Channel,
        patience_s: float,
    ) -> None:  # fmt: skip
        self.host, self.alias = host, alias
        self.ended = False
        self._agent, self._channel, self._patience_s = agent, channel, patience_s
        self._inside: Channel | None = None

    def start(self, supervisor: Supervisor, folder: str, everybody: Iterable[Outpost]) -> Child:
        """Fork the link to the agent; the channels of `everybody` else are not its own."""
        ours, theirs = socket.socketpair()

        def work() -> int:
            from caspy.hosts.link import Link, serve

            ours.close()
            for other in everybody:
                if other is not self and other.fileno() < 0:
                    other.let_go()
            inside = Channel(theirs.fileno(), theirs.fileno())
            actors = supervisor.plan.actors
            own = [actor.number for actor in actors if actor.host != self.host]
            others = [actor.number for actor in actors if actor.host == self.host]
            link = Link(
                folder, self._channel, inside, supervisor.ledger, own, others, self._patience_s
            )
            return serve(link, self._agent)

        pid = fork(f"caspy: {supervisor.plan.bus}/@{self.alias}", work)
        theirs.close()
        self.let_go()
        self._inside = _own(ours)
        return Child(f"@{self.alias}", pid, "link")

    def let_go(self) -> None:
        """Leave the channel to another process."""
        self._channel.close()

    def fileno(self) -> int:
        """Return the open file that says when `hear` has something to return."""
        return self._inside.reads if self._inside is not None else -1

    def tell(self, op: str) -> None:
        """Tell the agent to drain, cut, or kill its actors."""
        if self._inside is not None:
            self._inside.send(op)

    def hear(self) -> list[dict[str, Any]]:
        """Return what the agent's supervisor has said."""
        try:
            messages = self._inside.receive() if self._inside is not None else []
        except EOFError:
            return []
        for message in messages:
            self.ended = self.ended or message["op"] == "ended"
        return messages

    def lost(self, code: int) -> str:
        """Say what it means that the link has ended."""
        self.ended = True
        if code == SILENT:
            return f"nothing was heard of it for {self._patience_s:g} s (-patience)"
        return "its agent, or the connection to it, has ended"

    def close(self) -> None:
        """End what was started for it, if it still lives, and let go of everything."""
        if self._inside is not None:
            self._inside.close()
        else:
            self._channel.close()
        with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
            if self._agent.poll() is None:
                self._agent.wait(2.0)
        if self._agent.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._agent.pid, signal.SIGKILL)
            self._agent.wait()


def _own(end: socket.socket) -> Channel:
    handle = end.detach()
    return Channel(handle, handle)


class Outposts:
    """All of them."""

    def __init__(self, outposts: list[Outpost] | None = None) -> None:
        self._all = outposts or []

    def __iter__(self) -> Iterator[Outpost]:
        return iter(self._all)

    @property
    def left(self) -> list[str]:
        """Names of those whose actors have not all ended."""
        return [f"@{one.alias}" for one in self._all if not one.ended]

    def tell(self, op: str) -> None:
        """Tell all agents something."""
        for one in self._all:
            one.tell(op)

    def named(self, name: str) -> Outpost:
        """Return the one whose link is called so."""
        return next(one for one in self._all if f"@{one.alias}" == name)

    def at(self, handle: int) -> Outpost | None:
        """Return the one that an open file belongs to."""
        return next((one for one in self._all if one.fileno() == handle), None)

    def close(self) -> None:
        """Let go of all of them."""
        for one in self._all:
            one.close()
