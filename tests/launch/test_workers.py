"""One pipe in several processes: who may be shared, and that nobody can tell, but by the clock."""

from __future__ import annotations

import json
import os
import re
import shlex
from typing import TYPE_CHECKING, Any

import pytest

import caspy as package
from camagick.flow.chain import Processor as ChainFlow
from camagick.pipe.npfun import Processor as Npfun
from camagick.pipe.stack import Processor as Stack
from camagick.processor import FunctionProcessor
from camagick.source.scratch import Processor as Scratch
from caspy.build import build
from caspy.errors import PlanError
from caspy.parse import parse
from caspy.plan import make_plan
from caspy.render import render
from caspy.words import sort
from tests.buses import Run, card_of, caspy
from tests.launch.test_plan import edges, plan_of

if TYPE_CHECKING:
    from pathlib import Path

A = "--from-scratch counter a=1"
S = "--to-summary"
W = "--npfun sum @workers"

#: Every even iteration ends only after the odd one behind it: one process alone would be stuck.
CROSSING = """
import asyncio, time
from pathlib import Path
from camagick.processor import ProcessorBase


class Crossing(ProcessorBase):
    def process(self, data, context):
        for _ in until_met(self, data):
            time.sleep(0.001)
        return data


class Waiting(ProcessorBase):
    async def __call__(self, data, context):
        for _ in until_met(self, data):
            await asyncio.sleep(0.001)
        return data


def until_met(self, data):
    number, deadline = int(data["a"][0]), time.monotonic() + 20
    Path(f"{self.name}{number}").touch()
    while number % 2 == 0 and not Path(f"{self.name}{number + 1}").exists():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{number} is alone")
        yield
"""


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (f"{A} {W}=2 {S}",
         {"scratch.1": ["npfun.2", "npfun.3"], "npfun.2": ["summary.4"], "npfun.3": ["summary.4"],
          "summary.4": []}),
        (f"{A} {W}=1 {S}", {"scratch.1": ["npfun.2"], "npfun.2": ["summary.3"], "summary.3": []}),
        (f"{A} {W}=2 --sum @workers=2",
         {"scratch.1": ["npfun.2", "npfun.3"], "npfun.2": ["sum.4", "sum.5"],
          "npfun.3": ["sum.4", "sum.5"], "sum.4": [], "sum.5": []}),
        (f"{A} {{ {W}=2 [ ] }} {S}",
         {"scratch.1": ["npfun.2", "npfun.3", "summary.4"], "npfun.2": ["summary.4"],
          "npfun.3": ["summary.4"], "summary.4": []}),
        (f"{A} {W}=2 {{ --sum [ ] }} {S}",
         {"scratch.1": ["npfun.2", "npfun.3"], "npfun.2": ["sum.4", "summary.5"],
          "npfun.3": ["sum.4", "summary.5"], "sum.4": ["summary.5"], "summary.5": []}),
    ],
)  # fmt: skip
def test_each_worker_is_an_actor_and_all_behind_it_hear_all_of_them(
    line: str, expected: dict[str, list[str]]
) -> None:
    assert edges(plan_of(line)) == expected


def test_a_plan_says_who_is_a_worker() -> None:
    plan = plan_of(f"{A} {W}=2 {{ --sum [ ] }} {S}", bus="b")
    lines = [" ".join(line.split()) for line in render(plan).splitlines()]
    assert "pipe npfun.3 XPUB/SUB -> sum.4, summary.5 worker 2 of 2" in lines
    assert "sink summary.5 joins 2" in lines  # two branches, whatever the workers
    assert "npfun.3 worker 2 of 2" in render(plan, "dot")
    assert "npfun.3 worker 2 of 2" in render(plan, "mermaid")
    actors = json.loads(render(plan, "json"))["pipes"][0]["actors"]
    assert [(one["worker"], one["workers"]) for one in actors] == [
        (1, 1), (1, 2), (2, 2), (1, 1), (1, 1)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "window", "expected"),
    [
        (f"{A} {W}=4 {S}", "auto", (8, 256)),
        (f"{A} {W}=5 {S}", "auto", (10, 256)),
        (f"{A} {W}=5 {W}=2 {S} , {A} {S}", "auto", (14, 256)),
        (f"{A} {W}=5 {S}", 9, (10, 9)),
        (f"{A} {W}=200 {S}", "auto", (400, 400)),
    ],
)
def test_the_window_fits_the_workers_unless_it_is_given(
    line: str, window: Any, expected: tuple[int, int]
) -> None:
    plan = plan_of(line, window=window)
    assert (plan.least, plan.window) == expected
    pipe = plan.pipes[0]
    wiring = plan.wiring(pipe, pipe.actors[0], "/x")
    assert (wiring.least, wiring.window, wiring.fitted) == (*expected, window == "auto")


