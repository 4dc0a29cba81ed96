"""Where a run may go: the hosts it knows, and how they are reached."""

from __future__ import annotations

from dataclasses import dataclass, field

from caspy.hosts.ports import ANY
from caspy.hostsfile import Hosts

PATIENCE_S = 60.0


@dataclass(frozen=True)
class Places:
    """Where a run may go.

    Attributes
    ----------
    hosts
        The hosts file.
    engine
        How agents are started, where the hosts file does not say: 'ssh', 'slurm', 'local'.
    ports
        The lowest and the highest port that actors bind; (0, 0) leaves it to the system.
    patience_s
        For so long another host may be silent before it is given up.
    codec
        How large arrays are compressed between hosts, where the hosts file does not say; '': not.
    insecure
        Data between hosts are neither encrypted nor are their senders known.
    """

    hosts: Hosts = field(default_factory=Hosts)
    engine: str = "ssh"
    ports: tuple[int, int] = ANY
    patience_s: float = PATIENCE_S
    codec: str = ""
    insecure: bool = False

    def codec_between(self, one: str, other: str) -> str:
        """Return how arrays are compressed on their way from one host to another."""
        for alias in (one.split("|")[0], other.split("|")[0]):
            if alias in self.hosts and (codec := self.hosts.get(alias).compress) is not None:
                return codec
        return self.codec
