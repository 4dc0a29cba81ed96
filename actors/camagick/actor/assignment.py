"""What a process is told when it becomes an actor."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from camagick.actor.inputs import Tree
    from camagick.actor.share import Share
    from camagick.processor import ProcessorBase
    from camagick_broker.journal import Journal
    from camagick_broker.ledger import Ledger
    from camagick_broker.segment import Segment
    from camagick_broker.wiring import Wiring

#: What to do when a processor raises: end the run, go on without its output, or try again anew.
OnError = Literal["stop", "skip", "restart"]


@dataclass(frozen=True)
class Assignment:
    """One actor's work.

    Attributes
    ----------
    node
        The processor.
    wiring
        Its place on the bus.
    tree
        How its inputs belong together; None for a head.
    ledger
        Where all actors of this host note how far they have come.
    journal
        Where it keeps what it could not make again; None where it could.
    segments
        Shared memory, by the number of the actor that writes it: its own, and of those before it.
    lines
        For each producer, the numbers of the actors that its messages come from, its own too.
    on_error
        What to do when the processor raises.
    poison
        Iterations that have killed it again and again, and are to be set aside.
    share
        Which iterations are its own, where several workers share the processor; None: all.
    """

    node: ProcessorBase
    wiring: Wiring
    tree: Tree | None
    ledger: Ledger
    journal: Journal | None = None
    segments: Mapping[int, Segment] = field(default_factory=dict)
    lines: Mapping[int, frozenset[int]] = field(default_factory=dict)
    on_error: OnError = "stop"
    poison: frozenset[int] = field(default=frozenset())
    share: Share | None = None
