"""Where the actors of a lost host begin anew, by what they had told their producers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from camagick_broker.ledger import Ledger
from camagick_broker.wiring import LIVES
from caspy.hosts.resuming import resume
from tests.launch.test_placement import plan_of

if TYPE_CHECKING:
    from caspy.plan import Plan

LINE = (
    "{ [ --from-scratch counter n=1 ] [ --from-scratch zeros z=1 ] }"
    " --npfun sum @gpu --npfun max @gpu --to-summary path=x @local"
)


@pytest.fixture
def plan() -> Plan:
    return plan_of(LINE)


@pytest.fixture
def ledger(plan: Plan) -> Ledger:
    return Ledger(max(actor.number for actor in plan.actors))


def before(plan: Plan) -> list[int]:
    """Return the numbers of those that the first actor of the lost host listens to."""
    return list(plan.at("gpu")[0].inputs)


def test_they_begin_behind_what_any_producer_knows_to_have_ended(
    plan: Plan, ledger: Ledger
) -> None:
    one, other = before(plan)
    ledger[one].low, ledger[other].low = 5, 7
    begin = resume(plan, "gpu", 2, ledger)
    assert begin.incarnation == 2 * LIVES + 1
    assert begin.rows == {actor.number: 7 for actor in plan.at("gpu")}
    assert not begin.over
    assert not begin.is_over


def test_an_end_that_is_still_kept_is_heard_again(plan: Plan, ledger: Ledger) -> None:
    for number in before(plan):
        row = ledger[number]
        row.low, row.ended = 7, 8  # there is no iteration 7, which not all know
    assert not resume(plan, "gpu", 1, ledger).over


def test_nobody_waits_for_an_end_that_is_not_kept_any_more(plan: Plan, ledger: Ledger) -> None:
    """One producer knows that all has ended; the other one, which was not told, shall hear it."""
    one, other = before(plan)
    ledger[one].low, ledger[one].ended = 8, 8
    ledger[other].low, ledger[other].ended = 6, 8
    begin = resume(plan, "gpu", 1, ledger)
    assert begin.is_over
    assert all(ledger[actor.number].over for actor in plan.at("gpu"))
    assert not ledger[other].over


def test_who_is_over_stays_so_and_others_begin(plan: Plan, ledger: Ledger) -> None:
    first, *others = plan.at("gpu")
    ledger[others[-1].number].over = 1
    begin = resume(plan, "gpu", 1, ledger)
    assert list(begin.over) == [others[-1].number]
    assert first.number in begin.rows
    assert not begin.is_over
