"""Brackets, processors and arguments on the command line."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caspy.parse import Asked, Parsed, parse
from caspy.recipe import DEEPEST, At, Flow, Step
from caspy.words import Word


def read(line: str) -> Parsed:
    return parse([Word(text, At(index)) for index, text in enumerate(shlex.split(line))])


def good(line: str) -> list[Flow]:
    done = read(line)
    assert done.problems == []
    assert done.asked == []
    return done.pipes


def wrong(line: str) -> list[tuple[str, int]]:
    return [(problem.text, problem.at.word) for problem in read(line).problems]


def test_a_chain_is_implied():
    (pipe,) = good("--from-epics A:x prefix=P: --npfun sum axis=1 --to-summary")
    assert pipe == Flow(
        "chain",
        (
            Step("source", "epics", ("A:x",), {"prefix": "P:"}),
            Step("pipe", "npfun", ("sum",), {"axis": "1"}),
            Step("sink", "summary"),
        ),
    )


def test_positions_are_kept():
    (pipe,) = good("--from-a x { --b k=v }")
    source, fanout = pipe.children
    assert isinstance(source, Step)
    assert isinstance(fanout, Flow)
    (inner,) = fanout.children
    assert isinstance(inner, Step)
    assert source.at == At(0)
    assert source.places == {0: At(1)}
    assert fanout.at == At(2)
    assert inner.places == {"k": At(4)}


def test_brackets_nest():
    (pipe,) = good("--from-a { [ --b --c ] [ ] --d } --to-e")
    assert pipe.children[1] == Flow(
        "fanout",
        (Flow("chain", (Step("pipe", "b"), Step("pipe", "c"))), Flow("chain"), Step("pipe", "d")),
    )


def test_bare_brackets_are_inside_the_implied_chain():
    assert good("[ --from-a ]") == [Flow("chain", (Flow("chain", (Step("source", "a"),)),))]


@pytest.mark.parametrize(
    ("word", "role", "name"),
    [
        ("--from-x", "source", "x"),
        ("--to-x", "sink", "x"),
        ("--x", "pipe", "x"),
        ("--from-my.module:Class", "source", "my.module:Class"),
        ("--my.module", "pipe", "my.module"),
        ("--to-my.module:Class", "sink", "my.module:Class"),
        ("--from-to-x", "source", "to-x"),
        ("--total", "pipe", "total"),
        ("--fromage", "pipe", "fromage"),
        ("--two-words", "pipe", "two-words"),
    ],
)
def test_names(word, role, name):
    (pipe,) = good(word)
    assert pipe.children == (Step(role, name),)


@pytest.mark.parametrize(
    ("word", "key", "value"),
    [
        ("a=1", "a", "1"),
        ("a=", "a", ""),
        ("a=b=c", "a", "b=c"),
        ("when=A:b==0", "when", "A:b==0"),
        ('when="A:b==0"', "when", '"A:b==0"'),
        ("fmt={tag}={}", "fmt", "{tag}={}"),
        ("my-tag=x", "my-tag", "x"),
        ("EX:iffy=B", "EX:iffy", "B"),
        ("det.x=B", "det.x", "B"),
        ("a=<=", "a", "<="),
        ("größe=1", "größe", "1"),
        ("4idc=B", "4idc", "B"),
    ],
)
def test_keywords(word, key, value):
    (pipe,) = parse([Word("--x", At(0)), Word(word, At(1))]).pipes
    assert pipe.children == (Step("pipe", "x", (), {key: value}),)


@pytest.mark.parametrize(
    "word",
    [
        "x",
        "-1",
        "A:b==0",
        "a!=1",
        "a<=1",
        "a>=1",
        "=5",
        "==",
        "{tag}={}",
        '"a=1"',
        "f(a=1)",
        "http://h?a=b",
        "my.h5#g/a=1",
        "",
        "-",
        "*",
        "a b=1",
        "[5,6]",
        "{}_s",
    ],
)
def test_positional(word):
    (pipe,) = parse([Word("--x", At(0)), Word(word, At(1))]).pipes
    assert pipe.children == (Step("pipe", "x", (word,)),)


def test_how_a_processor_is_run_is_no_argument_of_it():
    (pipe,) = good("--x 1 @workers=4 k=@2")
    (step,) = pipe.children
    assert step == Step("pipe", "x", ("1",), {"k": "@2"}, workers=4)
    assert isinstance(step, Step)
    assert step.places["@workers"] == At(2)


def test_a_comma_separates_pipes():
    first, second = good("--from-a --to-b , --from-c")
    assert first.children == (Step("source", "a"), Step("sink", "b"))
    assert second.children == (Step("source", "c"),)
    assert second.at == At(3)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("--from-a { --b", [('"{" is never closed: a "}" is missing', 1)]),
        ("--from-a ]", [('"]" closes nothing', 1)]),
        ("--from-a { --b ]", [('"]" closes "{": write "}"', 3)]),
        ("--from-a { [ --b }", [('"[" is never closed: a "]" is missing', 2)]),
        (
            "--from-a { { --b ] }",
            [('"]" closes "{": write "}"', 4)],
        ),
        ("x --from-a", [('"x" stands before the first processor and belongs to no processor', 0)]),
        ("--from-a [ x ]", [('"x" stands behind "[" and belongs to no processor', 2)]),
        ("--from-a [ --b ] x", [('"x" stands behind "]" and belongs to no processor', 4)]),
        ("--from-a , x --from-b", [('"x" stands behind "," and belongs to no processor', 2)]),
        ("--from-a [ , ]", [('"," inside "[": it can only stand between whole pipes', 2)]),
        (", --from-a", [('no pipe before ","', 0)]),
        ("--from-a ,", [('no pipe behind ","', 1)]),
        ("--from-a , , --from-b", [('no pipe before ","', 2)]),
        ("--from-a k=1 k=2", [('"k" is given twice', 2)]),
        ("--from-a --", [('the name of a processor is missing behind "--"', 1)]),
        ("--from- x", [('the name of a processor is missing behind "--from-"', 0)]),
        ("--from", [('the name of a processor is missing behind "--from"', 0)]),
        ("--a @workers=2 @workers=2", [('"@workers" is given twice', 2)]),
        ("--a @workers", [("@workers=N: N is a whole number from 1 to 1000", 1)]),
        ("--a @workers=0", [("@workers=N: N is a whole number from 1 to 1000", 1)]),
        ("--a @workers=1001", [("@workers=N: N is a whole number from 1 to 1000", 1)]),
        ("--a @gpu=1", [('no such word "@gpu" (@HOST, @workers=N; as text: \'"@gpu=1"\')', 1)]),
        (
            "[ @workers=2",
            [
                ('"@workers=2" stands behind "[" and belongs to no processor', 1),
                ('"[" is never closed: a "]" is missing', 0),
            ],
        ),
        ("?", [('"?" asks for help on the processor before it: there is none', 0)]),
    ],
)
def test_mistakes(line, expected):
    assert wrong(line) == expected


def test_all_mistakes_at_once():
    assert sorted(at for _, at in wrong("x --from-a ] y { [ --b k=1 k=2 ,")) == [
        0,
        2,
        3,
        4,
        5,
        8,
        9,
    ]


@pytest.mark.parametrize("question", ["?", "-?"])
def test_questions(question):
    assert read(f"--npfun {question}").asked == [Asked("pipe", "npfun", At(0))]
    assert read(f"--from-a x {question} --to-b").asked == [Asked("source", "a", At(0))]
    assert read(f"[ {question}").asked == [Asked(None, "chain", At(0))]
    assert read(f"{{ --a }} {question}").asked == [Asked(None, "fanout", At(0))]


def test_nesting_is_bounded():
    deep = DEEPEST + 3
    assert wrong("--from-a " + "[ " * deep + "] " * deep) == [
        (f"brackets nested deeper than {DEEPEST}", DEEPEST + 1)
    ]


@given(
    st.lists(
        st.sampled_from(["[", "]", "{", "}", ",", "--a", "--from-b", "x", "k=1", "?", "--", "@x"])
    )
)
def test_anything_is_read_to_its_end(texts):
    done = parse([Word(text, At(index)) for index, text in enumerate(texts)])
    assert all(0 <= problem.at.word < len(texts) for problem in done.problems)


trees = st.recursive(
    st.sampled_from(["--a", "--from-b x", "--to-c k=1"]),
    lambda inner: st.tuples(st.sampled_from("[{"), st.lists(inner, max_size=4)).map(
        lambda pair: " ".join([pair[0], *pair[1], "]" if pair[0] == "[" else "}"])
    ),
)


@given(st.lists(trees, min_size=1, max_size=4))
def test_balanced_brackets_are_never_refused(parts):
    (pipe,) = good(" ".join(parts))
    assert len(pipe.children) == len(parts)
