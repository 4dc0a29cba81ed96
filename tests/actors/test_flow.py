"""Chain and fanout, run in one process."""

import asyncio
from typing import Any

import numpy as np
import pytest

from camagick.data import Data
from camagick.errors import DuplicateTag
from camagick.flow.chain import Processor as Chain
from camagick.flow.fanout import Processor as Fanout
from camagick.pipe.demote import Processor as Demote
from camagick.pipe.exclude import Processor as Exclude
from camagick.pipe.idem import Processor as Idem
from camagick.pipe.npfun import Processor as Npfun
from camagick.pipe.only import Processor as Only
from camagick.pipe.promote import Processor as Promote
from camagick.pipe.rename import Processor as Rename
from camagick.pipe.reshape import Processor as Reshape
from camagick.pipe.slice import Processor as Slice
from camagick.pipe.sum import Processor as Sum
from camagick.processor import ProcessorBase, Role
from camagick.sink.summary import Processor as Summary
from camagick.source.scratch import Processor as Scratch

JEDDA = np.arange(2048.0)


def run(flow: Any, data: Any = None, context: Any = None) -> Data:
    async def once() -> Data:
        await flow.startup()
        try:
            result: Data = await flow(data, context)
        finally:
            await flow.shutdown()
        return result

    return asyncio.run(once())


class Source(ProcessorBase):
    """Delivers what it was given."""

    role: Role = "source"

    def __init__(self, **values: Any) -> None:
        self.values = values

    def process(self, data, context):
        return dict(self.values)


class Log(ProcessorBase):
    """Notes what happens to it."""

    def __init__(self, name: str, events: list[str], fail: str = "") -> None:
        self.word, self.events, self.fail = name, events, fail

    def note(self, what: str) -> None:
        self.events.append(f"{self.word} {what}")
        if what == self.fail:
            raise RuntimeError(f"{self.word} {what}")

    async def startup(self) -> None:
        self.note("startup")

    async def shutdown(self) -> None:
        self.note("shutdown")

    def process(self, data, context):
        self.note("call")
        return data


def test_a_chain_goes_in_order():
    flow = Chain(Source(x=JEDDA), Reshape(64, 32), Slice("0:10", "3:8"), Npfun("sum"))
    assert run(flow) == {"x": JEDDA.reshape(64, 32)[0:10, 3:8].sum()}


def test_an_empty_chain_passes_on():
    data = Data({"x": 1})
    assert run(Chain(), data) == {"x": 1}


def test_a_source_in_the_middle_adds_its_tags():
    flow = Chain(Source(x=JEDDA), Sum(), Source(y=1))
    assert run(flow) == {"x": JEDDA.sum(), "y": 1}


def test_a_sources_tag_must_be_new():
    with pytest.raises(DuplicateTag, match="'x' that is already there"):
        run(Chain(Source(x=1.5), Source(x=2.5)))


def test_a_sink_replaces_the_data(capsys):
    assert run(Chain(Source(x=1), Summary(), Source(y=2), Summary())) == {}
    assert capsys.readouterr().out == "x: 1\ny: 2\n"


def test_functions_are_processors():
    async def source(data=None, context=None):
        return {"x": np.arange(3)}

    def double(data, context):
        return {tag: value * 2 for tag, value in data.items()}

    assert run(Chain(source, double, Sum())) == {"x": 6}


def test_what_is_no_mapping_is_refused():
    with pytest.raises(TypeError, match="not a dictionary of tags"):
        run(Chain(lambda data, context: 3))
    with pytest.raises(TypeError, match="neither a processor nor a function"):
        Chain(3)


def test_sum_min_and_max_of_the_document():
    flow = Chain(Source(x=JEDDA), Fanout(Npfun("sum"), Npfun("min"), Npfun("max")))
    assert run(flow) == {"x_sum": JEDDA.sum(), "x_min": 0.0, "x_max": 2047.0}


def test_renamed_branches_of_the_document():
    flow = Chain(
        Source(x=JEDDA),
        Fanout(
            Chain(Npfun("sum"), Rename("{}_s")),
            Chain(Npfun("min"), Rename("{}_m")),
            Chain(Npfun("max"), Rename("{}_M")),
        ),
    )
    assert list(run(flow)) == ["x_s", "x_m", "x_M"]


def test_selective_processing_of_the_document():
    flow = Chain(
        Source(EXAMPLE_jedda=JEDDA, EXAMPLE_iffy=0.5),
        Fanout(Chain(Only(".*jedda"), Npfun("sum")), Only(".*iffy")),
    )
    assert run(flow) == {"EXAMPLE_jedda": JEDDA.sum(), "EXAMPLE_iffy": 0.5}


@pytest.mark.parametrize("keep", [Idem, Chain], ids=["idem", "empty chain"])
def test_roi_next_to_the_original(keep):
    flow = Chain(
        Source(x=JEDDA),
        Fanout(
            Chain(Reshape(64, 32), Slice("16:48", "8:24"), Npfun("sum"), Rename("{}_roi")), keep()
        ),
        Fanout(Only(".*roi"), Exclude(".*roi")),
    )
    made = run(flow)
    assert list(made) == ["x_roi", "x"]
    assert made["x"] is JEDDA


