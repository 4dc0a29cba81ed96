"""The plan: a flow as a flat graph of actors, with the rule by which its iterations start."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from camagick.actor.inputs import Branch, Tree
from camagick.processor import ProcessorBase
from camagick.step import members
from camagick.walk import check_each_once
from camagick_broker.address import check_name
from camagick_broker.errors import AddressError
from camagick_broker.wiring import Wiring
from caspy.errors import PlanError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

DEFAULT_WINDOW = 8


@dataclass
class Actor:
    """One process of the plan.

    Attributes
    ----------
    number, name
        Its place in the plan, from 1, and what it is called (``npfun.2``).
    node
        The processor it hosts.
    tree
        How its inputs belong together; None for a head.
    inputs, consumers
        Numbers of the actors before and behind it.
    """

    number: int
    name: str
    node: ProcessorBase
    tree: Tree | None
    inputs: tuple[int, ...]
    consumers: list[int] = field(default_factory=list)


@dataclass
class Pipe:
    """One loop of the plan: its actors, and when its iterations start.

    Attributes
    ----------
    flow
        What it was made of.
    actors
        Its actors.
    heads, gates, terminals
        Numbers of the actors without input, of the last gates, of the actors without consumer.
    lockstep, why
        Whether an iteration waits for the end of the one before, and the reason in words.
    """

    flow: Any
    actors: list[Actor]
    heads: tuple[int, ...]
    gates: tuple[int, ...]
    joins: frozenset[int]
    terminals: tuple[int, ...]
    lockstep: bool
    why: str


@dataclass
class Plan:
    """All pipes of one bus."""

    bus: str
    run: bytes
    pipes: list[Pipe]
    window: int
    count: int | None

    @property
    def actors(self) -> list[Actor]:
        """All actors, in the order of the command line."""
        return [actor for pipe in self.pipes for actor in pipe.actors]

    @property
    def services(self) -> list[str]:
        """Names of the helper services that actors need."""
        return sorted({name for actor in self.actors for name in actor.node.services})

    def wiring(self, pipe: Pipe, actor: Actor, bus_dir: str) -> Wiring:
        """Return what one actor has to know."""
        return Wiring(
            run=self.run, bus=self.bus, bus_dir=bus_dir, number=actor.number, name=actor.name,
            inputs=actor.inputs, consumers=tuple(actor.consumers), heads=pipe.heads,
            gates=pipe.gates, terminals=pipe.terminals, lockstep=pipe.lockstep,
            window=self.window, gates_at_join=actor.number in pipe.joins, count=self.count,
        )  # fmt: skip


def make_plan(
    flows: Sequence[Any],
    window: int = DEFAULT_WINDOW,
    count: int | None = None,
    bus: str | None = None,
) -> Plan:
    """Lay flows out as actors on one bus.

    Parameters
    ----------
    flows
        One flow a pipe.
    window
        How many iterations of a pipe may be under way at once.
    count
        End after so many iterations; None for no limit.
    bus
        Name of the bus; None makes one.

    Raises
    ------
    PlanError
        For what cannot be laid out, with the reason.
    """
    if window < 1:
        raise PlanError(f"-window {window}: at least one iteration has to be under way")
    if count is not None and count < 0:
        raise PlanError(f"-count {count}: a number of iterations is not negative")
    try:
        name = check_name(bus) if bus is not None else f"run{os.getpid()}"
    except AddressError as error:
        raise PlanError(str(error)) from None
    pipes: list[Pipe] = []
    first = 1
    for flow in flows:
        pipe = _lay_out(flow, first, window)
        first += len(pipe.actors)
        pipes.append(pipe)
    return Plan(name, os.urandom(8), pipes, window, count)


class _Layout:
    """Walks a flow and collects its actors."""

    def __init__(self, first: int) -> None:
        self._first = first
        self.actors: list[Actor] = []

    def add(self, flow: Any, upstream: Tree | None) -> Tree | None:
        """Add a flow behind `upstream`; return what stands behind it."""
        if isinstance(flow, ProcessorBase):
            return self._add_actor(flow, upstream)
        if not hasattr(flow, "merges"):
            for child in flow.children:
                upstream = self.add(child, upstream)
            return upstream
        branches = [self._branch(child, upstream) for child in flow.children]
        trees = tuple(branch for branch in branches if branch is not None)
        if len(trees) < 2:
            return trees[0].tree if trees else None
        return trees

    def _branch(self, child: Any, upstream: Tree | None) -> Branch | None:
        if is_wiring(child):
            return None if upstream is None else Branch(upstream, "", frozenset())
        tree = self.add(child, upstream)
        return None if tree is None else Branch(tree, str(child.label), members(child))

    def _add_actor(self, node: ProcessorBase, upstream: Tree | None) -> int:
        number = self._first + len(self.actors)
        name = f"{re.sub('[^A-Za-z0-9_]', '', node.name) or 'function'}.{number}"
        inputs = tuple(dict.fromkeys(_producers(upstream)))
        self.actors.append(Actor(number, name, node, upstream, inputs))
        for producer in inputs:
            self.actors[producer - self._first].consumers.append(number)
        return number


def is_wiring(flow: Any) -> bool:
    """Tell whether a branch only passes on: ``[ ]``, or ``--idem`` alone."""
    if isinstance(flow, ProcessorBase):
        return type(flow).__module__ == "camagick.pipe.idem"
    return not hasattr(flow, "merges") and all(is_wiring(child) for child in flow.children)


def _producers(tree: Tree | None) -> Iterable[int]:
    if tree is None:
        return
    if isinstance(tree, int):
        yield tree
        return
    for branch in tree:
        yield from _producers(branch.tree)


def _lay_out(flow: Any, first: int, window: int) -> Pipe:
    try:
        check_each_once(flow)
    except ValueError as error:
        raise PlanError(str(error)) from None
    layout = _Layout(first)
    layout.add(flow, None)
    actors = layout.actors
    if not actors:
        raise PlanError("a pipe without a processor: nothing to do")
    before = _ancestors(actors)
    heads = tuple(actor.number for actor in actors if not actor.inputs)
    joins = _first_joins(actors, before, set(heads))
    gates = {actor.number for actor in actors if actor.inputs and _gates(actor.node)} | joins
    last = tuple(
        sorted(gate for gate in gates if not any(gate in before[other] for other in gates))
    )
    effects = {actor.number for actor in actors if actor.node.role == "sink"}
    names = {actor.number: actor.name for actor in actors}
    behind = [(gate, effect) for gate in sorted(gates) for effect in sorted(before[gate] & effects)]
    return Pipe(
        flow=flow, actors=actors, heads=heads, gates=last,
        joins=frozenset(
            number for number in joins if not _gates(actors[number - first].node)
        ),
        terminals=tuple(actor.number for actor in actors if not actor.consumers),
        lockstep=bool(behind), why=_why(behind, last, names, window),
    )  # fmt: skip


def _gates(node: ProcessorBase) -> bool:
    return node.role == "source" or node.paces


def _ancestors(actors: list[Actor]) -> dict[int, set[int]]:
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
    behind: list[tuple[int, int]], last: tuple[int, ...], names: dict[int, str], window: int
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
