"""The thread that listens to a tap for a processor: bounded, in order or the newest."""

from __future__ import annotations

import asyncio
import threading
from typing import Any, cast

import pytest

from camagick.tools.ear import Ear
from camagick_broker.listener import BusKilled, Heard
from camagick_broker.reader import Body

DEADLINE_S = 20.0


class Fake:
    """A listener that always has one more message, up to an end."""

    def __init__(self, count: int, error: Exception | None = None) -> None:
        self.made, self.count, self.error = 0, count, error
        self.ended = self.closed = False
        self.refused = 0
        self.held_up = threading.Event()

    def step(self, _timeout_ms: int, *, receive: bool = True) -> list[Heard]:
        if not receive:
            self.held_up.set()
            return []
        if self.made == self.count:
            if self.error is not None:
                raise self.error
            self.ended = True
            return [Heard(self.made, (1, self.made), None)]
        self.made += 1
        return [Heard(self.made - 1, (1, self.made - 1), Body({}, {}, [self.made - 1]))]  # type: ignore[arg-type]

    def ring(self) -> None:
        """Nobody waits in here."""

    def close(self) -> None:
        self.closed = True


def ear_of(fake: Fake, *, latest: bool = False) -> Ear:
    return Ear(cast("Any", fake), latest=latest)


async def hear(ear: Ear, found: list[Any]) -> None:
    await asyncio.wait_for(ear.wait(), DEADLINE_S)
    body = ear.take()
    found += [] if body is None else body.data


async def everything(ear: Ear) -> list[Any]:
    found: list[Any] = []
    while not ear.over:
        await hear(ear, found)
    return found


def test_in_order_and_no_more_than_there_is_room_for() -> None:
    async def work() -> None:
        fake = Fake(1000)
        ear = ear_of(fake)
        assert await asyncio.to_thread(fake.held_up.wait, DEADLINE_S), "it takes no end of them"
        assert fake.made == 4
        assert await everything(ear) == list(range(1000))
        assert (ear.tally.received, ear.tally.missed) == (1000, 0)
        ear.close()
        assert fake.closed

    asyncio.run(work())


def test_the_newest_replaces_the_others_but_not_the_end() -> None:
    async def work() -> None:
        fake = Fake(1000)
        ear = ear_of(fake, latest=True)
        await asyncio.to_thread(ear._thread.join, DEADLINE_S)
        assert fake.closed
        assert await everything(ear) == [999]
        assert ear.tally.received == 1
        ear.close()

    asyncio.run(work())


def test_what_came_before_a_failure_is_handed_on_first() -> None:
    async def work() -> None:
        ear = ear_of(Fake(3, BusKilled("it was killed")))
        found: list[Any] = []

        async def listen() -> None:
            while True:
                await hear(ear, found)

        with pytest.raises(BusKilled, match="it was killed"):
            await listen()
        assert found == [0, 1, 2]
        ear.close()

    asyncio.run(work())


def test_it_leaves_at_once() -> None:
    async def work() -> None:
        fake = Fake(10**9)
        ear = ear_of(fake)
        await asyncio.wait_for(ear.wait(), DEADLINE_S)
        ear.close()
        assert fake.closed

    asyncio.run(work())


def test_a_wait_may_be_given_up_and_loses_nothing() -> None:
    async def work() -> None:
        fake = Fake(2)
        ear = ear_of(fake)
        for _ in range(3):
            waiting = asyncio.ensure_future(ear.wait())
            await asyncio.sleep(0)
            waiting.cancel()
        assert await everything(ear) == [0, 1]
        ear.close()

    asyncio.run(work())
