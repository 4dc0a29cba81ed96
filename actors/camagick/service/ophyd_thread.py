"""Calls that block, out of the way of the event loop."""

from __future__ import annotations

import asyncio
import queue
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class Thread:
    """A thread that does one call after the other.

    It is a daemon: a device that never answers keeps nobody from ending. A call that nobody waits
    for any more is left behind in its thread, and the next one gets a new thread.

    Parameters
    ----------
    thread_class
        What makes the threads; pyepics needs some of its own.
    """

    def __init__(self, thread_class: Callable[..., threading.Thread] = threading.Thread) -> None:
        self._class = thread_class
        self._work: queue.SimpleQueue[Any] | None = None

    async def __call__(self, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """Call a function in the thread, and return what it returns, or raise what it raises.

        Cancelling gives up the wait, not the call.
        """
        loop = asyncio.get_running_loop()
        if self._work is None:
            self._work = queue.SimpleQueue()
            thread = self._class(target=_serve, args=(self._work,), name="ophyd-calls")
            thread.daemon = True
            thread.start()
        answer: asyncio.Future[Any] = loop.create_future()
        self._work.put((lambda: function(*arguments, **named), loop, answer))
        try:
            return await answer
        except asyncio.CancelledError:
            self.close()
            raise

    def close(self) -> None:
        """Let the thread end when it has nothing more to do."""
        if self._work is not None:
            self._work.put(None)
            self._work = None


def _serve(work: queue.SimpleQueue[Any]) -> None:
    while (item := work.get()) is not None:
        call, loop, answer = item
        result: Any = None
        error: Exception | None = None
        try:
            result = call()
        except StopIteration as stop:  # no future takes one
            error = RuntimeError(f"StopIteration: {stop}")
        except Exception as raised:  # noqa: BLE001 - it belongs to whoever waits
            error = raised
        try:
            loop.call_soon_threadsafe(_settle, answer, result, error)
        except RuntimeError:  # the loop is closed: nobody waits
            return


def _settle(answer: asyncio.Future[Any], result: Any, error: Exception | None) -> None:
    if answer.done():
        return
    if error is None:
        answer.set_result(result)
    else:
        answer.set_exception(error)
