"""What tests of storing sinks have in common."""

from __future__ import annotations

import asyncio
import importlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from camagick.data import Data
from camagick.processor import Placement

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from camagick.storesink import StoreSink


@contextmanager
def sink(
    kind: str, path: object, run: str = "", incarnation: int = 1, run_dir: str = "", **options: Any
) -> Iterator[StoreSink]:
    """Give a started sink, and shut it down."""
    node: StoreSink = importlib.import_module(f"camagick.sink.{kind}").Processor(
        str(path), **options
    )
    node.placement = Placement(run=run, run_dir=run_dir, number=3, incarnation=incarnation)
    asyncio.run(node.startup())
    try:
        yield node
    finally:
        asyncio.run(node.shutdown())


def write(
    node: StoreSink, known: Mapping[str, Any] | None = None, context: Any = None, **values: Any
) -> list[str]:
    """Write one frame of each value, of all of which the same is `known`."""
    data = Data(values)
    for tag in data:
        if known is not None:
            data.describe(tag, known)
    made: Any = node.process(data, Data(context or {}))
    return list(made.values())
