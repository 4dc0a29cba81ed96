"""``-ls``: what is running, and who is on it."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

import pytest

from camagick_broker.running import Card, Member
from caspy import figures
from caspy.table import COLUMNS, actors_table, amount, fitting
from tests.buses import Run, card_of, caspy, clear, wait_for

if TYPE_CHECKING:
    from pathlib import Path

ENDLESS = ["--from-scratch", "counter", "n=1", "rate=200", "--npfun", "sum", "--to-summary"]


def test_without_any_it_says_so() -> None:
    done = caspy("-ls")
    assert (done.returncode, done.stdout, done.stderr) == (0, "no bus is running\n", "")


def test_buses_and_their_actors() -> None:
    with Run("-bus", "one", *ENDLESS) as one, Run("-bus", "two", *ENDLESS, ",", *ENDLESS) as two:
        card_of("one")
        card_of("two")
        done = caspy("-ls")
        assert (done.returncode, done.stderr) == (0, "")
        head, *lines = done.stdout.splitlines()
        assert head.split() == ["bus", "pid", "since", "actors", "1/s", "state", "command"]
        first, second = sorted(line.split() for line in lines)
        assert (first[0], first[1], first[4], first[6]) == (
            "one", str(one.process.pid), "3", "running"
        )  # fmt: skip
        assert (second[0], second[1], second[4]) == ("two", str(two.process.pid), "6")
        assert " ".join(first[7:]) == " ".join(["caspy", "-bus", "one", *ENDLESS])
        wait_for(lambda: re.search(r"npfun.2 +\d+ +running +[1-9]", caspy("-ls", "one").stdout),
                 "the first figures")  # fmt: skip
        lines = caspy("-ls", "one").stdout.splitlines()
        pid = one.actor("npfun.2").pid
        row = next(line.split() for line in lines if line.split()[1] == "npfun.2")
        assert row[:4] == ["2", "npfun.2", str(pid), "running"]
        assert row[-1] == "summary.3"
        assert 100 < float(row[5]) < 300
        caspy("-stop", "one")
        caspy("-stop", "two")
    assert caspy("-ls").stdout == "no bus is running\n"


def test_a_killed_bus_is_not_listed() -> None:
    with Run("-bus", "dead", *ENDLESS) as run:
        card_of("dead")
        children = len(os.listdir(f"/proc/{run.process.pid}/task"))
        assert children == 1, "the launcher has one thread"
        run.process.kill()
        run.wait()
        wait_for(lambda: "no bus" in caspy("-ls").stdout, "its processes to end")
    clear("dead")


def test_no_such_bus() -> None:
    with Run("-bus", "scan", *ENDLESS):
        card_of("scan")
        done = caspy("-ls", "scam")
        assert done.returncode == 2
        assert done.stderr.splitlines() == [
            "caspy: no bus called 'scam' is running (did you mean 'scan'?)",
            "    caspy -ls scam",
            "              ^^^^",
        ]
        caspy("-stop", "scan")


@pytest.mark.parametrize("words", [["-ls", "--to-summary"], ["-ls", "a", "b"], ["-ls", "-foo"]])
def test_it_runs_nothing(words: list[str]) -> None:
    done = caspy(*words)
    assert done.returncode == 2
    assert "^" in done.stderr


def test_the_command_line_of_others_moves_no_cursor(tmp_path: Path) -> None:
    nasty = tmp_path / "a\x1b[2Jb"
    with Run("-bus", "x", *ENDLESS, f"path={nasty}"):
        card_of("x")
        assert "\x1b" not in caspy("-ls").stdout
        caspy("-stop", "x")


CARD = Card(
    "b", b"12345678", 1, "here", 0.0, ("caspy",), "0.1.0",
    (Member(1, "a.1", (), 0), Member(2, "b.2", (1,), 0), Member(3, "c.3", (), 1)),
)  # fmt: skip


def report(seq: int, lifetime_s: float, **more: Any) -> dict[str, Any]:
    return {"seq": seq, "busy_s": lifetime_s / 4, "lifetime_s": lifetime_s, "pid": 5, **more}


def status(before: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    return {"ready": True, "statistics": {1: now}, "before": {1: before}, "age_s": {1: 0.1},
            "actors": {1: {"pid": 5, "incarnation": 1}}}  # fmt: skip


def test_rates_are_those_between_two_reports() -> None:
    before = report(100, 10.0, out={"bytes": 1000, "kept": 1})
    now = report(150, 12.0, out={"bytes": 5000, "kept": 3, "resends": 7}, refused={"back": 2})
    row = figures.rows(CARD, status(before, now))[0]
    assert (row.rate, row.rate_out, row.busy) == (25.0, 2000.0, 0.25)
    assert (row.kept, row.resends, row.refused, row.restarts) == (3, 7, 2, 0)


def test_a_restarted_actor_has_no_rate_yet() -> None:
    now = report(3, 0.5)
    answer = status(report(100, 10.0), now)
    answer["actors"][1]["incarnation"] = 3
    row = figures.rows(CARD, answer)[0]
    assert (row.rate, row.restarts) == (0.0, 2)


def test_what_is_new_is_passed_on_and_what_is_odd_is_nothing() -> None:
    now = report(1, 1.0, missed=5, more={"a": 1}, refused=None, **{"in": 3, "out": []})
    now |= {"seq": "many", "busy_s": float("nan"), "slot_bytes": float("inf"), "overruns": 1e999}
    row = figures.rows(CARD, status({}, now))[0]
    assert (row.own, row.seq, row.refused) == ({"missed": 5}, 0, 0)
    odd: list[Any] = [None, {}, {"actors": 5, "statistics": [], "before": None, "age_s": "x"}]
    for one in odd:
        assert [row.state for row in figures.rows(CARD, one)] == ["starting"] * 3
        assert actors_table(figures.rows(CARD, one))


def test_columns_that_have_room() -> None:
    rows = figures.rows(CARD, status(report(0, 1.0), report(50_000, 2.0, out={"resends": 3})))
    titles = [column.title for column in fitting(rows, 60)]
    assert {"actor", "iteration", "1/s", "resends"} <= set(titles), "what is not 0 stays"
    assert "gaps" not in titles
    assert fitting(rows, 1000) == [one for one in COLUMNS if one.title != "host"]
    for width in (40, 60, 80):
        text = actors_table(rows, fitting(rows, width))
        assert max(map(len, text.splitlines())) <= width


def test_states() -> None:
    answer = status({}, report(1, 1.0))
    answer["age_s"][1] = 60.0
    assert figures.rows(CARD, answer)[0].state == "silent"
    answer["statistics"][1]["final"] = True
    assert figures.rows(CARD, answer)[0].state == "ended"


def test_iterations_are_those_that_went_through() -> None:
    answer = status({}, report(9, 1.0))
    answer["statistics"].update({2: report(7, 1.0), 3: report(100, 1.0)})
    assert figures.iterations(CARD, figures.rows(CARD, answer)) == 107


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (0.123456, "0.123"), (999, "999"), (999.9, "1k"), (1234, "1.23k"),
     (12_345_678, "12.3M"), (5e9, "5G"), (3e13, "3.0e+13")],
)  # fmt: skip
def test_amounts(number: float, text: str) -> None:
    assert amount(number) == text
