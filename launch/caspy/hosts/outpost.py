"""The other hosts of a run, as the launcher's supervisor sees them."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
from typing import TYPE_CHECKING, Any

from caspy.errors import PlanError
from caspy.hosts.account import losses
from caspy.hosts.channel import Channel
from caspy.hosts.resuming import resume
from caspy.hosts.switch import SILENT
from caspy.process import Child, fork

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from camagick_broker.ledger import Ledger
    from caspy.crew import Beginning
    from caspy.layout import Actor
    from caspy.plan import Plan
    from caspy.supervisor import Supervisor

log = logging.getLogger(__name__)

#: How long an agent may need to end its actors when its channel has.
_CUT_S = 6.0


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

    def start(self, supervisor: Supervisor, folder: str, everybody: Iterable[Outpost]) -> Child:
        """Fork the link to the agent; the channels of `everybody` else are not its own."""
        ours, theirs = Channel.pair()

        def work() -> int:
            from caspy.hosts.link import Link, serve

            ours.close()
            for other in everybody:
                if other is not self and other.fileno() < 0:
                    other.let_go()
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

    def close(self) -> None:
        """End what was started for it, if it still lives, and let go of everything."""
        if self._inside is not None:
            self._inside.close()
        self.let_go()
        end(self._agent)


def end(agent: subprocess.Popen[bytes]) -> None:
    """Wait a little for what was started for a host, whose channel is closed; then kill it."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        agent.wait(2.0)
    if agent.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(agent.pid, signal.SIGKILL)
        agent.wait()


class Outposts:
    """All of them.

    Parameters
    ----------
    outposts
        Those there are.
    again
        Given one that was lost, and where its actors begin anew, makes another.
    """

    def __init__(
        self, outposts: list[Outpost] | None = None,
        again: Callable[[Outpost, Beginning], Outpost] | None = None,
    ) -> None:  # fmt: skip
        self._all = outposts or []
        self._again, self._times = again, 0
        self._begins: dict[int, int] = {}  # of those that were started again

    def __iter__(self) -> Iterator[Outpost]:
        return iter(self._all)

    @property
    def left(self) -> list[str]:
        """Names of those whose actors have not all ended."""
        return [one.name for one in self._all if not one.ended]

    def tell(self, op: str) -> None:
        """Tell all agents something."""
        for one in self._all:
            one.tell(op)

    def named(self, name: str) -> Outpost:
        """Return the one whose link is called so."""
        return next(one for one in self._all if one.name == name)

    def renew(self, name: str, plan: Plan, ledger: Ledger) -> Outpost | None:
        """Have another agent in the place of one that was lost; return it, if one is needed.

        Raises
        ------
        PlanError
            Where none can be had.
        """
        lost = self.named(name)
        lost.close()
        self._times += 1
        begin = resume(plan, lost.host, self._times, ledger)
        if begin.is_over:
            lost.ended = True
            return None
        if self._again is None:
            raise PlanError(f"nobody knows how to start {name} again")
        made = self._again(lost, begin)
        self._begins.update(begin.rows)
        self._all[self._all.index(lost)] = made
        return made

    def at(self, handle: int) -> Outpost | None:
        """Return the one that an open file belongs to."""
        return next((one for one in self._all if one.fileno() == handle), None)

    def account(self, plan: Plan, ledger: Ledger) -> None:
        """Say, when all has ended, what was lost with hosts, and of whom the last is not known."""
        lost = [one.host for one in self._all if one.is_lost]
        unheard = [one.host for one in self._all if one.is_unheard]
        for loss in losses(plan, ledger, lost, unheard, self._begins):
            log.error("%s", loss)
        for one in self._all:
            if one.is_unheard and not one.is_lost:
                log.warning(
                    'msg="its agent has ended before its last words: what actors there printed last'
                    ' may be missing" host=%s', one.alias,
                )  # fmt: skip

    def close(self) -> None:
        """Let go of all of them."""
        for one in self._all:
            one.close()
