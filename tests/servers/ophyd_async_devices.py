"""Devices of ophyd-async for the tests."""

from __future__ import annotations

import asyncio
from typing import Any

from ophyd_async.core import (
    AsyncStatus,
    StandardReadable,
    StandardReadableFormat,
    StrictEnum,
    soft_signal_rw,
)


class Mode(StrictEnum):
    """An enumeration."""

    FAST = "fast"
    SLOW = "slow"


class AsyncDet(StandardReadable):
    """A detector whose measurement takes a moment."""

    def __init__(self, name: str = "") -> None:
        with self.add_children_as_readables(StandardReadableFormat.HINTED_SIGNAL):
            self.count = soft_signal_rw(int, 0, units="photons")
        with self.add_children_as_readables():
            self.mode = soft_signal_rw(Mode, Mode.FAST)
        super().__init__(name=name)

    @AsyncStatus.wrap
    async def trigger(self) -> None:
        await asyncio.sleep(0.01)
        await self.count.set(await self.count.get_value() + 1)

    @AsyncStatus.wrap
    async def set(self, value: Any) -> None:
        if value > 100:
            raise ValueError("too far")
        await self.count.set(int(value))
