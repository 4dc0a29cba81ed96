"""One after the other: ``[ A B C ]``."""

from __future__ import annotations

from typing import Any

from camagick.data import Data
from camagick.processor import wrap
from camagick.step import shutdown_all, step
from camagick.tools.tasks import together


class Processor:
    """Run children one after the other, each on what the one before handed on.

    ``[ A B C ]`` on the command line; the outermost brackets are implied. An empty chain passes
    everything on.

    Parameters
    ----------
    *children
        Processors, flows, or functions of (data, context).
    """

    def __init__(self, *children: Any) -> None:
        self.children = tuple(wrap(child) for child in children)

    @property
    def label(self) -> str:
        """Name of the last processor, '' where there is none."""
        return str(self.children[-1].label) if self.children else ""

    async def startup(self) -> None:
        """Start all children, concurrently."""
        await together(child.startup() for child in self.children)

    async def ready(self) -> None:
        """Wait for the event that the first child waits for."""
        if self.children:
            await self.children[0].ready()

    async def __call__(self, data: Any = None, context: Any = None) -> Data:
        """Do one iteration and return what the last child handed on."""
        data = Data.of(data)
        if context is None:
            context = Data()
        for child in self.children:
            data = await step(child, data, context)
        return Data.of(data)

    async def shutdown(self) -> None:
        """Shut all children down, in order, each one also if another failed."""
        await shutdown_all(self.children)
