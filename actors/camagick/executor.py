"""A whole pipe in one process: the loop that gives a flow its meaning."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from typing import TYPE_CHECKING, Any

from camagick.data import Data
from camagick.processor import EndOfData
from camagick.walk import check_each_once, check_input, leaves, place

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class PipeExecutor:
    """Run a flow pass after pass, until it ends, fails, or is interrupted.

    Parameters
    ----------
    flow
        A flow, a processor, or a function of (data, context).

    Examples
    --------
    >>> await PipeExecutor(ChainFlow(source, sink)).run()  # doctest: +SKIP
    """

    def __init__(self, flow: Any) -> None:
        from camagick.flow.chain import Processor as ChainFlow

        self.flow = flow if hasattr(flow, "children") else ChainFlow(flow)

    async def run(self, count: int | None = None) -> None:
        """Start the flow, loop over it, and shut it down.

        Ctrl-C and SIGTERM end the loop, and this returns. So does `EndOfData` from a processor.

        Parameters
        ----------
        count
            How many iterations to do; None for no limit.
        """
        check_each_once(self.flow)
        check_input(leaves(self.flow))
        place(self.flow)
        async with _until_signalled():
            try:
                await self.flow.startup()
                await self._loop(count)
            finally:
                await self.flow.shutdown()

    async def _loop(self, count: int | None) -> None:
        done, nodes = 0, list(leaves(self.flow))
        with contextlib.suppress(EndOfData):
            while count is None or done < count:
                for node in nodes:
                    node.seq = done
                await self.flow(Data(), Data())
                done += 1
                # A flow that never waits must not keep signals and other tasks out.
                await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def _until_signalled() -> AsyncIterator[None]:
    """Cancel the body on SIGINT or SIGTERM, and end as if it had returned."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    stopped = False

    def stop() -> None:
        nonlocal stopped
        stopped = True
        if task is not None:
            task.cancel()

    numbers: list[signal.Signals] = []
    with contextlib.suppress(ValueError, RuntimeError):  # not the main thread: no signals here
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop)
            numbers.append(number)
    try:
        yield
    except asyncio.CancelledError:
        if not stopped:
            raise
        if task is not None:
            task.uncancel()
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
