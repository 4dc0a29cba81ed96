"""What is said of a run that a lost host has ended: never more than is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from camagick_broker.ledger import Ledger
from caspy.hosts.account import losses
from tests.launch.test_placement import plan_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from caspy.plan import Plan

LINE = "--from-scratch counter n=1 @daq --npfun sum @gpu --to-summary path=x @disk"


def ledger_of(plan: Plan, rows: dict[str, tuple[int, int, int]]) -> Ledger:
    """Return where all are, by the beginnings of their names."""
    ledger = Ledger(max(actor.number for actor in plan.actors))
    for actor in plan.actors:
        for name, words in rows.items():
            if actor.name.startswith(name):
                row = ledger[actor.number]
                row.begun, row.made, row.low = words
    return ledger


def said(
    line: str, rows: dict[str, tuple[int, int, int]], *lost: str, unheard: str = "",
    begins: Sequence[tuple[str, int]] = (),
) -> str:  # fmt: skip
    """Return what is said when hosts are lost, where nothing was heard of them and some others."""
    plan = plan_of(line)
    plan.window = 16
    ledger = ledger_of(plan, rows)
    numbers = {actor.name: actor.number for actor in plan.actors}
    anew = {numbers[name]: seq for name, seq in begins}
    return "\n".join(map(str, losses(plan, ledger, lost, [*lost, *unheard.split()], anew)))


@pytest.mark.parametrize(
    ("rows", "lost", "unheard", "expected"),
    [
        # The source may have made more; what a sink elsewhere has is known for sure.
        ({"s": (101, 101, 99), "npfun": (104, 104, 103), "summary": (103, 103, 103)}, "daq", "",
         "made: 104 or more; safe in all sinks: 103; lost: 1 or more, 16 at most"),
        # A sink that was killed in the middle may have stored one more.
        ({"s": (101, 101, 99), "summary": (104, 103, 103)}, "daq", "",
         "made: 103 or more; safe in all sinks: 103 or more; lost: 16 at most"),
        # One that had stored, and no time to say so.
        ({"s": (101, 101, 99), "summary": (101, 101, 99)}, "daq", "",
         "made: 101 or more; safe in all sinks: 99 or more; lost: 16 at most"),
        ({"s": (101, 101, 99), "summary": (100, 100, 100)}, "daq", "disk",
         "made: 101 or more; safe in all sinks: 100 or more; lost: 16 at most"),
        # All is known where only what is in between was lost.
        ({"s": (101, 101, 99), "summary": (99, 99, 99)}, "gpu", "",
         "made: 101; safe in all sinks: 99; lost: 2"),
        ({"s": (101, 101, 99), "summary": (99, 99, 99)}, "disk", "",
         "made: 101; safe in all sinks: 99 or more; lost: 2 at most"),
        ({"s": (99, 99, 99), "npfun": (99, 99, 99), "summary": (99, 99, 99)}, "gpu", "",
         "made: 99; safe in all sinks: 99; lost: 0"),
    ],
)  # fmt: skip
def test_bounds_are_said_where_more_is_not_known(
    rows: dict[str, tuple[int, int, int]], lost: str, unheard: str, expected: str
) -> None:
    assert said(LINE, rows, lost, unheard=unheard) == (
        f'msg="iterations {expected}" source=scratch.1 host=daq'
    )


@pytest.mark.parametrize(
    ("begins", "safe"),
    [
        ([("summary.3", 84)], "99 or more;"),
        ([("summary.3", 83)], "99;"),
        ([("npfun.2", 99)], "99;"),
    ],
)
def test_a_sink_that_began_anew_may_not_know_all_that_is_stored(
    begins: list[tuple[str, int]], safe: str
) -> None:
    """Its predecessor on a lost host was at most a window (16) farther than was known."""
    rows = {"s": (101, 101, 99), "summary": (99, 99, 99)}
    assert f"safe in all sinks: {safe}" in said(LINE, rows, "gpu", begins=begins)


def test_only_pipes_that_lost_a_host_are_spoken_of() -> None:
    other = "--from-scratch zeros z=1 @gpu --to-summary path=y"
    assert said(f"{LINE} {other}", {}) == ""
    (line,) = said(f"{LINE} {other}", {"s": (7, 7, 7)}, "disk").splitlines()
    assert line.endswith("source=scratch.1 host=daq")


def test_each_source_is_counted_by_what_is_behind_it() -> None:
    """What others made of one source says nothing of how many another one has made."""
    line = (
        "{ [ --from-scratch counter n=1 @daq --npfun sum @gpu ]"
        " [ --from-scratch zeros z=1 @local ] } --to-summary path=x @disk"
    )
    rows = {"scratch.1": (8, 8, 5), "npfun": (9, 9, 6), "scratch.3": (7, 7, 5), "sum": (6, 6, 6)}
    one, other = said(line, rows, "daq").splitlines()
    assert "made: 9 or more; safe in all sinks: 6; lost: 3 or more, 16 at most" in one
    assert one.endswith("source=scratch.1 host=daq")
    assert "made: 7; safe in all sinks: 6; lost: 1" in other
    assert other.endswith("source=scratch.3 host=local")
