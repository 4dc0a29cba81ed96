"""Side by side, on the same data: ``{ A B C }``."""

from __future__ import annotations

from typing import Any

from camagick.data import Data
from camagick.merge import Merger, Part
from camagick.processor import wrap
from camagick.step import members, shutdown_all, step
from camagick.tools.tasks import together


class Processor:
    """Hand the same data to every branch, and merge what comes out in branch order.

    ``{ A [ B C ] [ ] }`` on the command line: a processor alone is a branch of its own, ``[ ]``
    passes everything on. Each branch has its own copy of tags and context. What left several
    branches untouched is one tag; different values under one tag are named after the last
    processor of their branch (``x_sum``, ``x_min``).

    Parameters
    ----------
    *children
        Branches: processors, flows, or functions of (data, context).
    """

    merges = True

    def __init__(self, *children: Any) -> None:
        if not children:
            raise ValueError("an empty fanout { } would throw all data away: [ ] passes it on")
        self.children = tuple(wrap(child) for child in children)
        self._merge = Merger()

    @property
    def label(self) -> str:
        """Name of the last processor of the last branch."""
        return str(self.children[-1].label)

    async def startup(self) -> None:
        """Start all branches, concurrently."""
        await together(child.startup() for child in self.children)

    async def ready(self) -> None:
        """Wait until every branch has the event that it waits for."""
        await together(child.ready() for child in self.children)

    async def __call__(self, data: Any = None, context: Any = None) -> Data:
        """Do one iteration in all branches, and return what they made, merged."""
        data, given = Data.of(data), Data.of(context)
        if not data:
            await self.ready()  # sources side by side start together, with values of one moment
        contexts = [given.copy() for _ in self.children]
        results = await together(
            step(child, data.copy(), own)
            for child, own in zip(self.children, contexts, strict=True)
        )
        merged, known = self._merge(
            [
                Part(result, own, child.label, members(child))
                for child, result, own in zip(self.children, results, contexts, strict=True)
            ]
        )
        if context is not None:
            context.clear()
            context.update(known)
            if isinstance(context, Data):
                context.marks = known.marks
        return merged

    async def shutdown(self) -> None:
        """Shut all branches down, each one also if another failed."""
        await shutdown_all(self.children)
