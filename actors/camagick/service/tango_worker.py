"""A thread that makes one device's calls, one after the other."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from typing import Any

_Job = tuple[Callable[[], Any], "asyncio.Future[Any]", asyncio.AbstractEventLoop]


class Worker:
    """A thread of its own for calls that block.

    A daemon, and no executor: a call that hangs must not hold up the end of the program.

    Parameters
    ----------
    name
        Name of the thread.
    around
        Gives the context that the thread runs in.
    """

    def __init__(
        self, name: str, around: Callable[[], contextlib.AbstractContextManager[Any]]
    ) -> None:
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._around = around
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    async def call(self, function: Callable[[], Any]) -> Any:
        """Let the thread call `function`, and return what it returns, or raise what it raises."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        self._jobs.put((function, future, loop))
        return await future

    async def close(self, patience: float) -> None:
        """End the thread; wait at most `patience` seconds for a call under way."""
        self._jobs.put(None)
        await asyncio.to_thread(self._thread.join, patience)

    def _run(self) -> None:
        with self._around():
            while (job := self._jobs.get()) is not None:
                self._do(*job)

    @staticmethod
    def _do(
        function: Callable[[], Any],
        future: asyncio.Future[Any],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        if future.cancelled():  # nobody waits for it any more
            return
        result, failure = None, None
        try:
            result = function()
        except Exception as error:  # noqa: BLE001 - handed to the one who waits
            failure = error
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(_settle, future, result, failure)


def _settle(future: asyncio.Future[Any], result: Any, failure: Exception | None) -> None:
    if future.done():
        return
    if failure is not None:
        future.set_exception(failure)
    else:
        future.set_result(result)