def test_untouched_values_stay_one_through_nested_fanouts():
    flow = Chain(Source(x=JEDDA, y=1), Fanout(Fanout(Idem(), Chain()), Only("x"), Exclude("z")))
    made = run(flow)
    assert list(made) == ["x", "y"]
    assert made["x"] is JEDDA


def test_a_source_in_a_branch_does_not_reach_the_others():
    flow = Chain(Source(a=1), Fanout(Chain(Source(b=2), Rename("{}_1")), Chain(Rename("{}_2"))))
    assert run(flow) == {"a_1": 1, "b_1": 2, "a_2": 1}


def test_a_source_alone_in_a_branch_adds_to_what_came_in():
    assert run(Chain(Source(a=1), Fanout(Source(b=2), Source(c=3)))) == {"a": 1, "b": 2, "c": 3}


def test_the_context_of_a_branch_does_not_reach_its_neighbour():
    flow = Chain(Source(x=1, y=2), Fanout(Demote("x"), Chain(Promote(), Rename("{}_2"))))
    context = Data()
    assert run(flow, context=context) == {"y": 2, "x_2": 1, "y_2": 2}
    assert context == {"x": 1}


def test_demote_in_a_branch_counts_behind_the_fanout():
    flow = Chain(Source(x=1, y=2), Fanout(Demote("x"), Only("y")), Promote())
    assert run(flow) == {"y": 2, "x": 1}


def test_the_later_of_two_demoted_values_wins():
    flow = Chain(
        Source(x=JEDDA),
        Fanout(Chain(Npfun("sum"), Demote()), Chain(Npfun("max"), Demote())),
        Promote(),
    )
    assert run(flow) == {"x": 2047.0}


def test_a_branch_may_replace_a_key_by_what_came_in():
    # The value was made before the fanout; that it is in the context now is the branch's work.
    context = Data({"x": 1})
    flow = Chain(Source(x=2), Fanout(Chain(), Demote("x")))
    assert run(flow, context=context) == {"x": 2}
    assert context == {"x": 2}


def test_a_key_that_all_branches_took_out_of_the_context_is_gone():
    context = Data({"k": 1})
    flow = Fanout(Promote("k"), Chain(Promote("k"), Rename("{}_2")))
    assert run(flow, Data({"x": 3}), context) == {"x": 3, "k": 1, "x_2": 3, "k_2": 1}
    assert context == {}


@pytest.mark.parametrize(
    "flow", [Demote("x"), Chain(Demote("x")), Fanout(Demote("x"))], ids=["alone", "chain", "fanout"]
)
def test_a_callers_plain_context_is_changed(flow):
    context: dict[str, Any] = {}
    assert run(flow, {"x": 1, "y": 2}, context) == {"y": 2}
    assert context == {"x": 1}


def test_a_fanout_of_nothing_is_refused():
    with pytest.raises(ValueError, match=r"\[ \] passes it on"):
        Fanout()


def test_the_data_given_to_a_flow_is_not_changed():
    data = Data({"x": JEDDA, "y": 1})
    run(Chain(Fanout(Demote("y"), Rename("{}_a")), Sum()), data, Data())
    assert list(data) == ["x", "y"]


def test_everything_is_started_and_shut_down_once():
    events: list[str] = []
    run(Chain(Log("a", events), Fanout(Log("b", events), Chain(Log("c", events)))))
    assert sorted(events[:3]) == ["a startup", "b startup", "c startup"]
    assert sorted(events[3:6]) == ["a call", "b call", "c call"]
    assert events[6:] == ["a shutdown", "b shutdown", "c shutdown"]


@pytest.mark.parametrize("flow", [Chain, Fanout], ids=["chain", "fanout"])
def test_a_failing_shutdown_does_not_keep_the_others_open(flow):
    events: list[str] = []
    with pytest.raises(RuntimeError, match="a shutdown"):
        run(flow(Log("a", events, fail="shutdown"), Log("b", events)), Data())
    assert events[-1] == "b shutdown"


def test_an_error_in_a_branch_is_raised_as_it_is():
    events: list[str] = []
    with pytest.raises(RuntimeError, match=r"^b call$"):
        run(Fanout(Log("a", events), Log("b", events, fail="call")), Data({"x": 1}))


def test_attributes_go_through_and_stay_with_new_values():
    data = Data({"x": JEDDA})
    data.describe("x", {"units": "mm"})
    made = run(Chain(Fanout(Sum(), Chain()), Rename("{}_r")), data, Data())
    assert {tag: made.attributes(tag) for tag in made} == {
        "x_sum_r": {"units": "mm"},
        "x_r": {"units": "mm"},
    }


def test_scratch_in_both_branches_is_two_values():
    flow = Fanout(Scratch("zeros", "a", rate=0), Scratch("ones", "a", rate=0))
    assert sorted(run(flow)) == ["a_scratch", "a_scratch_2"]
