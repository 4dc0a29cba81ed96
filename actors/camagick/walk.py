"""Looking at a flow without running it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from camagick.processor import Placement, ProcessorBase

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def leaves(flow: Any) -> Iterator[ProcessorBase]:
    """Yield the processors of a flow, in the order of the command line."""
    if isinstance(flow, ProcessorBase):
        yield flow
        return
    for child in flow.children:
        yield from leaves(child)


def is_alone(flow: Any) -> bool:
    """Tell whether the flow has just one source, and nothing that sets the pace."""
    nodes = list(leaves(flow))
    return sum(node.role == "source" for node in nodes) == 1 and not any(n.paces for n in nodes)


def check_each_once(flow: Any) -> None:
    """Refuse a processor object that stands in a flow twice: it has one state and one number.

    Raises
    ------
    ValueError
        Names the processor.
    """
    seen: set[int] = set()
    for node in leaves(flow):
        if node.serial in seen:
            raise ValueError(f"the same {node.name} object stands twice in the flow: make two")
        seen.add(node.serial)


def check_input(nodes: Iterable[ProcessorBase]) -> None:
    """Refuse that two processors read the standard input: each would get a part of it.

    Raises
    ------
    ValueError
        Names them.
    """
    readers = [node.name for node in nodes if node.reads_input]
    if len(readers) > 1:
        raise ValueError(
            f"{' and '.join(readers)} both read standard input: there is one."
            " Fan out behind one of them, or give the other a command (cmd=)"
        )


def place(flow: Any, run: str = "", run_dir: str = "") -> None:
    """Tell every processor of a flow where it stands."""
    nodes = list(leaves(flow))
    only_sink = sum(node.role == "sink" for node in nodes) <= 1
    placement = Placement(is_alone(flow), run, run_dir, only_sink=only_sink)
    for node in nodes:
        node.placement = placement
