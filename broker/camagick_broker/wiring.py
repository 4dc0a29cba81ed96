"""What one actor has to know about the bus it is on."""

from __future__ import annotations

from dataclasses import dataclass

from camagick_broker.pace import FEWEST


@dataclass(frozen=True, slots=True)
class Wiring:
    """One actor's place in the plan.

    Attributes
    ----------
    run
        8 random bytes, the identity of the run.
    bus, bus_dir
        Name of the bus, and the folder of its sockets.
    number, name
        The actor's number in the plan, and its name (``npfun.2``).
    inputs
        Numbers of the producers, each once.
    consumers
        Numbers of the consumers; one: PUSH/PULL, several: XPUB/SUB.
    heads
        All heads of its pipe, the leading one first.
    gates
        The last gates of its pipe.
    terminals
        The actors of its pipe that have no consumer.
    lockstep, window
        The loop contract, see `camagick_broker.starter`.
    fitted
        `window` is the upper bound, and what is used is fitted to the messages' size and pace.
    least
        How many may be under way however slow they are, where the window is fitted.
    gates_at_join
        This last gate is a join: an iteration has left it when its inputs are together.
    commits
        What its processor was given is safe only when it has said so.
    count
        End after so many iterations; None for no limit.
    incarnation
        How often the actor has been started, from 1.
    """

    run: bytes
    bus: str
    bus_dir: str
    number: int
    name: str
    inputs: tuple[int, ...]
    consumers: tuple[int, ...]
    heads: tuple[int, ...]
    gates: tuple[int, ...]
    terminals: tuple[int, ...]
    lockstep: bool = False
    window: int = 8
    fitted: bool = False
    least: int = FEWEST
    gates_at_join: bool = False
    commits: bool = False
    count: int | None = None
    incarnation: int = 1

    @property
    def is_head(self) -> bool:
        """Whether it has no input."""
        return not self.inputs

    @property
    def leads(self) -> bool:
        """Whether it decides when an iteration starts."""
        return self.heads[0] == self.number

    @property
    def is_last_gate(self) -> bool:
        """Whether the heads wait until an iteration has left this actor."""
        return self.number in self.gates and not self.lockstep
