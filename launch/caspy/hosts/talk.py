"""Conversations with agents: one question after the other, while other conversations go on."""

from __future__ import annotations

import logging
import time
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from caspy.errors import PlanError
from caspy.hosts.channel import wait

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence

    from caspy.hosts.agreeing import Agent

    #: Yields what to ask, is sent the answers, and returns what came of it.
    Questions = Generator["Question", dict[str, Any], "T"]

T = TypeVar("T")
log = logging.getLogger(__name__)

#: After so long without an answer, whoever waits is told for whom.
_NOTABLE_S = 10.0
_LOOK_S = 0.1
#: Agents that have answered are told so often that others have not.
_WAIT_S = 10.0


class GivenUpError(PlanError):
    """Nobody wants to wait for an answer any more."""


class Question(NamedTuple):
    """What an agent is asked.

    Attributes
    ----------
    answer
        The kind of message that answers.
    seconds
        How long it may take.
    told
        The kind of message that asks; '' where the agent speaks by itself.
    content
        Of that message.
    """

    answer: str
    seconds: float
    told: str = ""
    content: Mapping[str, Any] = MappingProxyType({})


class Talk(Generic[T]):
    """One conversation.

    Parameters
    ----------
    agent
        With whom.
    questions
        What is asked.
    """

    def __init__(self, agent: Agent, questions: Questions[T]) -> None:
        self.agent = agent
        self._questions = questions
        self._result: list[T] = []
        self._is_said = False
        self._ask(next(questions))

    @property
    def is_over(self) -> bool:
        """Whether every question has its answer."""
        return bool(self._result)

    @property
    def result(self) -> T:
        """What came of it, when it is over."""
        return self._result[0]

    def fileno(self) -> int:
        """Return the open file that says when `step` has something to do."""
        return self.agent.channel.reads

    def step(self) -> None:
        """Take the answers that have come, and ask on.

        Raises
        ------
        PlanError
            When there will be none, or one makes no sense; says whose.
        """
        self.agent.channel.flush()
        while not self.is_over:
            answer = self.agent.hear(self._asked.answer)
            if answer is None:
                self._watch_the_clock()
                return
            try:
                self._ask(self._questions.send(answer))
            except StopIteration as end:
                self._result.append(end.value)

    def _ask(self, question: Question) -> None:
        self._asked, self._since = question, time.monotonic()
        if question.told:
            self.agent.channel.send(question.told, **question.content)

    def _watch_the_clock(self) -> None:
        waited = time.monotonic() - self._since
        if waited > self._asked.seconds:
            raise self.agent.wrong(f"no answer within {self._asked.seconds:g} s")
        if waited > _NOTABLE_S and not self._is_said:
            self._is_said = True
            log.warning('msg="no answer yet, still waiting" host=%s', self.agent.known.alias)


def together(talks: Sequence[Talk[T]], given_up: Callable[[], bool]) -> list[T]:
    """Carry on conversations until all are over; return what came of each.

    Raises
    ------
    PlanError
        When one comes to nothing.
    GivenUpError
        When `given_up` says so.
    """
    told_at = time.monotonic()
    while left := [talk for talk in talks if not talk.is_over]:
        if time.monotonic() > told_at + _WAIT_S:
            told_at = time.monotonic()
            for talk in talks:
                if talk.is_over:
                    talk.agent.channel.send("wait")
        if given_up():
            names = ", ".join(f"@{talk.agent.known.alias}" for talk in left)
            raise GivenUpError(f"{names}: given up, without an answer yet")
        wait([talk.agent.channel for talk in left], _LOOK_S)
        for talk in left:
            talk.step()
    return [talk.result for talk in talks]
