"""What one actor has to know about the bus it is on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from camagick_broker.pace import FEWEST

if TYPE_CHECKING:
    from camagick_broker.network import Network

#: So many incarnations of an actor belong to one host, see `Wiring.incarnation`.
LIVES = 1000


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
        How often the actor has been started, from 1; from 1 + k `LIVES` on where its host was lost
        for the k-th time.
    far
        Numbers of actors on other hosts.
    network
        How it talks with those; None where it need not.
    ahead_ns
        By how much this host's clock is ahead of the launcher's, which is that of the bus.
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
    far: frozenset[int] = frozenset()
    network: Network | None = None
    ahead_ns: int = 0

    @property
    def is_head(self) -> bool:
        """Whether it has no input."""
        return not self.inputs

    @property
    def leads(self) -> bool:
        """Whether it decides when an iteration starts."""
        return self.heads[0] == self.number

    @property
    def sends_far(self) -> bool:
        """Whether its consumer, the only one then, is on another host."""
        return any(number in self.far for number in self.consumers)

    @property
    def is_insecure(self) -> bool:
        """Whether it talks with actors of other hosts without keys."""
        return self.network is not None and self.network.keys is None

    @property
    def reporters(self) -> set[int]:
        """Numbers of the actors that report to it, where it is a head."""
        if not self.is_head:
            return set()
        others = {*self.heads, *self.gates, *self.terminals} if self.leads else {self.heads[0]}
        return others - {self.number}

    @property
    def is_last_gate(self) -> bool:
        """Whether the heads wait until an iteration has left this actor."""
        return self.number in self.gates and not self.lockstep
