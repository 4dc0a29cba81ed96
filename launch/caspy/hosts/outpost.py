"""Another host of a run, as the launcher's supervisor sees it."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Any

from caspy.hosts.channel import Channel
from caspy.hosts.switch import SILENT
from caspy.process import Child, fork

if TYPE_CHECKING:
    from collections.abc import Iterable

    from camagick_broker.ledger import Ledger
    from caspy.hosts.outposts import Outposts
    from caspy.layout import Actor
    from caspy.supervisor import Supervisor

log = logging.getLogger(__name__)

#: How long an agent may need to end its actors when its channel has.
_CUT_S = 6.0
#: How long what was started for a host may need to end, when it has nothing to do any more.
_END_S = 2.0


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
    is_lost
        Some had not, and nobody took their place.
    is_unheard
        The agent has ended before its last words: its actors may have come farther, and printed
        more, than is known.
    is_repeatable
        They can be started again elsewhere: none of them knows what nobody else does.
    """

    def __init__(
        self, host: str, alias: str, agent: subprocess.Popen[bytes], channel: Channel,
        patience_s: float, actors: Iterable[Actor] = (),
    ) -> None:  # fmt: skip
        self._actors = list(actors)
        self.is_repeatable = all(actor.node.repeatable for actor in self._actors)
        self.host, self.alias = host, alias
        self.ended = self.is_lost = self.is_unheard = False
        self._agent, self._channel, self._patience_s = agent, channel, patience_s
        self._inside: Channel | None = None

    def start(self, supervisor: Supervisor, folder: str, everybody: Outposts) -> Child:
        """Fork the link to the agent; the channels of `everybody` else are not its own."""
        ours, theirs = Channel.pair()

        def work() -> int:
            from caspy.hosts.link import Link, serve

            ours.close()
            everybody.let_go(but=self)
            there, own = supervisor.plan.parted(self.host)
            link = Link(
                folder, supervisor.plan.run, self._channel, theirs, supervisor.ledger, own, there,
                self._patience_s,
            )  # fmt: skip
            return serve(link, self._agent)

        pid = fork(f"caspy: {supervisor.plan.bus}/@{self.alias}", work)
        theirs.close()
        self.let_go()
        self._inside = ours
        return Child(self.name, pid, "link")

    @property
    def name(self) -> str:
        """What the supervisor calls it."""
        return f"@{self.host}"

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

    def is_done(self, ledger: Ledger) -> bool:
        """Tell whether nothing is left to do for its actors, as far as they could say so."""
        return all(ledger[actor.number].over for actor in self._actors)

    def give_up(self) -> None:
        """Note that it has gone without its last words, and that nobody takes its place."""
        self.is_unheard = True
        self.is_lost = self.is_lost or not self.ended
        self.ended = True

    def fence_s(self, code: int) -> float:
        """Return when the last of its actors has ended for sure, though nobody can see it.

        An agent whose channel has ended cuts its actors, and kills those that do not end; one that
        cannot be reached does so when it has heard nothing for as long as it may be silent itself.
        """
        return _CUT_S + (self._patience_s if code == SILENT else 0.0)

    def why(self, code: int) -> str:
        """Say what it means that the link has ended."""
        if code == SILENT:
            return f"nothing was heard of it for {self._patience_s:g} s (-patience)"
        return "its agent, or the connection to it, has ended"

    def close(self) -> subprocess.Popen[bytes]:
        """Let go of everything; return what was started for it, for `end`."""
        if self._inside is not None:
            self._inside.close()
        self.let_go()
        return self._agent


def end(*agents: subprocess.Popen[bytes]) -> None:
    """Wait a little for what was started for hosts, whose channels are closed; then end it.

    Not by SIGKILL at once: srun then leaves what it has asked for in Slurm's queue.
    """
    _await(agents)
    for number in (signal.SIGTERM, signal.SIGKILL):
        for agent in agents:
            if agent.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(agent.pid, number)
        _await(agents)


def _await(agents: Iterable[subprocess.Popen[bytes]]) -> None:
    deadline = time.monotonic() + _END_S
    for agent in agents:
        with contextlib.suppress(subprocess.TimeoutExpired):
            agent.wait(max(0.0, deadline - time.monotonic()))
