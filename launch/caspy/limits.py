"""What the system allows a process, and what the processes of a plan need."""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING

from caspy.errors import PlanError
from caspy.placement import HOME

if TYPE_CHECKING:
    from caspy.plan import Plan

#: Open files of an actor without any edge (measured: 32), and as many again for its processor.
_BASE = 64
#: Of each input two sockets, and of each consumer two connections (measured: 3, and 2).
_INPUT, _CONSUMER = 4, 2
#: Of each actor that talks with other hosts, at most.
_PORTS = 3


def files_needed(plan: Plan, host: str = HOME) -> int:
    """Return how many open files the actor of a plan that needs most of them has.

    Beside its own, an actor inherits those by which the launcher watches the actors before it,
    shared memory, and what keeps ports.
    """
    actors = plan.actors
    edges = [_INPUT * len(actor.inputs) + _CONSUMER * len(actor.consumers) for actor in actors]
    segments = sum(bool(actor.consumers) for actor in actors)
    ports = _PORTS * sum(actor.host == host for actor in actors) if plan.hosts else 0
    return _BASE + len(actors) + segments + len(plan.services(host)) + ports + max(edges)


def allow_open_files(plan: Plan, host: str = HOME) -> None:
    """Allow this process, and those it forks, as many open files as the system permits.

    ZeroMQ aborts a process that has no more. So a plan that needs more than it may have is not
    started, and what strangers can take away by connecting is as much as possible.

    Raises
    ------
    PlanError
        Where even that is too few, with what to do.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = files_needed(plan, host)
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise PlanError(
            f"too few open files are allowed: the limit is {hard} a process (ulimit -Hn), "
            f"{len(plan.actors)} actors need {needed}: raise it, as root with "
            f"`prlimit --pid $$ --nofile={max(4096, needed)}`, or in /etc/security/limits.conf"
        )
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
