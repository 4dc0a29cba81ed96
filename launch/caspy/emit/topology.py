"""What there is to be started: the launcher, and a host with an agent for each host of the plan."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from caspy.errors import PlanError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from caspy.hostsfile import Host, Hosts
    from caspy.plan import Plan

#: The port of an agent's sshd: one that no privileges are needed for.
PORT = 2222
#: The user of every container, in numbers, and by the name that the image gives him.
USER, USER_NAME = 1000, "caspy"
#: Where configuration and keys are in a container.
CONFIG, KEYS = "/etc/caspy", "/etc/caspy-keys"
#: Where runs write their files.
DATA = "/data"

_LONGEST_NAME = 63  # a label of DNS, RFC 1123


@dataclass(frozen=True)
class Group:
    """The part of a plan that runs on one host.

    Attributes
    ----------
    host
        What is known of it.
    name
        Its container, pod, and name in DNS.
    """

    host: Host
    name: str

    @property
    def machine(self) -> str:
        """The name of the machine that the hosts file means."""
        destination = self.host.destination.removeprefix("ssh://").rpartition("@")[2]
        return re.sub(r":\d+$", "", destination)


@dataclass(frozen=True)
class Topology:
    """All that is to be started.

    Attributes
    ----------
    name
        Of the bus, as a label of DNS.
    image
        The container image with caspy and an sshd.
    recipe
        The pipes, as YAML.
    options
        Words for the launcher's command line.
    groups
        The hosts with an agent of their own.
    """

    name: str
    image: str
    recipe: str
    options: tuple[str, ...]
    groups: tuple[Group, ...]

    @property
    def launcher(self) -> str:
        """The name of the launcher's container."""
        return f"{self.name}-launcher"

    @property
    def command(self) -> list[str]:
        """How the launcher is started in its container."""
        hosts = ["-hosts", f"{CONFIG}/hosts.toml"] if self.groups else []
        return ["caspy", *hosts, *self.options, "-bus", self.name, "-yaml", f"{CONFIG}/recipe.spy"]


def topology(
    plan: Plan, bus: str | None, hosts: Hosts, engine: str, image: str, recipe: str,
    options: Sequence[str],
) -> Topology:  # fmt: skip
    """Return what there is to be started for a plan.

    Raises
    ------
    PlanError
        For a host that no container can stand for, and for names that become the same.
    """
    name = label(bus or "caspy")
    groups = []
    for alias in aliases(plan):
        host = hosts.get(alias)
        started = host.engine or engine
        if started == "local":
            raise PlanError(f"@{alias}: its engine is local, so it has no container: place it here")
        if started != "ssh":
            raise PlanError(f"@{alias}: {started} starts its agents by itself: nothing to emit")
        groups.append(Group(host, f"{name}-at-{label(alias)}"[:_LONGEST_NAME].rstrip("-")))
    _check_names(groups)
    return Topology(name, image, recipe, tuple(options), tuple(groups))


def aliases(plan: Plan) -> list[str]:
    """Return all hosts that a plan names, alternatives as well."""
    return list(dict.fromkeys(one for host in plan.hosts for one in host.split("|")))


def label(text: str) -> str:
    """Return a text as a label of DNS."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:_LONGEST_NAME] or "caspy"


def _check_names(groups: Iterable[Group]) -> None:
    seen: dict[str, str] = {}
    for group in groups:
        alias = group.host.alias
        if group.name in seen:
            raise PlanError(
                f"@{seen[group.name]} and @{alias} would both be called {group.name}: rename one"
            )
        seen[group.name] = alias
