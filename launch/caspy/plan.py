"""The plan: a flow as a flat graph of actors, with the rule by which its iterations start."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from camagick.walk import check_each_once, check_input
from camagick_broker.address import check_name
from camagick_broker.errors import AddressError
from camagick_broker.pace import FEWEST
from camagick_broker.sizes import MOST
from camagick_broker.wiring import Wiring
from caspy.errors import PlanError
from caspy.layout import Actor, Layout
from caspy.parallel import enough, remarks
from caspy.placement import HOME, hosts, settle
from caspy.rule import when_to_start

if TYPE_CHECKING:
    from collections.abc import Sequence

Window = int | Literal["auto"]
DEFAULT_WINDOW: Window = "auto"


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
    remarks
        What is laid out, but will not do what it was asked for.
    """

    flow: Any
    actors: list[Actor]
    heads: tuple[int, ...]
    gates: tuple[int, ...]
    joins: frozenset[int]
    terminals: tuple[int, ...]
    lockstep: bool
    why: str
    remarks: list[str] = field(default_factory=list)


@dataclass
class Plan:
    """All pipes of one bus.

    Attributes
    ----------
    bus, run
        Its name, and the identity of the run.
    pipes
        One loop each.
    window, fitted
        How many iterations may be under way; `fitted` (``-window auto``): at most.
    least
        So many may be under way however slow the pipe is, where the window is fitted.
    count
        End after so many iterations; None for no limit.
    """

    bus: str
    run: bytes
    pipes: list[Pipe]
    window: int
    count: int | None
    fitted: bool = False
    least: int = FEWEST

    @property
    def actors(self) -> list[Actor]:
        """All actors, in the order of the command line."""
        return [actor for pipe in self.pipes for actor in pipe.actors]

    @property
    def hosts(self) -> list[str]:
        """The other hosts that actors run on."""
        return hosts(self.actors)

    def services(self, host: str = HOME) -> list[str]:
        """Return the names of the helper services that actors of a host need."""
        return sorted({name for actor in self.at(host) for name in actor.node.services})

    def at(self, host: str) -> list[Actor]:
        """Return the actors of a host."""
        return [actor for actor in self.actors if actor.host == host]

    def parted(self, host: str) -> tuple[list[int], list[int]]:
        """Return the numbers of the actors of a host, and of all the others."""
        own = {actor.number for actor in self.at(host)}
        return sorted(own), [actor.number for actor in self.actors if actor.number not in own]

    def wiring(self, pipe: Pipe, actor: Actor, bus_dir: str, incarnation: int = 1) -> Wiring:
        """Return what one actor has to know, but for its network."""
        far = frozenset(other.number for other in pipe.actors if other.host != actor.host)
        return Wiring(
            run=self.run, bus=self.bus, bus_dir=bus_dir, number=actor.number, name=actor.name,
            inputs=actor.inputs, consumers=tuple(actor.consumers), heads=pipe.heads,
            gates=pipe.gates, terminals=pipe.terminals, lockstep=pipe.lockstep,
            window=self.window, fitted=self.fitted, least=self.least,
            gates_at_join=actor.number in pipe.joins,
            count=self.count, commits=actor.node.commits, incarnation=incarnation,
            far=far,
        )  # fmt: skip


def make_plan(
    flows: Sequence[Any],
    window: Window = DEFAULT_WINDOW,
    count: int | None = None,
    bus: str | None = None,
) -> Plan:
    """Lay flows out as actors on one bus.

    Parameters
    ----------
    flows
        One flow a pipe.
    window
        How many iterations of a pipe may be under way at once; 'auto' fits that to how fast they
        end, and to the size of the messages: as many as end within 0.1 s, or 8 where that is less,
        or twice as many as there are workers, and as make 256 MB on an edge, or 4;
        or 10 MB on one between hosts, or 8.
    count
        End after so many iterations; None for no limit.
    bus
        Name of the bus; None makes one.

    Raises
    ------
    PlanError
        For what cannot be laid out, with the reason.
    """
    fitted = window == "auto"
    if window != "auto" and window < 1:
        raise PlanError(f"-window {window}: at least one iteration has to be under way")
    if count is not None and count < 0:
        raise PlanError(f"-count {count}: a number of iterations is not negative")
    try:
        name = check_name(bus) if bus is not None else f"run{os.getpid()}"
    except AddressError as error:
        raise PlanError(str(error)) from None
    layouts: list[list[Actor]] = []
    for flow in flows:
        layouts.append(settle(_lay_out(flow, 1 + sum(map(len, layouts)))))
    try:
        check_input(actor.node for layout in layouts for actor in layout)
    except ValueError as error:
        raise PlanError(str(error)) from None
    least = enough(FEWEST, layouts)
    most = max(MOST, least) if window == "auto" else window
    pipes = [_pipe(*pair, window, most) for pair in zip(flows, layouts, strict=True)]
    return Plan(name, os.urandom(8), pipes, most, count, fitted, least)


def _lay_out(flow: Any, first: int) -> list[Actor]:
    try:
        check_each_once(flow)
    except ValueError as error:
        raise PlanError(str(error)) from None
    layout = Layout(first)
    layout.add(flow, None)
    if not layout.actors:
        raise PlanError("a pipe without a processor: nothing to do")
    return layout.actors


def _pipe(flow: Any, actors: list[Actor], window: Window, most: int) -> Pipe:
    start = when_to_start(actors, window)
    pipe = Pipe(
        flow=flow,
        actors=actors,
        heads=start.heads,
        gates=start.gates,
        joins=start.joins,
        terminals=tuple(actor.number for actor in actors if not actor.consumers),
        lockstep=start.lockstep,
        why=start.why,
    )
    pipe.remarks = remarks(pipe, most)
    return pipe
