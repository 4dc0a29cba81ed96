"""When may the next iteration of a pipe start? The loop contract, read off a graph of actors.

A *head* has no input. A *gate* decides when an iteration goes on: a source that is no head, what
sets the pace, and the first join of several heads. An *effect* is a sink. Where a gate stands
behind an effect, an iteration waits for the end of the one before (lockstep); otherwise it waits
until the one before has left the last gates, and iterations overlap behind them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from caspy.layout import Actor


class Start(NamedTuple):
    """The rule of one pipe.

    Attributes
    ----------
    heads
        Numbers of the heads.
    gates
        Numbers of the gates that have no gate behind them.
    joins
        Those gates that are so only because heads come together there.
    lockstep, why
        Which rule holds, and the reason in words.
    """

    heads: tuple[int, ...]
    gates: tuple[int, ...]
    joins: frozenset[int]
    lockstep: bool
    why: str


def when_to_start(actors: list[Actor], window: int | str) -> Start:
    """Return the rule for a pipe of these actors (producers stand before their consumers)."""
    before = ancestors(actors)
    nodes = {actor.number: actor.node for actor in actors}
    heads = tuple(actor.number for actor in actors if not actor.inputs)
    joins = _first_joins(actors, before, set(heads))
    gates = {actor.number for actor in actors if actor.inputs and actor.node.gates} | joins
    last = tuple(sorted(gate for gate in gates if not any(gate in before[one] for one in gates)))
    effects = {actor.number for actor in actors if actor.node.role == "sink"}
    names = {actor.number: actor.name for actor in actors}
    behind = [(gate, effect) for gate in sorted(gates) for effect in sorted(before[gate] & effects)]
    return Start(
        heads=heads,
        gates=last,
        joins=frozenset(join for join in joins if not nodes[join].gates),
        lockstep=bool(behind),
        why=_why(behind, last, names, window),
    )


def ancestors(actors: list[Actor]) -> dict[int, set[int]]:
    """Return the numbers of all actors before each actor."""
    before: dict[int, set[int]] = {}
    for actor in actors:  # producers stand before their consumers
        before[actor.number] = set(actor.inputs).union(*(before[one] for one in actor.inputs))
    return before


def _first_joins(actors: list[Actor], before: dict[int, set[int]], heads: set[int]) -> set[int]:
    joins: set[int] = set()
    for actor in actors:
        several = len(actor.inputs) > 1 and len(before[actor.number] & heads) > 1
        if several and not before[actor.number] & joins:
            joins.add(actor.number)
    return joins


def _why(
    behind: list[tuple[int, int]], last: tuple[int, ...], names: dict[int, str], window: int | str
) -> str:
    if behind:
        gate, effect = behind[0]
        return (
            f"lockstep: {names[gate]} decides when an iteration goes on, and stands behind the"
            f" effect of {names[effect]}; so an iteration starts when the one before has ended"
        )
    if last:
        who = " and ".join(names[gate] for gate in last)
        return (
            f"window {window}: an iteration starts when the one before has left {who};"
            " behind that, iterations overlap"
        )
    return f"window {window}: nothing decides when an iteration goes on, so iterations overlap"
