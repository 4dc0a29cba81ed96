"""What the broker knows."""

from __future__ import annotations

from typing import Any

import pytest

from camagick_broker.directory import Directory
from camagick_broker.errors import RemoteProtocolError

ENTRY: dict[str, Any] = {
    "name": "a.1", "pid": 7, "incarnation": 1, "data": "ipc:///d", "back": "ipc:///a",
    "loop": "ipc:///l", "far": "", "multicast": False, "ready": False, "going": False,
}  # fmt: skip


def test_everybody_is_known_when_all_have_registered():
    directory = Directory({1: "a.1", 2: "b.2"})
    assert not directory.register(1, ENTRY)
    assert not directory.register(1, ENTRY)
    assert directory.register(2, ENTRY)
    assert not directory.register(2, ENTRY), "nothing new"
    assert directory.actors[1].items() <= ENTRY.items()


def test_whoever_is_restarted_is_news_for_all():
    directory = Directory({1: "a.1", 2: "b.2"})
    for number in (1, 2):
        directory.register(number, ENTRY)
        directory.ready(number)
    assert directory.going
    assert directory.register(1, {**ENTRY, "incarnation": 2})
    assert not directory.may_go(1)
    directory.ready(1)
    assert directory.may_go(1)


def test_a_new_broker_learns_from_anybody_that_the_run_goes_on():
    directory = Directory({1: "a.1", 2: "b.2"})
    assert directory.register(1, {**ENTRY, "ready": True, "going": True})
    assert directory.going
    assert directory.may_go(1)


def test_all_may_start_when_all_could():
    directory = Directory({1: "a.1", 2: "b.2"})
    assert directory.waiting_for == ["a.1", "b.2"]
    assert not directory.ready(2)
    assert not directory.ready(2)
    assert directory.waiting_for == ["a.1"]
    assert directory.ready(1)
    assert directory.all_ready


def test_the_newest_figures_are_kept():
    directory = Directory({1: "a.1"})
    directory.report(1, {"seq": 1})
    directory.report(1, {"seq": 2, "in": {4: {"messages": 3, "latency_s": 0.5}}})
    assert directory.snapshot()["statistics"][1]["in"] == {4: {"messages": 3, "latency_s": 0.5}}


@pytest.mark.parametrize("number", [0, 2, 2**32 - 1])
def test_strangers_are_refused(number):
    directory = Directory({1: "a.1"})
    for tell in (
        lambda: directory.register(number, ENTRY),
        lambda: directory.ready(number),
        lambda: directory.report(number, {}),
    ):
        with pytest.raises(RemoteProtocolError, match="nobody in the plan"):
            tell()
    assert not directory.actors
    assert not directory.statistics


@pytest.mark.parametrize(
    "change",
    [{"name": 5}, {"pid": "7"}, {"pid": True}, {"data": b"x"}, {"multicast": 1},
     {"data": "x" * 1000}, {"loop": None}],
    ids=str,
)  # fmt: skip
def test_unusable_registrations_are_refused(change):
    directory = Directory({1: "a.1"})
    with pytest.raises(RemoteProtocolError, match="unusable registration"):
        directory.register(1, {**ENTRY, **change})
    assert not directory.actors


def _deep(levels: int) -> dict[str, Any]:
    return {"a": _deep(levels - 1)} if levels else {}


@pytest.mark.parametrize(
    "figures",
    [{"a": [1]}, {"a": b"x"}, {(1,): 2}, _deep(9), _deep(600), {n: n for n in range(20_000)},
     {"a": "x" * 1_000_000}],
    ids=["list", "bytes", "tuple", "deep", "very deep", "many", "long"],
)  # fmt: skip
def test_what_are_no_figures_is_refused(figures):
    directory = Directory({1: "a.1"})
    with pytest.raises(RemoteProtocolError):
        directory.report(1, figures)
    assert not directory.statistics
