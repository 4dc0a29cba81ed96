"""Looking at a bus that is running, from another terminal, and printing what is to be seen."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from camagick_broker.errors import AddressError
from caspy.errors import PlanError
from caspy.stop import CannotStop

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from caspy.words import Word


class CannotShow(Exception):
    """There is nothing to show a bus with."""


#: What a user can mend.
ERRORS = (AddressError, CannotStop, CannotShow, PlanError)


def ls(bus: str, key: str = "") -> int:
    """List the running buses, or the actors of one; return the exit code."""
    from caspy import buses

    print(buses.list_actors(bus, key) if bus or key else buses.list_buses(), end="")
    return 0


def top(bus: str, key: str = "") -> int:
    """Show a bus as it works; return the exit code."""
    from caspy.top import top as show

    last_words = show(bus, sys.stdout, sys.stdin, key)
    if last_words:
        print(last_words)
    return 0


def stop(bus: str, key: str = "") -> int:
    """Drain and end a bus; return the exit code."""
    from caspy.stop import stop as end

    said, code = end(bus, key=key)
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


#: What can be done with a bus of another host as well, with a key.
VISITS: dict[str, Callable[[str, str], int]] = {"ls": ls, "top": top, "stop": stop}
_KEY = "key="


def parted(bus: str, words: Sequence[Word]) -> tuple[str, str, list[Word]]:
    """Return the bus that is meant, its key file, and the words that are too much.

    Parameters
    ----------
    bus, words
        What stands behind the option; a key says by itself which bus it is for.
    """
    if _names_key(bus):
        return "", bus.removeprefix(_KEY), list(words)
    key = next((word.text for word in words[:1] if _names_key(word.text)), "")
    return bus, key.removeprefix(_KEY), list(words[1:] if key else words)


def _names_key(word: str) -> bool:
    return word.startswith(_KEY) and word != _KEY
