"""From a recipe to flow objects, and everything that can be wrong with the arguments."""

from __future__ import annotations

import shlex
import sys

import pytest

from camagick.flow.chain import Processor as ChainFlow
from camagick.flow.fanout import Processor as FanoutFlow
from caspy.build import Built, build
from caspy.parse import parse
from caspy.recipe import At, Flow, Step
from caspy.words import Word

OWN = """
from __future__ import annotations
from typing import Any
from camagick.processor import ProcessorBase
from camagick.errors import BadOption

class Picky(ProcessorBase):
    def __init__(self, first: str, second: int = 0, *, mode: str = "a", when: str | None = None):
        self.given = (first, second, mode, when)
        if mode == "bad":
            raise BadOption(f"Picky: no mode {mode!r}: there are a and b")
        if mode == "crash":
            raise ZeroDivisionError("division\\nby zero")

class Open(ProcessorBase):
    role = "sink"
    def __init__(self, *args: Any, **options: Any):
        self.args, self.options = args, options

class Needs(Open):
    requires = ("surely_not_installed",)
    extra = "special"
"""


@pytest.fixture(autouse=True)
def _own_module(tmp_path, monkeypatch):
    (tmp_path / "launch_test_build.py").write_text(OWN.replace("Picky", "Picky"))
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("launch_test_build", None)


def made(line: str, **options: bool) -> Built:
    line = line.replace("PICKY", "launch_test_build:Picky").replace(
        "OPEN", "launch_test_build:Open"
    )
    words = [Word(text, At(index)) for index, text in enumerate(shlex.split(line))]
    return build(parse(words).pipes, **options)


def wrong(line: str) -> list[tuple[str, int]]:
    text = [(problem.text, problem.at.word) for problem in made(line).problems]
    return [(one.replace("launch_test_build:Picky", "PICKY"), at) for one, at in text]


def test_flow_objects():
    built = made("--from-scratch random a=1 { [ --npfun sum axis=0 ] [ ] } --to-summary")
    assert built.problems == []
    (flow,) = built.flows
    assert isinstance(flow, ChainFlow)
    source, fanout, sink = flow.children
    assert (source.role, source.name) == ("source", "scratch")
    assert isinstance(fanout, FanoutFlow)
    assert isinstance(fanout.children[1], ChainFlow)
    assert sink.role == "sink"


def test_arguments_are_cast_for_the_parameter_they_go_to():
    built = made("--from-PICKY 5 5 when=A:b==0 mode=7")
    assert built.flows[0].children[0].given == ("5", 5, "7", "A:b==0")
    built = made("--from-PICKY '\"5\"' when='\"A:b==0\"'")
    assert built.flows[0].children[0].given == ("5", 0, "a", "A:b==0")
    built = made("--from-OPEN 64,32 (0,1) opts=start=1,stop=3 k= t=True")
    assert built.flows[0].children[0].args == ((64, 32), (0, 1))
    assert built.flows[0].children[0].options == {
        "opts": {"start": 1, "stop": 3},
        "k": "",
        "t": True,
    }


def test_the_recipe_comes_back_cast():
    (pipe,) = made("--from-OPEN 5 axis=(0,1)", construct=False).pipes
    assert pipe == Flow(
        "chain", (Step("source", "launch_test_build:Open", (5,), {"axis": (0, 1)}),)
    )


def test_values_of_a_file_are_left_as_they_are():
    step = Step("source", "launch_test_build:Picky", ("5", "5"), {})
    assert build([Flow("chain", (step,))]).flows[0].children[0].given == ("5", "5", "a", None)


def test_the_flag_gives_an_external_class_its_role():
    built = made("--from-OPEN --OPEN --to-PICKY x")
    assert [child.role for child in built.flows[0].children] == ["source", "pipe", "sink"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("", [('source PICKY: argument "first" is missing (caspy --from-PICKY ? explains)', 0)]),
        (
            "a 1 2",
            [
                (
                    (
                        "source PICKY takes at most 2 arguments without a name, "
                        '"2" is one too many (its options: mode=, when=)'
                    ),
                    3,
                )
            ],
        ),
        ("a mod=b", [('source PICKY has no option "mod" (did you mean "mode"?)', 2)]),
        (
            "a zzz=b",
            [('source PICKY has no option "zzz" (there is first=, second=, mode=, when=)', 2)],
        ),
        ("a first=b", [('source PICKY: "first" is given twice, by its place and by name', 2)]),
        ("a mode=bad", [("source PICKY: Picky: no mode 'bad': there are a and b", 0)]),
        ("a mode=crash", [("source PICKY: ZeroDivisionError: division by zero", 0)]),
        (
            "mod=b zzz=c",
            [
                ('source PICKY has no option "mod" (did you mean "mode"?)', 1),
                ('source PICKY has no option "zzz" (there is first=, second=, mode=, when=)', 2),
                ('source PICKY: argument "first" is missing (caspy --from-PICKY ? explains)', 0),
            ],
        ),
    ],
)
def test_wrong_arguments(arguments, expected):
    assert wrong(f"--from-PICKY {arguments}") == expected


def test_names_that_python_keeps_for_itself():
    ((text, at),) = wrong("--from-OPEN self=1")
    assert "TypeError" in text
    assert at == 0


def test_a_processor_without_arguments():
    assert wrong("--from-OPEN --idem 5 k=1") == [
        ('pipe idem takes no arguments, "5" is one', 2),
        ('pipe idem has no option "k" (it has none)', 3),
    ]


def test_a_missing_library():
    assert wrong("--from-launch_test_build:Needs") == [
        (
            (
                "source launch_test_build:Needs needs surely_not_installed, which is not installed:"
                " pip install '.[special]'"
            ),
            0,
        )
    ]
    assert made("--from-launch_test_build:Needs", construct=False).problems == []


def test_an_empty_fanout():
    assert wrong("--from-OPEN { }") == [
        ("an empty fanout { } would throw all data away: [ ] passes it on", 1)
    ]


@pytest.mark.parametrize("line", ["--idem", "[ ]", "--to-summary", "{ --sum --OPEN }"])
def test_nothing_to_process(line):
    assert wrong(line) == [("nothing to process: a pipe begins with a source (--from-...)", 0)]


def test_a_source_may_stand_anywhere():
    assert wrong("{ [ --from-OPEN --sum ] --from-OPEN } --to-summary --from-OPEN") == []


def test_everything_at_once():
    assert [at for _, at in wrong("--from-PICKY { } --nosuch --idem 1 , --sum")] == [0, 1, 3, 5, 7]
