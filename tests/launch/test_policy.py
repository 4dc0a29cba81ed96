"""When to start a dead process again, and what to blame."""

from __future__ import annotations

from camagick_broker.ledger import Row
from caspy.policy import DEATHS, SPAN_S, Deaths
from caspy.watchdog import Watchdog


def test_the_delay_grows_and_the_budget_ends() -> None:
    deaths = Deaths(4)
    assert [deaths.note(1, now) for now in range(5)] == [0.0, 0.1, 0.2, 0.4, None]
    assert deaths.note(2, 5.0) == 0.0


def test_old_deaths_are_forgotten() -> None:
    deaths = Deaths(1)
    assert deaths.note(1, 0.0) == 0.0
    assert deaths.note(1, 1.0) is None
    assert deaths.note(1, 2 * SPAN_S) == 0.0


def test_the_broker_is_never_waited_for_long() -> None:
    deaths = Deaths(99)
    assert max(deaths.note("broker", 0.0) or 0.0 for _ in range(50)) == 0.5
    assert max(deaths.note(1, 0.0) or 0.0 for _ in range(50)) == 5.0


def test_what_is_outside_is_tried_again_without_end() -> None:
    deaths = Deaths(0)
    delays = [deaths.note_outside(1, float(now)) for now in range(40)]
    assert delays[:4] == [0.0, 0.1, 0.2, 0.4]
    assert delays[-1] == 5.0
    assert deaths.note_outside(1, 1000.0) == 0.0


def test_an_iteration_is_to_blame_after_three_deaths() -> None:
    deaths = Deaths(9)
    for number in range(DEATHS):
        assert not deaths.poison(1)
        deaths.blame(1, 7)
        deaths.blame(1, 100 + number)
        deaths.blame(2, 7 + number)
    assert deaths.poison(1) == {7}
    assert not deaths.poison(2)


def test_who_is_stuck_in_a_call_has_hung() -> None:
    dog, row = Watchdog(1.0), Row()
    row.begun, row.made, row.beat = 5, 4, 1
    assert dog.hung(1, row, 0.0, waits=False) == ""
    row.beat = 2
    assert dog.hung(1, row, 0.9, waits=False) == ""
    assert dog.hung(1, row, 1.5, waits=False) == "busy with iteration 4 for 1 s"
    assert dog.hung(2, row, 0.0, waits=True) == ""
    assert dog.hung(2, row, 3.0, waits=True) == "", "it may wait for ever"
    dog.forget(1)
    assert dog.hung(1, row, 1.6, waits=False) == ""


def test_who_goes_on_has_not() -> None:
    dog, row = Watchdog(1.0), Row()
    for now in range(20):
        row.begun, row.made, row.beat = now + 1, now, now
        assert dog.hung(1, row, float(now), waits=False) == ""


def test_who_does_not_run_has_hung_whatever_he_is() -> None:
    dog, row = Watchdog(1.0), Row()
    assert dog.hung(1, row, 0.0, waits=True) == ""
    assert dog.hung(1, row, 9.0, waits=True) == "", "it has not begun yet"
    row.beat = 1
    assert dog.hung(1, row, 10.0, waits=True) == ""
    assert dog.hung(1, row, 14.5, waits=True) == "not running for 4 s"