@pytest.mark.parametrize(
    ("line", "window", "remark"),
    [
        (f"{A} {W}=2 {S}", 2, ""),
        (f"{A} {W}=3 {S}", 2, "at most 2 of the 3 workers of npfun.2 work at a time: -window 6"),
        (f"{A} {W}=2 --pace Hz=1 {S}", 8, "take turns: the next iteration starts when .* pace.4,"),
        (f"{A} --pace Hz=1 {W}=2 {S}", 8, ""),
        (f"{A} {S} --from-scratch ones b {W}=2 {S}", 8, "npfun.4 take turns: in lockstep"),
        (f"{{ {A} [ --from-scratch ones b {W}=2 ] }} {S}", 8, "has left summary.5, which is"),
        # Inputs are together before the work begins.
        (f"{{ {A} --from-scratch ones b }} {W}=2 {S}", 8, ""),
    ],
)
def test_what_keeps_workers_from_working_side_by_side_is_said(
    line: str, window: int, remark: str
) -> None:
    plan = plan_of(line, window=window)
    assert len(plan.pipes[0].remarks) == bool(remark)
    assert re.search(remark, render(plan))


@pytest.mark.parametrize(
    ("line", "at", "reason"),
    [
        (f"{A} @workers=2 {S}", 3, "source scratch cannot be shared: only a pipe can"),
        (f"{A} {S} @workers=2", 4, "sink summary cannot be shared: only a pipe can"),
        (f"{A} --stack 3 @workers=2 {S}", 5, "pipe stack cannot be shared: .* on earlier ones"),
        (f"{A} --pace @workers=2 Hz=1 {S}", 4, "pipe pace cannot be shared: it sets the pace"),
    ],
)
@pytest.mark.parametrize("construct", [True, False])
def test_what_has_a_state_is_refused(line: str, at: int, reason: str, construct: bool) -> None:
    parsed = parse(sort(shlex.split(line)).words)
    (problem,) = build(parsed.pipes, construct=construct).problems
    assert problem.at.word == at
    assert problem.text.startswith("@workers=2: ")
    assert re.search(reason, problem.text)


def test_from_python() -> None:
    npfun = package.workers(Npfun("sum"), 3)
    plan = make_plan([ChainFlow(Scratch("counter", a=1), npfun)])
    assert len(plan.actors) == 4
    for wrong in (Scratch("counter", a=1), Stack(3), FunctionProcessor(lambda data, context: data)):
        with pytest.raises(ValueError, match="cannot be shared"):
            package.workers(wrong, 2)
    for number in (0, 1001, True, 2.0):
        with pytest.raises(ValueError, match="whole number from 1 to 1000"):
            package.workers(Npfun("sum"), number)  # type: ignore[arg-type]
    stack = Stack(3)
    stack.shared_by = 2
    with pytest.raises(PlanError, match="@workers=2: pipe stack cannot be shared"):
        make_plan([ChainFlow(Scratch("counter", a=1), stack)])


def test_workers_work_at_the_same_time_and_results_stay_in_order(tmp_path: Path) -> None:
    (tmp_path / "crossing.py").write_text(CROSSING)
    line = f"""-count 20 -stats figures {A} rate=1e9 {{ --crossing:Crossing @workers=2 [ ] }}
               --crossing:Waiting @workers=2 {S}"""
    env = {**os.environ, "PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"}
    done = caspy(*line.split(), env=env, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [f"a: [{number}.]" for number in range(20)]
    last = json.loads((tmp_path / "figures").read_text().splitlines()[-1])
    assert {name: actor["iterations"] for name, actor in last["actors"].items()} == dict.fromkeys(
        ["scratch.1", "crossing.2", "crossing.3", "waiting.4", "waiting.5", "summary.6"], 20
    )


def test_a_worker_can_be_tapped_and_shows_its_own_iterations(tmp_path: Path) -> None:
    line = f"{A} rate=400 {W}=2 {S} path={tmp_path}/all"
    with Run("-bus", "shared", "-window", "1", *line.split()) as run:
        card_of("shared")
        assert "WARNING" in run.log  # they have to take turns
        assert "at most 1 of the 2 workers of npfun.2 work at a time: -window 4" in run.log
        done = caspy(*f"--from-tap shared/npfun.3 rate=all {S} -count 5".split())
        assert (done.returncode, done.stderr) == (0, "")
        found = [float(text.split()[1]) for text in done.stdout.splitlines()]
        assert found == [found[0] + 2 * number for number in range(5)]
        assert found[0] % 2 == 1
        both = caspy(*f"--from-tap shared/npfun {S}".split())
        assert "npfun.2" in both.stderr
        assert "npfun.3" in both.stderr
        run.interrupt()
        assert run.wait() == 0
