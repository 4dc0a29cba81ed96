"""Recipes as YAML: the shape, what is wrong with a file, and the way there and back."""

from __future__ import annotations

import io
import sys

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from caspy.recipe import Flow, Step
from caspy.yamlfile import dumps, load, loads


def good(text: str) -> list[Flow]:
    pipes, problems = loads(text, "f.spy")
    assert problems == []
    return pipes


def wrong(text: str | bytes) -> list[str]:
    return [f"{problem.at.place}: {problem.text}" for problem in loads(text, "f.spy")[1]]


SAVED = """\
chain:
- from:
  - scratch
  - random
  params:
    jedda: 2048
    iffy: 1
- fanout:
  - chain:
    - params:
        axis: !tuple [0, 1]
      via:
      - npfun
      - sum
    - via:
      - rename
      - '{}_s'
  - chain: []
- params:
    opts:
      start: 1
      stop: 3
  to:
  - summary
"""
RECIPE = Flow(
    "chain",
    (
        Step("source", "scratch", ("random",), {"jedda": 2048, "iffy": 1}),
        Flow(
            "fanout",
            (
                Flow(
                    "chain",
                    (
                        Step("pipe", "npfun", ("sum",), {"axis": (0, 1)}),
                        Step("pipe", "rename", ("{}_s",)),
                    ),
                ),
                Flow("chain"),
            ),
        ),
        Step("sink", "summary", (), {"opts": {"start": 1, "stop": 3}}),
    ),
)


def test_the_shape():
    assert dumps([RECIPE]) == SAVED
    assert good(SAVED) == [RECIPE]


def test_keywords_keep_their_order():
    (pipe,) = good(SAVED)
    assert isinstance(pipe.children[0], Step)
    assert list(pipe.children[0].params) == ["jedda", "iffy"]


def test_without_a_tuple_any_yaml_reader_will_do():
    text = dumps(
        [
            Flow(
                "chain",
                (
                    Step(
                        "pipe",
                        "slice",
                        ("0:10", "16:48", "1e9", "yes", "1"),
                    ),
                ),
            )
        ]
    )
    assert yaml.safe_load(text) == {
        "chain": [{"via": ["slice", "0:10", "16:48", "1e9", "yes", "1"]}]
    }


@pytest.mark.parametrize(
    ("text", "step"),
    [
        ("chain: [{via: sum}]", Step("pipe", "sum")),
        (
            "chain: [{via: [npfun, sum], params: {axis: 1}}]",
            Step("pipe", "npfun", ("sum",), {"axis": 1}),
        ),
        ("chain: [{to: hdf5, params: [a.h5, a]}]", Step("sink", "hdf5", ("a.h5", "a"))),
        ("{from: scratch}", Step("source", "scratch")),
        ("[{from: scratch, params: }]", Step("source", "scratch")),
        ("- from: my.module:Class", Step("source", "my.module:Class")),
        ("- via: [slice, 16:48, 0:10]", Step("pipe", "slice", ("16:48", "0:10"))),
        (
            "- via: [x, 2024-01-01, 1e9, 1.5e3, .5, -3, 1_000, .inf, yes, null, 010, 5,]",
            Step(
                "pipe",
                "x",
                ("2024-01-01", 1e9, 1500.0, 0.5, -3, 1000, float("inf"), True, None, "010", 5),
            ),
        ),
        ("- via: [x, [64, 32]]", Step("pipe", "x", ([64, 32],))),
        ("- {via: x, workers: 4}", Step("pipe", "x", workers=4)),
    ],
)
def test_what_is_accepted(text, step):
    assert good(text) == [Flow("chain", (step,))]


