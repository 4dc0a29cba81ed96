"""The pipes that only choose, name and move tags: values and their marks go through untouched."""

from typing import Any

import numpy as np
import pytest

from camagick.data import Data
from camagick.errors import BadOption, CamagickError
from camagick.pipe.demote import Processor as DemotePipe
from camagick.pipe.exclude import Processor as ExcludePipe
from camagick.pipe.idem import Processor as IdemPipe
from camagick.pipe.nonempty import Processor as NonemptyPipe
from camagick.pipe.only import Processor as OnlyPipe
from camagick.pipe.promote import Processor as PromotePipe
from camagick.pipe.rename import Processor as RenamePipe


def make(*tags: str, **values: Any) -> Data:
    data = Data({**{tag: np.array([len(tag)]) for tag in tags}, **values})
    for tag in data:
        data.describe(tag, {"units": f"unit of {tag}"})
    return data


def run(pipe: Any, data: Data, context: Data | None = None) -> Any:
    return pipe.process(data, Data() if context is None else context)


def unchanged(made: Data, given: Data, names: dict[str, str]) -> None:
    """Values, marks and attributes have gone along, under their new names."""
    assert list(made) == list(names.values())
    for old, new in names.items():
        assert made[new] is given[old]
        assert made.mark(new) == given.mark(old)
        assert made.attributes(new) == {"units": f"unit of {old}"}


def same(*tags: str) -> dict[str, str]:
    return {tag: tag for tag in tags}


def test_idem():
    data = make("b", "a")
    unchanged(run(IdemPipe(), data), data, same("b", "a"))


@pytest.mark.parametrize(
    ("patterns", "kept"),
    [
        (["a"], ["ab", "a"]),
        (["a$"], ["a"]),
        (["b", "c"], ["bc", "c"]),
        ([".*c"], ["bc", "c"]),
        (["A"], []),
    ],
)
def test_only_and_exclude_match_from_the_beginning(patterns, kept):
    tags = ["bc", "ab", "a", "c", "d"]
    data = make(*tags)
    unchanged(run(OnlyPipe(*patterns), data), data, same(*kept_in(tags, kept)))
    dropped = [tag for tag in tags if tag not in kept]
    unchanged(run(ExcludePipe(*patterns), data), data, same(*dropped))


def kept_in(tags: list[str], kept: list[str]) -> list[str]:
    return [tag for tag in tags if tag in kept]


@pytest.mark.parametrize("pipe", [OnlyPipe, ExcludePipe], ids=["only", "exclude"])
def test_patterns_are_checked_at_once(pipe):
    with pytest.raises(BadOption, match="at least one pattern"):
        pipe()
    with pytest.raises(BadOption, match="no regular expression"):
        pipe("(")


def test_demote_moves_what_is_there():
    data, context = make("scan", "x", "frame"), Data({"old": 1})
    made = run(DemotePipe("frame", "scan", "nosuch"), data, context)
    unchanged(made, data, same("x"))
    assert list(context) == ["old", "frame", "scan"]
    assert context["scan"] is data["scan"]
    assert context.attributes("scan") == {"units": "unit of scan"}
    assert list(data) == ["scan", "x", "frame"]


def test_demote_without_names_moves_all():
    context = Data()
    assert run(DemotePipe(), make("a", "b"), context) == {}
    assert list(context) == ["a", "b"]


def test_promote_moves_back():
    data, context = make("x"), make("scan", "frame")
    known = context.copy()
    made = run(PromotePipe("frame", "nosuch", "frame"), data, context)
    assert list(made) == ["x", "frame"]
    assert made["frame"] is known["frame"]
    assert made.attributes("frame") == {"units": "unit of frame"}
    assert list(context) == ["scan"]
    assert context.mark("scan") == known.mark("scan")
    assert list(data) == ["x"]


def test_promote_without_names_moves_all():
    context = make("scan", "frame")
    assert list(run(PromotePipe(), make("x"), context)) == ["x", "scan", "frame"]
    assert context == {}


def test_promote_replaces_data():
    made = run(PromotePipe("x"), Data({"x": 1, "y": 2}), Data({"x": 3}))
    assert made == {"x": 3, "y": 2}


def test_demote_and_promote_are_opposites():
    data, context = make("a", "b"), Data()
    run(DemotePipe(), data, context)
    unchanged(run(PromotePipe(), Data(), context), data, same("a", "b"))


def test_nonempty_drops_what_has_no_element():
    data = make(
        a=np.zeros(3), b=np.zeros(0), c=np.zeros((3, 0)), d=np.float64(0), e="", f="x", g=[], h=0
    )
    unchanged(run(NonemptyPipe(), data), data, same("a", "d", "f", "h"))


@pytest.mark.parametrize(
    ("fmt", "name"),
    [
        ("{}_roi", "x_roi"),
        ("{tag}_roi", "x_roi"),
        ("{}:{tag}", "x:x"),
        ("new", "new"),
        ("{}_{scan:03d}", "x_007"),
        ("{scan}", "7"),
        ("{{}}", "{}"),
        ("{0}_", "x_"),
    ],
)
def test_rename(fmt, name):
    data = make("x")
    unchanged(run(RenamePipe(fmt), data, Data({"scan": np.array(7)})), data, {"x": name})


def test_rename_some_brings_them_to_the_front():
    data = make("b", "a1", "c", "a2")
    made = run(RenamePipe("{}_r", only="a"), data)
    unchanged(made, data, {"a1": "a1_r", "a2": "a2_r", "b": "b", "c": "c"})


@pytest.mark.parametrize(("fmt", "only"), [("same", ""), ("c", "b")])
def test_two_tags_never_become_one(fmt, only):
    tags = ("a", "b") if not only else ("b", "c")
    with pytest.raises(CamagickError, match=f"{tags[0]} and {tags[1]} would both be called {fmt}"):
        run(RenamePipe(fmt, only=only), make(*tags))


def test_swapping_names_is_no_clash():
    data = make("ab", "b")
    unchanged(run(RenamePipe("b2", only="b"), data), data, {"b": "b2", "ab": "ab"})


def test_unknown_key_is_told():
    with pytest.raises(CamagickError, match=r"scan is not in the context \(there is: frame\)"):
        run(RenamePipe("{}_{scan}"), make("x"), Data({"frame": 1}))


def test_a_format_that_does_not_fit_is_told():
    with pytest.raises(CamagickError, match=r"^rename {scan:d}: x: "):
        run(RenamePipe("{scan:d}"), make("x"), Data({"scan": "text"}))


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (("{",), "is not a format"),
        (("{}_{}",), "once only"),
        (("{1}",), "once only"),
        (("",), "empty"),
        (("{}", "("), "no regular expression"),
    ],
)
def test_rename_checks_its_arguments_at_once(args, text):
    with pytest.raises(BadOption, match=text):
        RenamePipe(*args)


@pytest.mark.parametrize(
    "pipe",
    [
        IdemPipe(),
        OnlyPipe("a"),
        ExcludePipe("a"),
        DemotePipe(),
        PromotePipe(),
        NonemptyPipe(),
        RenamePipe("{}_x"),
    ],
)
def test_no_data(pipe):
    assert run(pipe, Data()) == {}
