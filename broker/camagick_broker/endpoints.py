"""Addresses of sockets: ports out of a range, and which can be reached from other hosts. No I/O."""

from __future__ import annotations

import ipaddress
import re

from camagick_broker.errors import AddressError

_RANGE = re.compile(r"(tcp://.+):(\d{1,5})-(\d{1,5})")
_TCP = re.compile(r"tcp://(?:\[(?P<six>[^\]]+)\]|(?P<host>[^:\[\]]+)):(?:[0-9]+(?:-[0-9]+)?|\*)")
_MAX_PORT = 65535


def candidates(address: str) -> list[str]:
    """Return what an address stands for, in the order in which it is tried.

    Parameters
    ----------
    address
        ``ipc://PATH``, ``tcp://HOST:PORT``, or ``tcp://HOST:LOW-HIGH``: the first free port of
        these. HOST is a name or a number, of IPv6 in brackets.

    Raises
    ------
    AddressError
        For a range that is empty.
    """
    match = _RANGE.fullmatch(address)
    if match is None:
        return [address]
    place, low, high = match[1], int(match[2]), int(match[3])
    if not 0 < low <= high <= _MAX_PORT:
        raise AddressError(f"no ports in {address}: write LOW-HIGH, within 1-{_MAX_PORT}")
    return [f"{place}:{port}" for port in range(low, high + 1)]


def host_of(address: str) -> str:
    """Return the host of a ``tcp://`` address, without brackets; '' of all others."""
    match = _TCP.fullmatch(address)
    return (match["six"] or match["host"]) if match else ""


def stays_here(address: str) -> bool:
    """Tell whether only processes of this host can connect to an address, whatever happens."""
    if address.startswith(("ipc://", "inproc://")):
        return True
    host = host_of(address)
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name, or an interface: nobody knows what it stands for tomorrow
        return False


def is_ipv6(address: str) -> bool:
    """Tell whether an address names its host by a number of IPv6."""
    return address.startswith("tcp://[")