def test_documents_are_pipes():
    assert good("chain: []\n---\nfanout: [{via: a}]\n---\n") == [
        Flow("chain"),
        Flow("fanout", (Step("pipe", "a"),)),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "f.spy: there is no pipe in it"),
        ("hello", "f.spy: expected a mapping with chain, fanout, from, via or to, not 'hello'"),
        ("chain: 5", "f.spy: chain holds a list of processors, not 5"),
        (
            "chain: [5]",
            "f.spy: chain[0]: expected a mapping with chain, fanout, from, via or to, not 5",
        ),
        (
            "{chain: [], fanout: []}",
            "f.spy: expected exactly one of chain, fanout, from, via or to, not chain and fanout",
        ),
        (
            "- {}",
            "f.spy: chain[0]: expected exactly one of chain, fanout, from, via or to, not nothing",
        ),
        (
            "- {source: x}",
            "f.spy: chain[0]: expected exactly one of chain, fanout, from, via or to, not source",
        ),
        ("- {via: x, parms: {}}", 'f.spy: chain[0]: "parms" does not belong beside "via"'),
        ("- {chain: [], params: {}}", 'f.spy: chain[0]: "params" does not belong beside "chain"'),
        ("- {chain: [], workers: 2}", 'f.spy: chain[0]: "workers" does not belong beside "chain"'),
        (
            "- {via: x, workers: 0}",
            "f.spy: chain[0]: workers is a whole number from 1 to 1000, not 0",
        ),
        (
            "- {via: x, workers: yes}",
            "f.spy: chain[0]: workers is a whole number from 1 to 1000, not True",
        ),
        ("- {via: [5]}", "f.spy: chain[0]: expected the name of a pipe, not 5"),
        ("- {to: }", "f.spy: chain[0]: expected the name of a sink, not None"),
        ("- {to: []}", "f.spy: chain[0]: expected the name of a sink, not []"),
        ("- {via: x, params: 5}", "f.spy: chain[0]: params is a mapping of options, not 5"),
        (
            "- {via: x, params: {1: 5}}",
            "f.spy: chain[0]: params: 1 is no name of an option (put it in quotes)",
        ),
        (
            "- {via: [x, 1], params: [2]}",
            "f.spy: chain[0]: params is a list of arguments only where the name stands alone",
        ),
        (
            "- fanout: [{via: a}, {chain: [7]}]",
            (
                "f.spy: chain[0].fanout[1].chain[0]: "
                "expected a mapping with chain, fanout, from, via or to, not 7"
            ),
        ),
        ("chain: []\n---\nchain: 5", "f.spy: document 2: chain holds a list of processors, not 5"),
        (
            "chain: [",
            "f.spy: line 1, column 9: expected the node content, but found '<stream end>'",
        ),
        ("a: b: c", "f.spy: line 1, column 5: mapping values are not allowed here"),
        (
            "- via: !!python/object/apply:os.system [ls]",
            (
                "f.spy: line 1, column 8: could not determine a constructor for the tag"
                " 'tag:yaml.org,2002:python/object/apply:os.system'"
            ),
        ),
    ],
)
def test_mistakes(text, expected):
    assert wrong(text) == [expected]


def test_all_mistakes_at_once():
    assert len(wrong("- 5\n- {via: x, y: 1}\n- {to: }\n")) == 3


@pytest.mark.parametrize("text", [b"\xff\xfe\x00", b"\x00", b"- \x80"])
def test_not_even_text(text):
    (line,) = wrong(text)
    assert line.startswith("f.spy: no valid YAML: ")
    assert "\n" not in line


def test_endless_nesting():
    (line,) = wrong("&a\nchain: [*a]")
    assert line.endswith("nested deeper than 64")


def test_missing_file(tmp_path):
    path = tmp_path / "no.spy"
    assert load(str(path))[1][0].text == f"cannot read {path}: No such file or directory"
    assert load(str(tmp_path))[1][0].text == f"cannot read {tmp_path}: Is a directory"


def test_standard_input(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"chain: [{via: a}]")))
    assert load("-") == ([Flow("chain", (Step("pipe", "a"),))], [])


names = st.text(st.characters(categories=("L", "N", "P", "S", "Zs")), min_size=1, max_size=6)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)
    | st.from_regex(r"[-+.0-9:e_]{1,8}", fullmatch=True),
    lambda inner: st.lists(inner, max_size=2)
    | st.lists(inner, max_size=2).map(tuple)
    | st.dictionaries(names, inner, max_size=2),
    max_leaves=3,
)  # fmt: skip
made_steps = st.builds(
    Step,
    st.sampled_from(["source", "pipe", "sink"]),
    names,
    st.lists(values, max_size=2).map(tuple),
    st.dictionaries(names, values, max_size=2),
    workers=st.integers(1, 3),
)
nodes = st.recursive(
    made_steps,
    lambda inner: st.builds(
        Flow, st.sampled_from(["chain", "fanout"]), st.lists(inner, max_size=2).map(tuple)
    ),
    max_leaves=4,
)
pipes = st.builds(
    Flow, st.sampled_from(["chain", "fanout"]), st.lists(nodes, max_size=2).map(tuple)
)


@given(st.lists(pipes, min_size=1, max_size=2))
def test_there_and_back(recipe):
    text = dumps(recipe)
    assert good(text) == recipe
    assert dumps(good(text)) == text
