"""When an iteration may start, against the contract of DESIGN 4."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from camagick_broker.starter import Starter

if TYPE_CHECKING:
    from collections.abc import Callable


def test_the_window_bounds_what_is_under_way():
    starter = Starter([1], [], [9], lockstep=False, window=3)
    assert starter.permitted == 3
    starter.done(1, 2)
    assert starter.permitted == 5


def test_a_gate_lets_one_through_at_a_time():
    starter = Starter([1], [4], [9], lockstep=False, window=3)
    assert starter.permitted == 1
    starter.passed(4, 1)
    assert starter.permitted == 2
    starter.passed(4, 2)
    starter.passed(4, 3)
    assert starter.permitted == 3  # the window, for nothing has ended yet


def test_several_gates_all_count():
    starter = Starter([1], [4, 5], [9], lockstep=False, window=8)
    starter.passed(4, 5)
    assert starter.permitted == 1
    starter.passed(5, 1)
    assert starter.permitted == 2


def test_lockstep_waits_for_the_end_at_all_last_actors():
    starter = Starter([1], [4], [8, 9], lockstep=True, window=8)
    assert starter.permitted == 1
    starter.passed(4, 5)  # a gate says nothing in lockstep
    starter.passed(8, 1)
    assert starter.permitted == 1
    starter.passed(9, 1)
    assert starter.permitted == 2


def test_lockstep_too_keeps_no_more_than_the_window():
    starter = Starter([1], [], [9], lockstep=True, window=2)
    for n in range(1, 9):
        starter.passed(9, n)
    assert starter.permitted == 2


def test_heads_start_together():
    starter = Starter([1, 2], [], [9], lockstep=False, window=8)
    assert starter.permitted == 0
    starter.armed(1, 3)
    assert starter.permitted == 0
    starter.armed(2, 1)
    assert starter.permitted == 1


def test_old_and_foreign_news_change_nothing():
    starter = Starter([1], [4], [9], lockstep=False, window=3)
    starter.passed(4, 2)
    starter.passed(4, 1)
    starter.passed(5, 0)
    starter.done(7, 100)
    starter.armed(1, 0)
    assert starter.permitted == 3


class Contract(RuleBasedStateMachine):
    """Whatever is said, in any order: nothing starts against the contract, and nothing hangs."""

    heads: tuple[int, ...] = (1, 2)
    gates: tuple[int, ...] = (5, 6)
    terminals: tuple[int, ...] = (8, 9)
    lockstep = False
    window = 3

    def __init__(self):
        super().__init__()
        self.starter = Starter(
            self.heads, self.gates, self.terminals, lockstep=self.lockstep, window=self.window
        )
        self.armed = dict.fromkeys(self.heads, 0)
        self.done = dict.fromkeys(self.heads, 0)
        self.passed = dict.fromkeys(self.terminals if self.lockstep else self.gates, 0)
        self.before = 0

    def say(
        self, table: dict[int, int], tell: Callable[[int, int], None], which: int, below: int
    ) -> None:
        actor = sorted(table)[which % len(table)]
        tell(actor, below)
        table[actor] = max(table[actor], below)

    @rule(which=st.integers(0, 1), below=st.integers(0, 12))
    def arm(self, which, below):
        self.say(self.armed, self.starter.armed, which, below)

    @rule(which=st.integers(0, 1), below=st.integers(0, 12))
    def end(self, which, below):
        self.say(self.done, self.starter.done, which, below)

    @rule(which=st.integers(0, 1), below=st.integers(0, 12))
    def pass_on(self, which, below):
        self.say(self.passed, self.starter.passed, which, below)

    @invariant()
    def is_kept(self):
        go = self.starter.permitted
        assert go >= self.before, "what was permitted is not taken back"
        self.before = go
        for n in range(go):  # iteration n may start, so:
            assert all(below > n for below in self.armed.values()) or len(self.heads) == 1
            assert all(below >= n for below in self.passed.values()), "n-1 has left, or ended"
            assert n - min(self.done.values()) < self.window
        blocked = (
            any(below <= go for below in self.armed.values() if self.heads[1:])
            or any(below < go for below in self.passed.values())
            or go - min(self.done.values()) >= self.window
        )
        assert blocked, "the next iteration is held back for no reason"


class InLockstep(Contract):
    lockstep = True


class OneHead(Contract):
    heads: tuple[int, ...] = (1,)


class NoGate(Contract):
    heads: tuple[int, ...] = (1,)
    gates: tuple[int, ...] = ()

    def say(
        self, table: dict[int, int], tell: Callable[[int, int], None], which: int, below: int
    ) -> None:
        if table:
            super().say(table, tell, which, below)


TestContract = Contract.TestCase
TestInLockstep = InLockstep.TestCase
TestOneHead = OneHead.TestCase
TestNoGate = NoGate.TestCase


@given(st.integers(1, 9), st.booleans())
def test_a_pipe_that_reports_everything_runs_for_ever(window, lockstep):
    starter = Starter([1], [4], [4], lockstep=lockstep, window=window)
    for n in itertools.islice(itertools.count(), 50):
        assert starter.permitted == n + 1
        starter.passed(4, n + 1)
        starter.done(1, n + 1)
