"""A host with an event loop, for processors that wait on devices and clients."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from camagick.actor.host import NOT_STARTED, Host
from camagick.processor import ProcessorBase
from camagick_broker.edges import Joined
from camagick_broker.protocol import Permit, Stop

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from camagick.actor.inputs import Tree
    from camagick_broker.wiring import Wiring


class Stopped(Exception):
    """The wait was given up because the run is being stopped."""


class WaitingHost(Host):
    """Takes one item after the other; a source's wait ends when the run is stopped."""

    def __init__(
        self, node: ProcessorBase, wiring: Wiring, tree: Tree | None, progress: Any
    ) -> None:
        self._loop = asyncio.new_event_loop()
        self._inbox: asyncio.Queue[Any] = asyncio.Queue()
        self._stopped = asyncio.Event()
        super().__init__(node, wiring, tree, progress)

    def deliver(self, item: Any) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._take, item)

    def _take(self, item: Any) -> None:
        if isinstance(item, Stop):
            self.stopping = True
            self._stopped.set()
        self._inbox.put_nowait(item)

    def run(self) -> int:
        """Host the processor from its start to its end; return the exit code."""
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            return runner.run(self._run())

    async def _run(self) -> int:
        self.begin()
        try:
            await self._unless_stopped(self.node.startup())
        except Stopped:
            self.station.call("ended", 0)
            return await self._finish()
        except Exception as error:  # noqa: BLE001 - any failure of a processor ends the run
            self.failed(error, code=NOT_STARTED)
            self.station.cut()
            return await self._finish()
        self.station.call("started")
        seq = await (self._lead() if self.wiring.is_head else self._follow())
        self.station.call("ended", seq)
        return await self._finish()

    async def _finish(self) -> int:
        try:
            await self.node.shutdown()
        except Exception as error:  # noqa: BLE001 - see above
            self.failed(error)
        return await asyncio.to_thread(self.finish)

    async def _lead(self) -> int:
        seq = 0
        try:
            while seq != self.wiring.count:
                await self._ready()
                self.station.call("armed", seq)
                if not isinstance(await self._inbox.get(), Permit):
                    break
                if self.stopping or not await self._iterate(seq, None):
                    break
                seq += 1
        except Stopped:
            pass
        except Exception as error:  # noqa: BLE001 - see above
            self.failed(error, seq)
        return seq

    async def _follow(self) -> int:
        seq = 0
        while True:
            item = await self._inbox.get()
            if isinstance(item, Joined):
                if item.ended or not await self._iterate(seq, item):
                    return seq
                seq += 1
            elif self.stopping and (self.waits or self.exit_code):
                return seq

    async def _iterate(self, seq: int, joined: Any) -> bool:
        """Do one iteration; tell whether there may be another."""
        try:
            given = self.read(joined)
            if joined is not None and self.waits:
                await self._ready()
            before = dict(given[1])
            since = time.perf_counter()
            self.node.seq = seq
            call = self.node(given[0], given[1])
            # A source that waits inside its call has not begun an iteration until it has a value.
            made = await (self._unless_stopped(call) if self.waits else call)
            self.count_busy(since)
            self.hand_over(seq, made, given, before)
        except Stopped:
            return False
        except Exception as error:  # noqa: BLE001 - any failure of a processor ends the run
            self.failed(error, seq)
            return False
        return True

    async def _ready(self) -> None:
        wait = self.node.due()
        if wait > 0:
            await self._unless_stopped(asyncio.sleep(wait))
        if type(self.node).ready is not ProcessorBase.ready:
            await self._unless_stopped(self.node.ready())

    async def _unless_stopped(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Wait for `coroutine`, but no longer than until the run is stopped."""
        if self.stopping:
            coroutine.close()
            raise Stopped
        task = self._loop.create_task(coroutine)
        stop = self._loop.create_task(self._stopped.wait())
        try:
            await asyncio.wait((task, stop), return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            raise Stopped
        finally:
            stop.cancel()
            if not task.done():
                task.cancel()
                await asyncio.wait((task,))
