"""Which words are the launcher's options, and where each word stands."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caspy.cli import _caspy
from caspy.words import OPTIONS, is_option, pointer, shown, sort


def options(*argv: str) -> dict[str, str | None]:
    return {one.name: one.value for one in sort(argv).options}


def words(*argv: str) -> list[str]:
    return [word.text for word in sort(argv).words]


def problems(*argv: str) -> list[tuple[str, int]]:
    return [(problem.text, problem.at.word) for problem in sort(argv).problems]


@pytest.mark.parametrize("word", ["-save", "-h", "-yaml=x", "-e5", "-a:b", "-infinit"])
def test_options(word):
    assert is_option(word)


@pytest.mark.parametrize(
    "word",
    [
        "--save",
        "-1",
        "-1:",
        "-.5",
        "-1e3",
        "-inf",
        "-nan",
        "-Infinity",
        "-",
        "-?",
        "-_",
        "",
        "x-y",
        "-:3",
    ],
)
def test_no_options(word):
    assert not is_option(word)


def test_table_and_click_know_the_same_options():
    declared = {name.lstrip("-") for param in _caspy.params for name in param.opts}
    assert declared | {"h", "help"} == set(OPTIONS)


def test_options_stand_anywhere():
    argv = ["--a", "1", "-window", "4", "k=v", "-plan", "dot", "--to-b", "-1"]
    assert options(*argv) == {"window": "4", "plan": "dot"}
    assert words(*argv) == ["--a", "1", "k=v", "--to-b", "-1"]
    assert [word.at.word for word in sort(argv).words] == [0, 1, 4, 7, 8]


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("-y", "yaml"),
        ("-s", "save"),
        ("-l", "list-all"),
        ("-v", "version"),
        ("-p", "plan"),
        ("-w", "window"),
        ("-c", "count"),
        ("-b", "bus"),
        ("-t", "top"),
        ("-m", "metrics"),
        ("-sto", "stop"),
        ("-h", "h"),
        ("-he", "help"),
        ("--help", "help"),
    ],
)
def test_unique_prefixes(typed, name):
    assert list(options(typed, "1")) == [name]


@pytest.mark.parametrize(
    ("argv", "value", "rest"),
    [
        (["-plan"], "text", []),
        (["-plan", "json"], "json", []),
        (["-plan", "--a"], "text", ["--a"]),
        (["-plan", "png"], "text", ["png"]),
        (["-plan=mermaid", "x"], "mermaid", ["x"]),
    ],
)
def test_plan_takes_only_a_format(argv, value, rest):
    assert options(*argv)["plan"] == value
    assert words(*argv) == rest


@pytest.mark.parametrize(
    ("argv", "value"),
    [
        (["-save"], "-"),
        (["-save", "-"], "-"),
        (["-save", "a.spy"], "a.spy"),
        (["-save", "--a"], "-"),
        (["-save", "["], "-"),
        (["-save", "-y", "f"], "-"),
    ],
)
def test_save_without_a_file_is_standard_output(argv, value):
    assert options(*argv)["save"] == value


def test_yaml_from_standard_input():
    assert options("-y", "-") == {"yaml": "-"}


@pytest.mark.parametrize(
    ("argv", "text", "at"),
    [
        (["x", "-yaml"], "option -yaml needs a value behind it", 1),
        (["-yaml", "--a"], "option -yaml needs a value behind it", 0),
        (["-yaml", "-s"], "option -yaml needs a value behind it", 0),
        (["-windo", "1", "-windos"], 'no such option "-windos" (did you mean "-window"?)', 2),
        (["-version=3"], "option -version takes no value", 0),
        (["-c", "1", "-count", "2"], "option -count is given twice", 2),
    ],
)
def test_mistakes(argv, text, at):
    assert (text, at) in problems(*argv)


def test_ambiguous(monkeypatch):
    monkeypatch.setitem(OPTIONS, "windy", OPTIONS["window"])
    assert problems("-win", "1")[0][0] == (
        "option -win could be -window or -windy: write one more letter"
    )


def test_unknown_option_says_how_to_write_text():
    ((text, at),) = problems("--exclude", "-foo")
    assert at == 1
    assert (
        text == """no such option "-foo" (caspy -h lists them; as text for a processor: '"-foo"')"""
    )


def test_pointer_stands_below_the_word():
    line, carets = pointer(["--from-scratch", "a b", "--to-sumary"], 2)
    assert line == "    caspy --from-scratch 'a b' --to-sumary"
    assert line[carets.index("^") : carets.rindex("^") + 1] == "--to-sumary"


@given(st.lists(st.text(max_size=30), min_size=1, max_size=40), st.data())
def test_pointer_always_finds_the_word(argv, data):
    index = data.draw(st.integers(0, len(argv) - 1))
    line, carets = pointer(argv, index)
    found = line[carets.index("^") : carets.rindex("^") + 1]
    assert found == shown(argv[index])
    assert "\n" not in line
    assert len(line) < 96 + len(found) + 20


@given(st.lists(st.text(max_size=6) | st.sampled_from(["-save", "-plan", "-y", "-1", "--x", "-q"])))
def test_no_word_is_lost(argv):
    done = sort(argv)
    seen = {word.at.word for word in done.words} | {p.at.word for p in done.problems}
    seen |= {at.word for one in done.options for at in (one.at, one.value_at)}
    # The value of an option that was refused as given twice goes with it.
    assert set(range(len(argv))) - seen <= {p.at.word + 1 for p in done.problems}
