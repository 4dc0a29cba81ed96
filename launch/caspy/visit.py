"""Looking at a bus that is running, from another terminal; beside `caspy.cli`, what prints."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from camagick_broker.errors import AddressError
from caspy.errors import PlanError
from caspy.stop import CannotStop

if TYPE_CHECKING:
    from collections.abc import Callable


class CannotShow(Exception):
    """There is nothing to show a bus with."""


#: What a user can mend.
ERRORS = (AddressError, CannotStop, CannotShow, PlanError)


def ls(bus: str) -> int:
    """List the running buses, or the actors of one; return the exit code."""
    from caspy import buses

    print(buses.list_actors(bus) if bus else buses.list_buses(), end="")
    return 0


def top(bus: str) -> int:
    """Show a bus as it works; return the exit code."""
    from caspy.top import top as show

    last_words = show(bus, sys.stdout, sys.stdin)
    if last_words:
        print(last_words)
    return 0


def stop(bus: str) -> int:
    """Drain and end a bus; return the exit code."""
    from caspy.stop import stop as end

    said, code = end(bus)
    print(said)
    return code


def web(bus: str, control: str | None = None) -> int:
    """Serve a bus as a page at a free port, until Ctrl-C; return the exit code."""
    from camagick_broker.running import find
    from caspy.catalogue import is_installed

    card = find(bus)
    if not is_installed("aiohttp"):
        raise CannotShow("-web needs aiohttp: pip install '.[web]'")
    from camagick.service.listening import listen
    from caspy.token import Token
    from caspy.web import serve

    token = None if control is None else Token(control)

    listening = listen("0")
    print(f"{card.bus}: http://127.0.0.1:{listening.getsockname()[1]}/", flush=True)
    return serve(card, listening, token)


VISITS: dict[str, Callable[[str], int]] = {"ls": ls, "top": top, "stop": stop, "web": web}
