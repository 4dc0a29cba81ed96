"""The other hosts of a run, as the launcher's supervisor sees them: who is there, who is sought."""

from __future__ import annotations

import logging
import select
from typing import TYPE_CHECKING

from caspy.errors import PlanError
from caspy.hosts.account import losses
from caspy.hosts.outpost import end
from caspy.hosts.resuming import resume

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from camagick_broker.ledger import Ledger
    from caspy.crew import Beginning
    from caspy.hosts.outpost import Outpost
    from caspy.hosts.renewal import Renewal
    from caspy.plan import Plan

log = logging.getLogger(__name__)


class Outposts:
    """All of them.

    Parameters
    ----------
    outposts
        Those there are.
    again
        Given one that was lost, where its actors begin anew, and what is to be readable when there
        is something to do, seeks another.
    """

    def __init__(
        self, outposts: list[Outpost] | None = None,
        again: Callable[[Outpost, Beginning, select.epoll], Renewal] | None = None,
    ) -> None:  # fmt: skip
        self._all = outposts or []
        self._again, self._times = again or _nowhere, 0
        self._sought: dict[str, Renewal] = {}
        self._poll = select.epoll()
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

    def fileno(self) -> int:
        """Return the open file that says when `found` has something to do."""
        return self._poll.fileno()

    def is_sought(self, name: str) -> bool:
        """Tell whether another agent is sought for one that was lost."""
        return name in self._sought

    def seek(self, name: str, plan: Plan, ledger: Ledger) -> bool:
        """Seek another agent for one that was lost; tell whether one is needed."""
        lost = self.named(name)
        end(lost.close())
        self._times += 1
        begin = resume(plan, lost.host, self._times, ledger)
        if begin.is_over:
            lost.ended = True
        else:
            self._sought[name] = self._again(lost, begin, self._poll)
        return not begin.is_over

    def found(self) -> Iterator[tuple[str, Outpost | PlanError]]:
        """Go on seeking; give what was found, or why nothing is, by the name of what was lost."""
        for name in list(self._sought):
            renewal = self._sought.get(name)
            if renewal is None:  # what was given before has put an end to all
                continue
            try:
                outpost = renewal.step()
            except PlanError as error:
                del self._sought[name]
                yield name, error
                continue
            if outpost is not None:
                del self._sought[name]
                self._begins.update(renewal.begin.rows)
                self._all[self._all.index(self.named(name))] = outpost
                yield name, outpost

    def seek_no_more(self) -> None:
        """End all agents that were begun to be sought."""
        for renewal in self._sought.values():
            renewal.close()
        self._sought.clear()

    def let_go(self, but: Outpost | None = None) -> None:
        """Leave the channels to agents to their own processes, in one that was forked."""
        for renewal in self._sought.values():
            renewal.let_go()
        for one in self._all:
            if one is not but:
                one.let_go()

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
        """Let go of all of them, and end what was started for them."""
        self.seek_no_more()
        end(*[one.close() for one in self._all])
        self._poll.close()


def _nowhere(lost: Outpost, begin: Beginning, poll: select.epoll) -> Renewal:
    raise NotImplementedError  # there is none that could be lost
