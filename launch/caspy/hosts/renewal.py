"""In the place of a lost host: the next one that its actors may be on, sought while all goes on."""

from __future__ import annotations

import select
from typing import TYPE_CHECKING

from caspy.errors import PlanError
from caspy.hosts.outpost import end

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from caspy.crew import Beginning
    from caspy.hosts.outpost import Outpost
    from caspy.hosts.talk import Talk


class Renewal:
    """Seeks another agent.

    Parameters
    ----------
    aliases
        The hosts, in the order in which they are tried.
    start
        Starts an agent on one, and the conversation that makes an outpost of it.
    begin
        Where the actors begin.
    poll
        Is readable when `step` has something to do.
    """

    def __init__(
        self, aliases: Iterable[str], start: Callable[[str], Talk[Outpost]], begin: Beginning,
        poll: select.epoll,
    ) -> None:  # fmt: skip
        self._aliases, self._start, self._poll = iter(aliases), start, poll
        self.begin = begin
        self._talk: Talk[Outpost] | None = None
        self._problem = PlanError("there is no host to go to")

    def step(self) -> Outpost | None:
        """Go on; return the outpost once there is one.

        Raises
        ------
        PlanError
            When none can be had; says why not on the last host.
        """
        while (talk := self._talk or self._next()) is not None:
            try:
                talk.step()
            except PlanError as error:
                self._problem = error
                self.close()
                continue
            if not talk.is_over:
                return None
            self._poll.unregister(talk.fileno())
            self._talk = None
            return talk.result
        raise self._problem

    def let_go(self) -> None:
        """Leave the channel to its agent, in a process that was forked."""
        if self._talk is not None:
            self._talk.agent.channel.close()

    def close(self) -> None:
        """End the agent that has not answered yet."""
        if self._talk is not None:
            self._poll.unregister(self._talk.fileno())
            end(self._talk.agent.close())
            self._talk = None

    def _next(self) -> Talk[Outpost] | None:
        """Begin with the next host that has an agent; None where there is none any more."""
        for alias in self._aliases:
            try:
                self._talk = self._start(alias)
            except PlanError as error:
                self._problem = error
            else:
                self._poll.register(self._talk.fileno(), select.EPOLLIN)
                return self._talk
        return None
