"""``-listen``, ``-grant`` and ``-revoke``: who may do what with a bus from other hosts."""

from __future__ import annotations

import ipaddress
import os
import socket
import stat
import sys
import time
from typing import TYPE_CHECKING

from camagick_broker import grants
from camagick_broker.endpoints import candidates, host_of
from camagick_broker.errors import AddressError
from camagick_broker.running import find
from caspy.hosts.ports import held_at
from caspy.process import told_to_stop

if TYPE_CHECKING:
    from collections.abc import Sequence

    from camagick_broker.running import Card

#: Where a gateway listens if nothing is said.
PORTS = "5720-5739"
_LAST_WORDS_S = 2.0
_FLAGS = ("--read-only", "--list", "--show", "--address")


def serve(card: Card, address: str) -> int:
    """Be the gateway of a bus until SIGTERM; return the exit code."""
    from camagick_broker.gateway import Gateway
    from camagick_broker.keys import keep_secrets
    from caspy.stop import drain

    keep_secrets()
    gateway = Gateway(card, address, lambda: drain(card))
    stopped = told_to_stop(gateway.ring)
    limit: list[float] = []

    def may_end() -> bool:
        """Pass on how the bus has ended, if the broker says so in time."""
        if stopped() and not limit:
            limit.append(time.monotonic() + _LAST_WORDS_S)
        return stopped() and (gateway.may_part or time.monotonic() > limit[0])

    gateway.serve(may_end)
    return 0


def free_address(text: str, ports: str = PORTS) -> tuple[str, socket.socket]:
    """Return ``tcp://HOST:PORT`` of a free port, and what holds it until somebody listens there.

    Parameters
    ----------
    text
        ADDRESS, ADDRESS:PORT or ADDRESS:LOW-HIGH.
    ports
        Where no port is given.

    Raises
    ------
    AddressError
        When there is none.
    """
    host, _, port = text.rpartition(":") if not text.endswith("]") else (text, "", "")
    if not host or (":" in host and not host.startswith("[")):
        host, port = text, ""
    if ":" in host and not host.startswith("["):
        host = f"[{host}]"
    address = f"tcp://{host}:{port or ports}"
    if not host_of(address):
        raise AddressError(f'"{text}" is neither ADDRESS nor ADDRESS:PORT')
    reason = "nobody can listen there"
    for one in candidates(address):
        try:
            return _tried(one)
        except OSError as error:
            reason = error.strerror or str(error)
    raise AddressError(f"cannot listen at {address}: {reason}")


def _tried(address: str) -> tuple[str, socket.socket]:
    held = held_at(host_of(address), int(address.rpartition(":")[2]))
    return f"{address.rpartition(':')[0]}:{held.getsockname()[1]}", held


def grant(bus: str, words: Sequence[str]) -> tuple[str, int]:
    """Return a key file for a bus, or a list of what it has granted; and the exit code."""
    flags, values = _flags(words)
    if values:
        raise AddressError(f"-grant takes a bus and {', '.join(_FLAGS)}: {values[0]!r} is too much")
    card = find(bus)
    if "--list" in flags:
        return "".join(map(_line, grants.granted(card.folder))), 0
    output = sys.stdout.fileno()
    if os.isatty(output) and "--show" not in flags:
        raise AddressError(
            f"this would show a secret on the terminal: caspy -grant {card.bus} > tap.key"
            " (or --show, if that is meant)"
        )
    if stat.S_ISREG(os.fstat(output).st_mode):
        os.fchmod(output, 0o600)  # before there is anything in it
    key = grants.grant(card, may_end="--read-only" not in flags)
    return grants.key_file(key._replace(address=_reachable(key.address, flags))), 0


def _line(one: grants.Grant) -> str:
    made = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(one.made))
    return f"{one.id}  {made}  {'may end the run' if one.may_end else 'read-only'}\n"


def revoke(bus: str, words: Sequence[str]) -> tuple[str, int]:
    """End a grant; return what has happened, and the exit code."""
    if len(words) != 1:
        raise AddressError("-revoke takes a bus and one key: caspy -grant BUS --list shows them")
    if grants.revoke(find(bus), words[0]):
        return f"{words[0]} is revoked, its connections are closed\n", 0
    return f"{words[0]} is revoked, but the gateway of {bus} does not answer\n", 1


def _flags(words: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Return flags, with what was said behind '=', and all other words."""
    flags, values = {}, []
    for word in words:
        name, _, value = word.partition("=")
        if name in _FLAGS:
            flags[name] = value
        else:
            values.append(word)
    return flags, values


def _reachable(address: str, flags: dict[str, str]) -> str:
    """Return how others reach the gateway: by the name of this host, if it listens everywhere."""
    place, _, port = address.rpartition(":")
    given = flags.get("--address")
    if given:
        return f"tcp://{given}:{port}"
    try:
        anywhere = ipaddress.ip_address(host_of(f"{place}:{port}")).is_unspecified
    except ValueError:
        anywhere = host_of(address) == "*"
    return f"tcp://{socket.gethostname()}:{port}" if anywhere else address
