"""Ports that actors bind: kept before they start, so that a restarted actor has the same ones."""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING

from caspy.errors import PlanError

if TYPE_CHECKING:
    import contextlib
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


def held_at(address: str, port: int, *, lingering: bool = False) -> socket.socket:
    """Return a socket that keeps a port for those who are told of it, without listening there.

    Nobody else gets the port from then on, neither by its number nor from the kernel; whoever sets
    SO_REUSEADDR, as ZeroMQ does, can listen there. `lingering`: take also a port at which
    connections have just ended (TIME_WAIT), or that somebody keeps in this way.

    Raises
    ------
    OSError
        When it is not free, or `address` is not this host's.
    """
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, lingering)
        sock.bind((address, port))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, True)
    except OSError:
        sock.close()
        raise
    return sock


def reserve(
    address: str, count: int, ports: tuple[int, int], holds: contextlib.ExitStack
) -> list[int]:
    """Return ports of an address that are free now, and stay so until `holds` is closed.

    Parameters
    ----------
    address
        An IP address of this host.
    count
        How many.
    ports
        The lowest and the highest one to take; `ANY` leaves it to the kernel.
    holds
        Gets what keeps them. An actor listens there, and a restarted one again.

    Raises
    ------
    PlanError
        Where there are not so many, or the address is not this host's.
    """
    found: list[int] = []
    for lingering in (False, True):
        for port in _candidates(ports, count - len(found)):
            if len(found) == count:
                break
            if port not in found and (sock := _tried(address, port, lingering)) is not None:
                found.append(holds.enter_context(sock).getsockname()[1])
    if len(found) == count:
        return found
    low, high = ports
    raise PlanError(
        f"{count} ports are needed at {address}, and of {low} to {high} only {len(found)} are free:"
        " choose a longer range (-ports LOW-HIGH)"
    )


def _tried(address: str, port: int, lingering: bool) -> socket.socket | None:
    """Return what holds a port; nothing if somebody has it."""
    try:
        return held_at(address, port, lingering=lingering)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return None
        raise PlanError(
            f"cannot listen at {address}: {error.strerror or error} (bind= in the hosts file says"
            " another address)"
        ) from None


def _candidates(ports: tuple[int, int], count: int) -> Iterable[int]:
    return range(ports[0], ports[1] + 1) if ports != ANY else [0] * count
