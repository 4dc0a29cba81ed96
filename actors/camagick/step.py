"""One processor's part of one iteration, in one process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from camagick.data import Data
from camagick.processor import ProcessorBase, conclude

if TYPE_CHECKING:
    from collections.abc import Iterable


async def step(child: Any, data: Data, context: Any) -> Data:
    """Let one child do its part of an iteration, and mark what it made."""
    if not isinstance(child, ProcessorBase):
        return Data.of(await child(data, context))
    known = context if isinstance(context, Data) else Data.of(context)
    before = dict(known)
    made = await child(data, known)
    result = conclude(child, made, data, known, before)
    if known is not context:  # a caller's plain dictionary sees the changes too
        context.clear()
        context.update(known)
    return result


async def shutdown_all(children: Iterable[Any]) -> None:
    """Shut all children down, in order, each one also if another failed."""
    errors: list[Exception] = []
    for child in children:
        try:
            await child.shutdown()
        except Exception as error:  # noqa: BLE001 - the others must be closed first
            errors.append(error)
    if errors:
        raise errors[0]


def members(flow: Any) -> frozenset[int]:
    """Return the serial numbers of all processors in a flow or a processor."""
    if isinstance(flow, ProcessorBase):
        return frozenset([flow.serial])
    return frozenset().union(*(members(child) for child in flow.children))
