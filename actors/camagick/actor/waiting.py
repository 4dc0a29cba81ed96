"""A host with an event loop, for processors that wait on devices and clients."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from typing import TYPE_CHECKING, Any

from camagick.actor.host import NOT_STARTED, Host
from camagick.processor import ProcessorBase
from camagick_broker.edges import Joined
from camagick_broker.protocol import Permit, Stop

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from camagick.actor.assignment import Assignment


class Stopped(Exception):
    """The wait was given up because the run is being stopped."""


class WaitingHost(Host):
    """Takes one item after the other; a source's wait ends when the run is stopped."""

    def __init__(self, assignment: Assignment) -> None:
        self._loop = asyncio.new_event_loop()
        self._inbox: asyncio.Queue[Any] = asyncio.Queue()
        self._stopped = asyncio.Event()
        self._delivered: deque[Any] = deque()
        self._woken = False
        super().__init__(assignment)
        self._thread = threading.Thread(
            target=self.serve, args=(self.station.run,), name="station", daemon=True
        )

    def deliver(self, item: Any) -> None:
        self._delivered.append(item)
        if not (self._woken or self._loop.is_closed()):  # to wake the loop costs more than the rest
            self._woken = True
            self._loop.call_soon_threadsafe(self._take)

    def _take(self) -> None:
        self._woken = False  # what is delivered from here on may be overlooked below
        while self._delivered:
            item = self._delivered.popleft()
            if isinstance(item, Stop):
                self.stopping = True
                self._stopped.set()
            self._inbox.put_nowait(item)

    def run(self) -> int:
        """Host the processor from its start to its end; return the exit code."""
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            return runner.run(self._run())

    async def _run(self) -> int:
        self.settle_in()
        self._thread.start()
        try:
            await self._unless_stopped(self.node.startup())
            self.recall()
        except Stopped:
            self.station.call("ended", self.resume.seq)
            return await self._finish()
        except Exception as error:  # noqa: BLE001 - any failure of a processor ends the run
            self.failures.fatal(error, code=NOT_STARTED)
            self.station.cut()
            return await self._finish()
        self.station.call("started")
        ended_at = self.resume.ended_at
        if ended_at is None:
            ended_at = await (self._lead() if self.wiring.is_head else self._follow())
        self.say_ended(ended_at)
        return await self._finish()

    async def _finish(self) -> int:
        try:
            await self.node.shutdown()
        except Exception as error:  # noqa: BLE001 - see above
            self.failures.fatal(error)
        self.station.call("closed")
        await asyncio.to_thread(self._thread.join)
        return self.failures.exit_code

    async def _lead(self) -> int:
        seq = self.resume.seq
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
            self.failures.fatal(error, seq)
        return seq

    async def _follow(self) -> int:
        seq = self.resume.seq
        while True:
            if not self.settle(idle=self._inbox.empty()):
                return seq
            item = await self._inbox.get()
            if isinstance(item, Joined):
                if item.ended or not await self._iterate(seq, item):
                    return seq
                seq += 1
            elif self.stopping and (self.waits or self.failures.exit_code):
                return seq

    async def _iterate(self, seq: int, joined: Any) -> bool:
        """Do one iteration; tell whether there may be another."""
        if self.is_exceptional and self.excepts(seq, joined):
            return True
        try:
            given = self.read(joined)
            if joined is not None and self.waits:
                await self._ready()
            before = dict(given.context)
            self.hand_over.begin(seq)
            call = self.node(given.data, given.context)
            # A source that waits inside its call has not begun an iteration until it has a value.
            made = await (self._unless_stopped(call) if self.waits else call)
            self.hand_over(seq, made, given, before)
        except Stopped:
            return False
        except Exception as error:  # noqa: BLE001 - the user says what any failure leads to
            return self.go_on_after(error, seq, joined)
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
