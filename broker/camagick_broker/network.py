"""How actors of different hosts reach one another: addresses, and keys for those who may."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from camagick_broker.keys import Key, Keys, Lock

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass(frozen=True, slots=True)
class Network:
    """What one actor has on the network, where it talks with actors of other hosts.

    Attributes
    ----------
    address
        Of its host, as the others reach it.
    ports
        By what they are for: 'data', 'back', 'loop'. A restarted actor has the same ones.
    keys
        Its own; None where anybody may connect (``-insecure``).
    known
        Public keys of the actors it talks with, by their number.
    codec
        How it compresses large arrays for its consumer, see `camagick_broker.squeeze`; '' for not.
    """

    address: str
    ports: Mapping[str, int]
    keys: Keys | None
    known: Mapping[int, bytes] = field(default_factory=dict)
    codec: str = ""

    def endpoint(self, purpose: str) -> str:
        """Return the address of one of its sockets."""
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"tcp://{host}:{self.ports[purpose]}"

    def lock(self, actors: Iterable[int]) -> Lock | None:
        """Return what lets in these actors, and nobody else; None where there are no keys."""
        if self.keys is None:
            return None
        return Lock(self.keys, {self.known[number]: f"actor {number}" for number in actors})

    def key(self, actor: int) -> Key | None:
        """Return what proves to an actor who this one is, and the other way round."""
        return Key(self.keys, self.known[actor]) if self.keys is not None else None
