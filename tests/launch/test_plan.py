"""From a flow to actors, edges and the rule by which iterations start."""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

from camagick.flow.chain import Processor as ChainFlow
from camagick.source.scratch import Processor as Scratch
from caspy.build import build
from caspy.errors import PlanError
from caspy.parse import parse
from caspy.plan import Plan, make_plan
from caspy.render import FORMATS, render
from caspy.words import sort

sys.path.insert(0, str(Path(__file__).parent))


def plan_of(line: str, **options: Any) -> Plan:
    parsed = parse(sort(shlex.split(line)).words)
    assert not parsed.problems
    built = build(parsed.pipes)
    assert not built.problems, built.problems
    return make_plan(built.flows, **options)


def edges(plan: Plan) -> dict[str, list[str]]:
    names = {actor.number: actor.name for actor in plan.actors}
    return {actor.name: [names[one] for one in actor.consumers] for actor in plan.actors}


A = "--from-scratch random a=1"
B = "--from-scratch random b=1"
S = "--to-summary"
AD_HOC = """--from-scratch random iffy=1 --to-ioc prefix=E: --from-ioc prefix=E: mark=mark
    --from-scratch zeros idle --to-epics idle=E:mark --pace Hz=1 --from-scratch ones busy
    --to-epics busy=E:mark"""


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (f"{A} --sum {S}", {"scratch.1": ["sum.2"], "sum.2": ["summary.3"], "summary.3": []}),
        (f"[ {A} [ --sum ] {S} ]",
         {"scratch.1": ["sum.2"], "sum.2": ["summary.3"], "summary.3": []}),
        (f"{A} {{ --sum [ ] }} {S}",
         {"scratch.1": ["sum.2", "summary.3"], "sum.2": ["summary.3"], "summary.3": []}),
        (f"{A} {{ --sum --idem }} {S}",
         {"scratch.1": ["sum.2", "summary.3"], "sum.2": ["summary.3"], "summary.3": []}),
        (f"{A} {{ --sum --min }} {{ --max [ ] }} {S}",
         {"scratch.1": ["sum.2", "min.3"], "sum.2": ["max.4", "summary.5"],
          "min.3": ["max.4", "summary.5"], "max.4": ["summary.5"], "summary.5": []}),
        (f"{{ {A} {B} }} {S}", {"scratch.1": ["summary.3"], "scratch.2": ["summary.3"],
                               "summary.3": []}),
        (f"{A} {{ {S} [ ] }}", {"scratch.1": ["summary.2"], "summary.2": []}),
        (f"{A} , {B}", {"scratch.1": [], "scratch.2": []}),
    ],
)  # fmt: skip
def test_edges(line: str, expected: dict[str, list[str]]) -> None:
    assert edges(plan_of(line)) == expected


@pytest.mark.parametrize(
    ("line", "lockstep", "gates", "joins"),
    [
        (f"{A} --sum {S}", False, [], []),
        # scan is read when the frame before has left the EPICS actor, never frames early
        ("--from-ioc scan=scan(0) hang=False --demote scan --from-epics X --to-hdf5 f.h5#{scan}",
         False, ["epics.3"], []),
        # rows pair values of one moment
        ("{ --from-epics A --from-epics B } --to-summary", False, ["summary.3"], ["summary.3"]),
        # rows at most a period old
        ("--from-epics A --pace Hz=1 --to-ioc", False, ["pace.2"], []),
        # mark goes 1, data, 0, wait, 1 for ever
        (AD_HOC, True, ["scratch.7"], []),
        (f"{A} {{ {S} --pace Hz=1 }} --sum", False, ["pace.3"], []),
        (f"{A} {S} {B} {S}", True, ["scratch.3"], []),
    ],
)  # fmt: skip
def test_when_the_next_iteration_starts(
    line: str, lockstep: bool, gates: list[str], joins: list[str]
) -> None:
    plan = plan_of(line)
    (pipe,) = plan.pipes
    names = {actor.number: actor.name for actor in plan.actors}
    assert pipe.lockstep is lockstep
    assert [names[gate] for gate in pipe.gates] == gates
    assert [names[join] for join in pipe.joins] == joins
    assert pipe.why.startswith("lockstep" if lockstep else "window auto")
    wirings = [plan.wiring(pipe, actor, "/x") for actor in pipe.actors]
    assert [wiring.leads for wiring in wirings].count(True) == 1


def test_only_a_lone_source_hands_on_every_event() -> None:
    from camagick.walk import is_alone

    def alone(line: str) -> bool:
        return is_alone(plan_of(line).pipes[0].flow)

    assert alone("--from-epics A --to-summary")
    assert not alone("{ --from-epics A --from-epics B } --to-summary")
    assert not alone("--from-ioc s=s(0) --from-epics A --to-summary")
    assert not alone("--from-epics A --pace Hz=1 --to-ioc")


@pytest.mark.parametrize("form", FORMATS)
def test_every_rendering_names_every_actor_and_edge(form: str) -> None:
    text = render(plan_of(f"{A} {{ [ --npfun sum ] [ ] }} {S} , {B}", bus="mine"), form)
    for name in ("scratch.1", "npfun.2", "summary.3", "scratch.4"):
        assert name in text
    assert "XPUB/SUB" in text
    assert "PUSH/PULL" in text
    if form == "json":
        content = json.loads(text)
        assert content["bus"] == "mine"
        assert content["pipes"][0]["actors"][0]["consumers"] == ["npfun.2", "summary.3"]


def test_a_bus_is_named_after_its_launcher() -> None:
    assert plan_of(A).bus == f"run{os.getpid()}"


@pytest.mark.parametrize(
    ("options", "text"),
    [({"bus": "no/slash"}, "cannot name a bus"), ({"window": 0}, "-window 0"),
     ({"count": -1}, "-count -1")],
)  # fmt: skip
def test_what_cannot_be_planned_is_said(options: dict[str, Any], text: str) -> None:
    with pytest.raises(PlanError, match=text):
        plan_of(A, **options)


def test_one_object_twice_is_refused() -> None:
    source = Scratch("ones", "a")
    with pytest.raises(PlanError, match="stands twice"):
        make_plan([ChainFlow(source, source)])


def test_a_plain_function_is_an_actor() -> None:
    async def my_source(data: Any, context: Any) -> dict[str, int]:
        return {"x": 1}

    plan = make_plan([ChainFlow(my_source, lambda data, context: None)])
    assert [actor.name for actor in plan.actors] == ["my_source.1", "lambda.2"]


def test_a_window_that_fits_itself_has_an_upper_bound() -> None:
    plan = plan_of("--from-scratch counter n=1 --to-summary", window="auto")
    (pipe,) = plan.pipes
    assert pipe.why.startswith("window auto: ")
    wirings = [plan.wiring(pipe, actor, "/x") for actor in pipe.actors]
    assert {(wiring.window, wiring.fitted) for wiring in wirings} == {(256, True)}
    assert json.loads(render(plan, "json"))["window"] == "auto"
    fixed = plan_of("--from-scratch counter n=1 --to-summary", window=3)
    assert {fixed.wiring(pipe, actor, "/x").fitted for actor in pipe.actors} == {False}
