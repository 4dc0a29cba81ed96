"""Help on a processor, and the list of all."""

from __future__ import annotations

import sys

import pytest

from caspy import catalogue
from caspy.describe import describe, describe_flow, explain, list_all
from caspy.parse import Asked
from caspy.recipe import At

OWN = '''
from __future__ import annotations
from camagick.processor import ProcessorBase

class Full(ProcessorBase):
    """Do everything.

    In two paragraphs.
    """
    requires = ("surely_not_installed",)
    extra = "special"
    def __init__(self, first: str, second=5, *rest: int, mode: str = "a", **tags: float) -> None:
        """Begin with a first."""

class Bare(ProcessorBase):
    pass
'''


@pytest.fixture(autouse=True)
def _own_module(tmp_path, monkeypatch):
    (tmp_path / "launch_test_describe.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("launch_test_describe", None)


def test_all_that_is_known():
    assert (
        describe("sink", "launch_test_describe:Full")
        == """\
The sink "launch_test_describe:Full"
====================================

Do everything.

In two paragraphs.

Begin with a first.

    --to-launch_test_describe:Full first [second] [rest ...] [mode=...]
        [NAME=VALUE ...]

Arguments:
    first           str    required
    second                 default 5
    rest ...        int    any number
    mode            str    default 'a'
    NAME=VALUE ...  float  any number

sink launch_test_describe:Full needs surely_not_installed, which is not installed: \
pip install '.[special]'"""
    )


def test_next_to_nothing():
    text = describe("pipe", "launch_test_describe:Bare")
    assert "Arguments" not in text
    assert text.endswith("    --launch_test_describe:Bare")


@pytest.mark.parametrize("role", catalogue.ROLES)
def test_every_processor_can_be_described(role):
    for name, entry in catalogue.entries(role).items():
        if not catalogue.info(entry).missing():
            text = describe(role, name)
            assert text.startswith(f'The {role} "{name}"\n=====')
            assert catalogue.info(entry).summary in " ".join(text.split())


def test_flows():
    assert describe_flow("chain").startswith("[ ... ]: chain\n==============\n\n")
    assert describe_flow("fanout").startswith("{ ... }: fanout\n")


def test_explain_several():
    text, problems = explain(
        [Asked("pipe", "sum", At(0)), Asked(None, "chain", At(1)), Asked("pipe", "summ", At(2))]
    )
    assert 'The pipe "sum"' in text
    assert "[ ... ]: chain" in text
    assert [(one.text, one.at.word) for one in problems] == [
        ('no such pipe "summ" (did you mean "sum"?)', 2)
    ]


def test_list_all():
    lines = list_all().splitlines()
    assert [line for line in lines if line.startswith(("Sources", "Pipes", "Sinks", "Flows"))] == [
        "Sources, where data comes from:",
        "Pipes, what is done to it:",
        "Sinks, where it goes:",
        "Flows, how they are put together:",
    ]
    assert any(line.split()[:1] == ["--from-scratch"] for line in lines)
    assert any(line.startswith("  [ ]  ") for line in lines)
    assert any(line.startswith("  { }  ") for line in lines)


def test_list_all_marks_what_is_not_installed(monkeypatch):
    monkeypatch.setattr(catalogue, "is_installed", lambda library: library != "h5py")
    text = " ".join(list_all().split())
    _, _, line = text.partition("--to-hdf5")
    assert "(needs pip install '.[hdf5]')" in line.partition(" --to-")[0]
