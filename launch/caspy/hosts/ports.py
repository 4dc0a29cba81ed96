"""Ports that actors bind: found before they start, so that a restarted actor has the same ones."""

from __future__ import annotations

import contextlib
import errno
import socket
from typing import TYPE_CHECKING

from caspy.errors import PlanError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from caspy.plan import Plan

#: By the kernel, see /proc/sys/net/ipv4/ip_local_port_range.
ANY = (0, 0)


def needed(plan: Plan, host: str) -> dict[int, list[str]]:
    """Return, for each actor of a host that has consumers or reporters elsewhere, what it binds."""
    found: dict[int, list[str]] = {}
    for pipe in plan.pipes:
        for actor in pipe.actors:
            wiring = plan.wiring(pipe, actor, "")
            if actor.host == host:
                purposes = ["data", "back"] if wiring.sends_far else []
                purposes += ["loop"] if wiring.reporters & wiring.far else []
                found[actor.number] = purposes
    return found


def reserve(address: str, count: int, ports: tuple[int, int] = ANY) -> list[int]:
    """Return ports of an address that are free now.

    Parameters
    ----------
    address
        An IP address of this host.
    count
        How many.
    ports
        The lowest and the highest one to take; `ANY` leaves it to the kernel.

    Raises
    ------
    PlanError
        Where there are not so many, or the address is not this host's.
    """
    with contextlib.ExitStack() as stack:
        found = []
        for port in _candidates(ports, count):
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            sock = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
            try:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sock.bind((address, port))
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    continue
                raise PlanError(
                    f"cannot listen at {address}: {error.strerror or error} (bind= in the hosts"
                    " file says another address)"
                ) from None
            found.append(sock.getsockname()[1])
            if len(found) == count:
                return found
    if count == 0:
        return []
    low, high = ports
    raise PlanError(
        f"{count} ports are needed at {address}, and of {low} to {high} only {len(found)} are free:"
        " choose a longer range (-ports LOW-HIGH)"
    )


def _candidates(ports: tuple[int, int], count: int) -> Iterable[int]:
    return range(ports[0], ports[1] + 1) if ports != ANY else [0] * count
