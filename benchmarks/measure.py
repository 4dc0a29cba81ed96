"""What is measured, and how: paired, interleaved runs."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

OURS = "caspy"


class Unavailable(Exception):
    """A contender cannot be run here; the text says why, in one line."""


@dataclass(frozen=True)
class Budget:
    """How much time there is.

    Attributes
    ----------
    runs
        Paired runs that count.
    warmups
        Paired runs before them that do not.
    seconds
        Length of one measurement of a rate.
    long_seconds
        Length of one measurement of what is rare: lost updates, processor time of an idle run.
    slow_runs
        Runs of contenders that take long to start and to come up to speed.
    settle_s
        What to wait before a long measurement.
    small
        Whether sizes are tiny: then figures mean nothing, but everything has run.
    """

    runs: int
    warmups: int
    seconds: float
    long_seconds: float
    slow_runs: int
    settle_s: float = 3.0
    small: bool = False

    @property
    def warm_s(self) -> float:
        """What to let pass after the first line before a rate is measured."""
        return min(0.3, self.seconds)


QUICK = Budget(runs=3, warmups=0, seconds=0.8, long_seconds=5.0, slow_runs=1)
FULL = Budget(runs=5, warmups=1, seconds=3.0, long_seconds=60.0, slow_runs=5)
SMOKE = Budget(
    runs=1, warmups=0, seconds=0.05, long_seconds=0.3, slow_runs=1, settle_s=0.1, small=True
)


@dataclass(frozen=True)
class Figure:
    """One measurement.

    Attributes
    ----------
    value
        In the unit of the work.
    cpu_us
        Processor time of all processes of the run for one unit of work, in microseconds; None where
        that means nothing.
    details
        What else was seen.
    """

    value: float
    cpu_us: float | None = None
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Contender:
    """Who does the work: `run` does it once. `slow` is one that takes long to get going."""

    name: str
    run: Callable[[Budget], Figure]
    slow: bool = False


@dataclass(frozen=True)
class Goal:
    """What is wanted.

    Attributes
    ----------
    bound
        The ratio to a peer, or a figure in the unit of the work.
    peer
        Whom to compare with; '' for a figure.
    sense
        Whether a figure has to be at least, or at most, the bound. Ratios are to be at least that.
    """

    bound: float
    peer: str = ""
    sense: Literal["at least", "at most"] = "at least"


@dataclass(frozen=True)
class Work:
    """One thing that all contenders do.

    Attributes
    ----------
    key
        Short name, for `--only`.
    title
        What is done.
    unit
        Of the figures.
    contenders
        Ours first.
    goals
        What is wanted.
    better
        Whether more of the unit is better, or less.
    once
        Whether one run is enough, because it is long.
    """

    key: str
    title: str
    unit: str
    contenders: tuple[Contender, ...]
    goals: tuple[Goal, ...] = ()
    better: Literal["more", "less"] = "more"
    once: bool = False


@dataclass
class Result:
    """What came of a work: the figures of each contender by run, and who could not be run."""

    work: Work
    figures: dict[str, list[Figure]]
    missing: dict[str, str]

    def values(self, name: str) -> list[float]:
        """Return the figures of a contender, one a run."""
        return [figure.value for figure in self.figures.get(name, [])]

    def median(self, name: str) -> float | None:
        """Return the median of a contender's figures, or None if there are none."""
        values = self.values(name)
        return statistics.median(values) if values else None

    def cpu_us(self, name: str) -> float | None:
        """Return the median of the processor time of one unit of work, or None."""
        known = [figure.cpu_us for figure in self.figures.get(name, []) if figure.cpu_us]
        return statistics.median(known) if known else None

    def ratios(self, peer: str) -> list[float]:
        """Return how many times better ours was than a peer, for each paired run."""
        pairs = zip(self.values(OURS), self.values(peer), strict=False)
        if self.work.better == "less":
            return [theirs / ours for ours, theirs in pairs if ours > 0]
        return [ours / theirs for ours, theirs in pairs if theirs > 0]


def compare(work: Work, budget: Budget, say: Callable[[str], None] = lambda _: None) -> Result:
    """Let all contenders do a work in turn, several times.

    Whoever fails in one run is left out of the later ones, and the result says why: one that fails
    does not stop the others.
    """
    result = Result(work, {}, {})
    warmups, runs = (0, 1) if work.once else (budget.warmups, budget.runs)
    for number in range(-warmups, runs):
        # In turn, and every other time backwards: nobody always has the machine after the same one.
        order = work.contenders if number % 2 == 0 else work.contenders[::-1]
        for contender in order:
            if contender.name in result.missing or (contender.slow and number >= budget.slow_runs):
                continue
            begin = time.monotonic()
            try:
                figure = contender.run(budget)
            except Exception as error:  # noqa: BLE001 - whatever it is, the others go on
                result.missing[contender.name] = _line(error)
                result.figures.pop(contender.name, None)
                say(f"{contender.name}: not run: {_line(error)}")
                continue
            took = time.monotonic() - begin
            say(f"{contender.name}: {figure.value:.4g} {work.unit} (in {took:.1f} s)")
            if number >= 0:
                result.figures.setdefault(contender.name, []).append(figure)
    return result


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__
