"""Those who look at a bus by way of its gateway: how often, how long, and what they are shown."""

from __future__ import annotations

from typing import Any

from camagick_broker.looking import LEASE_S, Looking, shown


def test_the_broker_is_asked_once_for_all_and_not_too_often() -> None:
    looking, asked = Looking(), 0
    for turn in range(1000):
        now = 100.0 + turn / 1000
        looking.come(b"%d" % (turn % 7), now)
        if looking.ask(now):
            asked += 1
            assert looking.served() <= {b"%d" % one for one in range(7)}
    assert asked == 5
    assert looking.served()
    assert not looking.served()
    assert not looking.ask(200.0), "nobody waits"


def test_who_asks_no_more_is_forgotten() -> None:
    looking = Looking()
    looking.come(b"a", 100.0)
    looking.come(b"b", 105.0)
    looking.forget(100.1 + LEASE_S)
    assert list(looking) == [b"b"]
    assert looking.served() == {b"b"}
    looking.forget(200.0)
    assert not looking


def test_there_is_room_for_so_many_and_those_who_are_there_stay() -> None:
    looking = Looking()
    for number in range(300):
        looking.come(b"%d" % number, 100.0)
    looking.come(b"0", 101.0)
    assert len(list(looking)) == 256
    looking.forget(100.5 + LEASE_S)
    assert list(looking) == [b"0"]


def test_what_is_shown() -> None:
    status: dict[str, Any] = {
        "op": "status", "ready": True, "age_s": {1: 0.1}, "refused": {"taps": 2},
        "actors": {1: {"name": "a.1", "pid": 7, "incarnation": 2, "far": "tcp://h:1", "data": "x"}},
        "statistics": {1: {"seq": 5, "pid": 7}, 2: {"seq": 6, "pid": 8}},
        "before": {1: {"seq": 4, "pid": 6}, 2: {"seq": 1, "pid": 8}},
    }  # fmt: skip
    assert shown(status) == {
        "op": "status", "ready": True, "age_s": {1: 0.1}, "refused": {"taps": 2},
        "actors": {1: {"name": "a.1", "incarnation": 2}},
        "statistics": {1: {"seq": 5}, 2: {"seq": 6}},
        "before": {2: {"seq": 1}},  # of 1, it is that of a process that was killed
    }  # fmt: skip
    assert shown({"op": "over"})["statistics"] == {}
