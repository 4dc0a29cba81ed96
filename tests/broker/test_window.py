"""The window that is fitted to the messages' size, on the simulated network."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from camagick_broker import sizes
from camagick_broker.pace import FEWEST, Pace
from camagick_broker.post import Post
from camagick_broker.sizes import LEAST, MOST, Sizes, fitting, size_of
from camagick_broker.starter import Starter
from camagick_broker.wire import PREFIX_BYTES, Kind
from camagick_broker.wiring import Wiring
from tests.broker import test_protocol, test_restart
from tests.broker.test_protocol import build, finished, pipes

if TYPE_CHECKING:
    from tests.broker.network import Network

MB = 1 << 20


@pytest.mark.parametrize(
    ("largest", "most", "window"),
    [(0, 64, 64), (1, 64, 64), (4 * MB, 64, 64), (8 * MB, 64, 32), (32 * MB, 64, 8),
     (33 * MB, 64, 7), (64 * MB, 64, 4), (2**63, 64, 4), (0, 3, 3), (2**40, 3, 3), (0, 1, 1)],
)  # fmt: skip
def test_what_fits(largest: int, most: int, window: int) -> None:
    assert fitting(largest, most) == window


def test_sizes_look_back_no_farther_than_they_should() -> None:
    known = Sizes(3)
    assert known.largest == 0
    known.made(size_of([bytes(PREFIX_BYTES), memoryview(bytes(80))]))
    known.heard(2, 50)
    assert known.largest == PREFIX_BYTES + 80
    for _ in range(6):
        known.made(1)
    assert known.largest == 50
    known.heard(2, 7)
    assert known.largest == 7


@pytest.mark.parametrize(
    ("size", "least", "window"),
    [(16_000, 8, MOST), (100_000, 8, 107), (1 * MB, 8, 10), (2 * MB, 8, 8), (32 * MB, 8, 8),
     (64 * MB, 8, 4), (1 * MB, 40, 40), (8 * MB, 40, 32), (0, 8, MOST)],
)  # fmt: skip
def test_an_edge_to_another_host_holds_less_but_enough_for_all_workers(
    size: int, least: int, window: int
) -> None:
    known = Sizes(3, least)
    known.made(size)
    assert fitting(known.largest, MOST) == window
    known.heard(2, 64 * MB)
    assert fitting(known.largest, MOST) == 4


@pytest.mark.parametrize(("far", "count_as"), [((), 1), ((2,), 25), ((3,), 1)])
def test_what_goes_to_another_host_is_said_to_be_larger(
    far: tuple[int, ...], count_as: int
) -> None:
    wiring = Wiring(
        run=bytes(8), bus="", bus_dir="", number=1, name="a", inputs=(), consumers=(2,), heads=(1,),
        gates=(), terminals=(2,), window=MOST, fitted=True, far=frozenset(far),
    )  # fmt: skip
    post = Post(wiring)
    post.sizes.made(1 * MB)
    assert post.message(Kind.STATE, 0, 1).largest == count_as * MB


def test_it_begins_small_and_follows_what_is_said() -> None:
    starter = Starter([1], [], [9], lockstep=False, window=MOST, fitted=True)
    assert starter.permitted == LEAST
    starter.done(1, 0, 0)  # nothing has ended: nobody knows
    assert starter.permitted == LEAST
    starter.done(1, 1, 1000)
    assert starter.permitted == 1 + MOST
    starter.done(1, 2, 32 * MB)
    assert starter.permitted == 2 + 8
    starter.done(1, 3, 1000)
    assert starter.permitted == 3 + MOST


def test_the_largest_of_all_heads_counts_and_each_has_to_say_it() -> None:
    starter = Starter([1, 2], [], [9], lockstep=False, window=MOST, fitted=True)
    starter.armed(1, 1000)
    starter.armed(2, 1000)
    starter.done(1, 5, 1000)
    assert starter.permitted == LEAST
    starter.done(2, 5, 32 * MB)
    assert starter.permitted == 5 + 8


def head_window(network: Network) -> int:
    head = network.nodes[1].protocol._head
    assert head is not None
    return head._starter.window


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let an edge hold 1000 bytes."""
    monkeypatch.setattr(sizes, "BYTES", 1000)


within_small = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.mark.usefixtures("small")
@within_small
@given(st.sampled_from(["fanout", "nested", "chain", "bypass", "two sinks"]), st.data())
def test_the_largest_message_of_any_edge_reaches_the_head(name: str, data: Any) -> None:
    edges = test_protocol.PIPES[name][0]
    where = data.draw(st.sampled_from(sorted(edges)))
    network = build(
        name, count=80, window=MOST, fitted=True, sizes={where: lambda _seq: 200 - 60}
    )  # fmt: skip
    under_way: list[int] = []

    def look(network: Network) -> None:
        head = network.nodes[1]
        low = head.protocol._standing.low
        assert head_window(network) in ((LEAST, 5) if low else (LEAST,))
        under_way.append(len(head.seen) - low)

    test_protocol.run(network, data, look)
    finished(network)
    assert max(under_way) <= 5
    assert network.nodes[1].seen == list(range(80))


@pytest.mark.usefixtures("small")
@within_small
@given(st.data())
def test_it_grows_and_shrinks_with_the_messages(data: Any) -> None:
    network = build(
        "chain", count=400, window=32, fitted=True,
        sizes={2: lambda seq: 440 if 100 <= seq < 200 else 0},
    )  # fmt: skip
    windows: dict[int, int] = {}

    def look(network: Network) -> None:
        windows[network.nodes[1].protocol._standing.low] = head_window(network)

    test_protocol.run(network, data, look)
    finished(network)
    assert max(window for low, window in windows.items() if low < 60) == 1000 // 60
    assert {window for low, window in windows.items() if 130 < low < 200} <= {4}
    assert max(window for low, window in windows.items() if low > 250) == 1000 // 60


@pytest.mark.usefixtures("small")
@within_small
@given(pipes, st.integers(0, 25), st.integers(1, 12), st.integers(0, 10), st.data())
def test_whoever_is_killed_everything_is_done_once_in_order(name, count, window, kills, data):
    sizes_of = {number: lambda seq: 17 * seq % 300 for number in (1, 2, 3)}
    network = build(name, count=count, window=window, fitted=True, sizes=sizes_of)
    test_restart.run(network, data, kills)
    test_restart.everything_once(network, count)


def test_as_many_as_end_within_a_tenth_of_a_second() -> None:
    pace = Pace()
    assert pace.look(100.0, 0, MOST)
    assert pace.most == FEWEST
    assert not pace.look(100.04, 400, MOST)  # too soon to tell
    found = []
    for step in range(1, 9):  # 1000 a second
        pace.look(100 + 0.05 * step, 50 * step, MOST)
        found.append(pace.most)
    assert found[-1] in (99, 100)
    assert all(after <= 2 * before for before, after in itertools.pairwise([FEWEST, *found]))
    for step in range(9, 20):  # 20 a second
        pace.look(100 + 0.05 * step, 400 + step, MOST)
    assert pace.most == FEWEST


def test_a_head_that_has_looked_lets_fewer_start() -> None:
    starter = Starter([1], [], [9], lockstep=False, window=MOST, fitted=True)
    starter.done(1, 1, 1000)
    assert starter.look(5.0)
    assert starter.permitted == 1 + FEWEST
    fixed = Starter([1], [], [9], lockstep=False, window=100)
    assert not fixed.look(5.0)
    assert fixed.permitted == 100
