"""Several processes for one pipe: which pipes can be shared, and how many iterations that needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from caspy.recipe import MOST_WORKERS
from caspy.rule import ancestors

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from caspy.layout import Actor
    from caspy.plan import Pipe

Node = TypeVar("Node")


def workers(processor: Node, number: int) -> Node:
    """Let several processes share the iterations of a pipe on the bus, and return it.

    What ``@workers=4`` is on the command line: iteration n is done by worker n modulo `number`, and
    results go on in order. In one process it means nothing.

    Parameters
    ----------
    processor
        A pipe whose calls do not depend on one another.
    number
        How many processes, from 1.

    Raises
    ------
    ValueError
        For a processor that cannot be shared, with the reason, and for any other number.
    """
    if type(number) is not int or not 1 <= number <= MOST_WORKERS:
        raise ValueError(f"workers: {number!r} is no whole number from 1 to {MOST_WORKERS}")
    reason = refusal(processor, number)
    if reason:
        raise ValueError(reason)
    processor.shared_by = number  # type: ignore[attr-defined]
    return processor


def refusal(node: Any, number: int) -> str:
    """Say why a processor object cannot have so many workers; '' where it can."""
    reason = "" if number == 1 else why_not(node, getattr(node, "role", ""), _name(node))
    return f"@workers={number}: {reason}" if reason else ""


def why_not(thing: Any, role: str, name: str) -> str:
    """Say why a processor cannot be shared, and what to do; '' where it can.

    Parameters
    ----------
    thing
        The processor, or its class.
    role, name
        What it is used as, and what it is called.
    """
    from camagick.processor import FunctionProcessor

    what = f"{role} {name}".strip()
    if role != "pipe":
        return (
            f"{what} cannot be shared: only a pipe can; a source and a sink have an order to keep"
            " (give the workers to the pipe that takes long)"
        )
    if isinstance(thing, FunctionProcessor):
        return (
            f"the function {name} cannot be shared: nobody knows whether a call depends on earlier"
            " ones (write it as a ProcessorBase, whose `stateful` is False)"
        )
    if _says(thing, "paces"):
        why = "it sets the pace of all iterations"
    elif _says(thing, "stateful"):
        why = "it must see every iteration, because a call depends on earlier ones"
    else:
        return ""
    return f"{what} cannot be shared: {why} (give the workers to pipes before or behind it)"


def _says(thing: Any, name: str) -> bool:
    value = getattr(thing, name)
    return bool(value) and not isinstance(value, property)  # of a class: known of the object only


def _name(node: Any) -> str:
    return getattr(node, "name", type(node).__name__)


def enough(least: int, pipes: Iterable[Iterable[Actor]]) -> int:
    """Return how many iterations have to be under way to keep all workers busy.

    Twice as many as a pipe has workers: one that each works on, and one that waits for it, or
    behind it until those before are done.
    """
    numbers = (sum(actor.share is not None for actor in actors) for actors in pipes)
    return max(least, 2 * max(numbers, default=0))


def remarks(pipe: Pipe, window: int) -> list[str]:
    """Say which workers of a pipe will not work at the same time, and why."""
    found, before = [], ancestors(pipe.actors)
    for group in _groups(pipe.actors):
        first = group[0]
        who = f"the {len(group)} workers of {first.name}"
        behind = [gate for gate in pipe.gates if first.number in before[gate]]
        if pipe.lockstep:
            found.append(f"{who} take turns: in lockstep, one iteration is under way at a time")
        elif behind:
            gate = next(actor.name for actor in pipe.actors if actor.number == behind[0])
            found.append(
                f"{who} take turns: the next iteration starts when the one before has left {gate},"
                " which is behind them"
            )
        elif window < len(group):
            busy = f"-window {2 * len(group)} keeps them busy"
            found.append(f"at most {window} of {who} work at a time: {busy}")
    return found


def _groups(actors: Sequence[Actor]) -> list[list[Actor]]:
    found: list[list[Actor]] = []
    for actor in actors:
        if actor.share is not None:
            if actor.share.worker == 0:
                found.append([])
            found[-1].append(actor)
    return found
