"""Results as rows, and rows as a table in Markdown."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmarks.measure import OURS, Goal, Result

if TYPE_CHECKING:
    from collections.abc import Sequence

HEAD = ("work", "ours", "peer", "its", "ratio", "wanted", "spread", "met")


@dataclass(frozen=True)
class Row:
    """One line of the table: a work against one peer, or against a bound.

    Attributes
    ----------
    work, unit
        What was measured.
    ours, its
        Medians; None where there is none.
    peer
        Whom ours is compared with; '' where only a bound counts.
    ratio
        Median of how many times better ours is, in paired runs.
    low, high
        Least and greatest ratio; of a row without a peer, least and greatest figure of ours.
    wanted
        What was to be reached; '' for nothing.
    met
        Whether that was reached; None where nothing was wanted or it was not measured.
    problem
        Why it was not run; '' if it was.
    """

    work: str
    unit: str
    ours: float | None
    peer: str = ""
    its: float | None = None
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    wanted: str = ""
    met: bool | None = None
    problem: str = ""


def rows(result: Result) -> list[Row]:
    """Return the lines of one work: bounds first, then every peer, run or not."""
    figures = [goal for goal in result.work.goals if not goal.peer]
    lines = [_against_bound(result, goal) for goal in figures]
    wanted = {goal.peer: goal for goal in result.work.goals if goal.peer}
    peers = [one.name for one in result.work.contenders if one.name != OURS]
    lines += [_against_peer(result, name, wanted.get(name)) for name in peers]
    return lines


def _against_bound(result: Result, goal: Goal) -> Row:
    values, median = result.values(OURS), result.median(OURS)
    wanted = f"{goal.sense} {short(goal.bound)} {result.work.unit}"
    if median is None:
        problem = result.missing.get(OURS, "")
        return Row(result.work.title, result.work.unit, None, wanted=wanted, problem=problem)
    met = median >= goal.bound if goal.sense == "at least" else median <= goal.bound
    return Row(
        result.work.title, result.work.unit, median,
        low=min(values), high=max(values), wanted=wanted, met=met,
    )  # fmt: skip


def _against_peer(result: Result, name: str, goal: Goal | None) -> Row:
    ratios = result.ratios(name)
    wanted = "" if goal is None else f"{short(goal.bound)} x"
    work, ours = result.work, result.median(OURS)
    if not ratios:
        problem = result.missing.get(name) or result.missing.get(OURS, "no paired run")
        its = result.median(name)
        return Row(work.title, work.unit, ours, name, its, wanted=wanted, problem=problem)
    ratio = statistics.median(ratios)
    met = None if goal is None else ratio >= goal.bound
    return Row(
        work.title, work.unit, ours, name, result.median(name), ratio,
        min(ratios), max(ratios), wanted, met,
    )  # fmt: skip


def markdown(lines: Sequence[Row]) -> str:
    """Return the table, its columns aligned."""
    before = [None, *lines][: len(lines)]
    cells = [HEAD, *(_cells(row, last) for row, last in zip(lines, before, strict=True))]
    widths = [max(len(row[column]) for row in cells) for column in range(len(HEAD))]
    texts = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in cells
    ]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([texts[0], rule, *texts[1:]]) + "\n"


def _cells(row: Row, previous: Row | None) -> tuple[str, ...]:
    same = previous is not None and previous.work == row.work
    title = "" if same else f"{row.work} [{row.unit}]"
    if row.problem:
        return (title, short(row.ours), row.peer, "not run", "", row.wanted, row.problem, "")
    spread = f"{short(row.low)} .. {short(row.high)}"
    met = {True: "yes", False: "no", None: ""}[row.met]
    return (
        title,
        short(row.ours),
        row.peer,
        short(row.its),
        short(row.ratio),
        row.wanted,
        spread,
        met,
    )


def short(value: float | None) -> str:
    """Return a number with three digits; '' for none."""
    if value is None:
        return ""
    if abs(value) >= 1000:
        return f"{float(f'{value:.3g}'):,.0f}".replace(",", " ")
    return f"{value:.4g}" if 99 <= value < 100 else f"{value:.3g}"  # hardly all is not all


def plain(result: Result) -> dict[str, Any]:
    """Return all that was measured, for JSON."""
    return {
        "key": result.work.key,
        "title": result.work.title,
        "unit": result.work.unit,
        "better": result.work.better,
        "goals": [vars(goal) for goal in result.work.goals],
        "median": {name: result.median(name) for name in result.figures},
        "cpu_us": {name: result.cpu_us(name) for name in result.figures},
        "ratios": {name: result.ratios(name) for name in result.figures if name != OURS},
        "figures": {name: [vars(one) for one in some] for name, some in result.figures.items()},
        "missing": result.missing,
    }
