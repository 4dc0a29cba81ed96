"""Help, pages and signatures say the same."""

from __future__ import annotations

import ast
import contextlib
import inspect
import itertools
import re
import shlex
from pathlib import Path

import pytest

from caspy import casting, catalogue, manual
from caspy.describe import describe, list_all
from caspy.docstring import parameters, reflowed, sections
from caspy.parse import parse
from caspy.words import sort

FOLDER = Path(__file__).parents[2] / "docs/processors"
ALL = [
    (role, name)
    for role in catalogue.ROLES
    for name, entry in catalogue.entries(role).items()
    if not catalogue.info(entry).missing()
]
WIDTH = 80


@pytest.mark.parametrize(("role", "name"), ALL)
def test_every_argument_is_explained_and_every_explanation_has_its_argument(role, name):
    cls = catalogue.load(role, name)
    said = parameters(cls.__doc__)
    assert list(said) == list(casting.parameters(cls))
    assert all(one.text for one in said.values())
    assert "Examples" in sections(cls.__doc__)


@pytest.mark.parametrize(("role", "name"), ALL)
def test_types_and_defaults_are_those_of_the_signature(role, name):
    cls = catalogue.load(role, name)
    said, known = parameters(cls.__doc__), casting.parameters(cls)
    for one, told in said.items():
        assert told.type, f"{one}: no type"
        default = known[one].default
        written = re.search(r"default (.+)$", told.type)
        if written is None:
            assert default in (inspect.Parameter.empty, None, "", ()), f"{one}: default {default!r}"
            continue
        with contextlib.suppress(ValueError, SyntaxError):  # `no limit`: in words
            assert ast.literal_eval(written[1]) == default, one


@pytest.mark.parametrize(("role", "name"), ALL)
def test_the_examples_of_the_help_are_command_lines(role, name):
    text = sections(catalogue.load(role, name).__doc__)["Examples"].replace("\\\n", " ")
    lines = [line.strip() for line in text.splitlines() if "caspy " in line.split("|")[-1]]
    lines = [line for line in lines if re.match(r"(\S+ \| |\w+=\S+ )*caspy -", line)]
    for line in lines:
        words = shlex.split(line.partition("caspy ")[2].partition(" &")[0], comments=False)
        words = list(itertools.takewhile(lambda word: word not in ("|", ">"), words))
        sorted_ = sort(words)
        assert not sorted_.problems, line
        assert not parse(sorted_.words).problems, line
    assert lines, "no command line"


@pytest.mark.parametrize(("role", "name"), ALL)
def test_help_is_narrow(role, name):
    wide = [line for line in describe(role, name).splitlines() if len(line) >= WIDTH]
    assert not wide


def test_the_list_is_narrow():
    assert not [line for line in list_all().splitlines() if len(line) >= WIDTH]


@pytest.mark.parametrize(("role", "name"), ALL)
def test_the_page_is_made_from_the_code(role, name):
    written = (FOLDER / manual.page_name(role, name)).read_text(encoding="utf-8")
    assert written == manual.page(role, name), "run `make docs`"


def test_there_is_a_page_for_everything_and_nothing_else():
    assert (FOLDER / "README.md").read_text(encoding="utf-8") == manual.index()
    names = {manual.page_name(r, n) for r in catalogue.ROLES for n in catalogue.entries(r)}
    assert {path.name for path in FOLDER.glob("*.md")} == {"README.md", *names}


def test_paragraphs_are_filled_and_code_is_left_alone():
    text = reflowed(
        """Do it.

        One two three
        four five.

        * item one
          goes on
        * item two

        As here::

            first   line
              second

        Parameters
        ----------
        x : int
            Long
            text.
        """,
        width=16,
    )
    assert text.split("\n\n") == [
        "Do it.",
        "One two three\nfour five.",
        "* item one goes\n  on\n* item two",
        "As here::",
        "    first   line\n      second",
        "Parameters\n----------\nx : int\n    Long text.",
    ]
