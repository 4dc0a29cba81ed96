"""Small processes beside a run that look at it: statistics, metrics, a page, and the gateway.

What can go wrong with where they write is found out before the run starts; what goes wrong later
is theirs alone. They are forked like the broker, so that the launcher keeps neither their threads
nor their sockets.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from caspy.errors import PlanError

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from camagick_broker.running import Card


class Watcher(NamedTuple):
    """One of them.

    Attributes
    ----------
    name
        What its process is called.
    serve
        Its work; given the card of the run, returns an exit code at SIGTERM.
    close
        To be called by the launcher when the process has been forked.
    last_word
        Whether the broker has to wait for it, to tell it how the run has ended.
    lasts
        Whether it is started again when it dies.
    """

    name: str
    serve: Callable[[Card], int]
    close: Callable[[], None]
    last_word: bool = False
    lasts: bool = False


def statistics(target: str) -> Watcher:
    """Return what writes statistics to a file, '-' for standard output.

    Raises
    ------
    PlanError
        When the file cannot be written.
    """
    if target == "-":
        handle = os.dup(1)
    else:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        try:
            handle = os.open(target, flags, 0o666)
        except OSError as error:
            raise PlanError(f"cannot write {target}: {error.strerror or error}") from None

    def serve(card: Card) -> int:
        from caspy.stats import serve as work

        return work(card, handle)

    return Watcher("statistics", serve, lambda: os.close(handle), last_word=True)


def metrics(address: str) -> Watcher:
    """Return what serves metrics to Prometheus at PORT of the loopback, or at HOST:PORT.

    Raises
    ------
    PlanError
        When nobody can listen there, or the library is missing.
    """
    from caspy.catalogue import is_installed

    if not is_installed("prometheus_client"):
        raise PlanError("-metrics needs prometheus_client: pip install '.[metrics]'")
    listening = _listening(address)

    def serve(card: Card) -> int:
        from caspy.metrics import serve as work

        return work(card, listening)

    return Watcher("metrics", serve, listening.close)


def page(address: str, control: str | None = None) -> Watcher:
    """Return what serves the run as a page at PORT of the loopback, or at HOST:PORT.

    Parameters
    ----------
    address
        Where.
    control
        The file with the token for who may end the run, None for nobody.

    Raises
    ------
    PlanError
        When nobody can listen there, the library is missing, or the token is no good.
    """
    from caspy.catalogue import is_installed
    from caspy.token import Token

    token = None if control is None else Token(control)

    if not is_installed("aiohttp"):
        raise PlanError("-web needs aiohttp: pip install '.[web]'")
    listening = _listening(address)

    def serve(card: Card) -> int:
        from caspy.web import serve as work

        return work(card, listening, token)

    return Watcher("page", serve, listening.close)


def gateway(address: str, ports: tuple[int, int] | None = None) -> Watcher:
    """Return what lets holders of granted keys in from other hosts, at ADDRESS[:PORT].

    Parameters
    ----------
    address
        Where it listens.
    ports
        The lowest and the highest one to take, where no port is given.

    Raises
    ------
    PlanError
        When nobody can listen there.
    """
    from camagick_broker.errors import AddressError
    from caspy import granting

    try:
        where = f"{ports[0]}-{ports[1]}" if ports else granting.PORTS
        found, held = granting.free_address(address, where)
    except AddressError as error:
        raise PlanError(str(error)) from None

    def serve(card: Card) -> int:
        return granting.serve(card, found)

    return Watcher("gateway", serve, held.close, lasts=True)


def _listening(address: str) -> socket.socket:
    from camagick.errors import BadOption
    from camagick.service.listening import listen

    try:
        return listen(address)
    except BadOption as error:
        raise PlanError(str(error)) from None
