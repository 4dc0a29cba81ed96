import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from camagick.tools.url import ArrayUrl, BadUrl, Template, inner_path, plain


def test_halves():
    url = ArrayUrl("d/{sample}.h5#scan-{scan:03d}/{tag}")
    assert url.fields == {"sample", "scan", "tag"}
    values = {"sample": np.array("iron"), "scan": np.float64(7), "tag": "x"}
    assert url.at(values) == ("d/iron.h5", "/scan-007/x")


@pytest.mark.parametrize("text", ["f.h5", "f.h5#"])
def test_the_tag_is_the_default(text):
    assert ArrayUrl(text).at({"tag": "x"}) == ("f.h5", "/x")


def test_a_group_keeps_its_slash():
    assert ArrayUrl("f#a/").at({}) == ("f", "/a/")
    assert ArrayUrl("f#/").at({}) == ("f", "/")


@pytest.mark.parametrize("text", ["a#b#c", "", "#x", "a#{}", "a#{0}", "a#{x", "a}", "a#{x:{y}}"])
def test_what_is_no_address(text):
    with pytest.raises(BadUrl):
        ArrayUrl(text)


def test_only_names_are_looked_up():
    with pytest.raises(BadUrl, match=r"no 'tag\.__class__' in the context"):
        Template("{tag.__class__}").fill({"tag": "x"})
    assert Template("{a.b}").fill({"a.b": 1}) == "1"


def test_formats():
    assert Template("{x:5.2f}|{x!r}|{{}}").fill({"x": 1.5}) == " 1.50|1.5|{}"
    with pytest.raises(BadUrl, match=r"x=1\.5"):
        Template("{x:03d}").fill({"x": 1.5})


@given(st.text(alphabet="ab/", max_size=12))
def test_inner_paths_have_one_form(text):
    path = inner_path(text)
    assert path.startswith("/")
    assert "//" not in path
    assert inner_path(path) == path


@pytest.mark.parametrize("value", [3, np.int8(3), np.array(3), np.array([3]), np.array([[3]])])
def test_plain_numbers(value):
    assert plain(value) == 3
    assert isinstance(plain(value), int)


def test_what_is_not_plain_stays():
    value = np.zeros(2)
    assert plain(value) is value
    assert plain("text") == "text"
