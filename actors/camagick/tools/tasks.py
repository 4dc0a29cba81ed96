"""Several coroutines at a time, with the first error as itself."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable


async def together(coroutines: Iterable[Coroutine[Any, Any, Any]]) -> list[Any]:
    """Run `coroutines` concurrently and return their results in order.

    The first failure cancels the others and is raised as it is, not wrapped in a group: it is one
    processor's error, and the message should be about that.
    """
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(coroutine) for coroutine in coroutines]
    except BaseExceptionGroup as errors:
        raise first(errors) from None
    return [task.result() for task in tasks]


def first(error: BaseException) -> BaseException:
    """Return the first single exception in a (nested) group."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
