"""Running buses: what each leaves in its folder so that others can find it.

The folder of a bus holds ``bus.json``, written once at the start (mode 0600). Whether the bus is
running says its lock, not the file: who was killed leaves the file behind, but a free lock.
"""

from __future__ import annotations

import contextlib
import difflib
import json
import os
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from camagick_broker.address import is_held, runtime_dir
from camagick_broker.errors import AddressError
from camagick_broker.wire import RUN_BYTES

#: Its presence says that the launcher was killed.
_KILLED = "killed"
_FILE = "bus.json"
_MOST_BYTES = 1 << 24


@dataclass(frozen=True, slots=True)
class Member:
    """One actor of the plan.

    Attributes
    ----------
    number, name
        Its number in the plan, and what it is called (``npfun.2``).
    inputs
        Numbers of its producers.
    pipe
        Number of its pipe, from 0.
    host
        Where it runs; '' for the host of the launcher.
    """

    number: int
    name: str
    inputs: tuple[int, ...]
    pipe: int
    host: str = ""


@dataclass(frozen=True, slots=True)
class Card:
    """What a running bus says about itself.

    Attributes
    ----------
    bus, run
        Its name, and the 8 bytes by which its messages are known.
    pid, host
        Of the launcher.
    started
        Seconds since the epoch.
    command
        The command line.
    version
        Of caspy.
    actors
        The plan's actors.
    """

    bus: str
    run: bytes
    pid: int
    host: str
    started: float
    command: tuple[str, ...]
    version: str
    actors: tuple[Member, ...]

    @property
    def folder(self) -> Path:
        """The folder of its sockets."""
        return runtime_dir() / self.bus

    def consumers(self, number: int) -> list[Member]:
        """Return the actors behind one."""
        return [actor for actor in self.actors if number in actor.inputs]

    def named(self, numbers: tuple[int, ...]) -> list[str]:
        """Return the names of actors."""
        return [actor.name for actor in self.actors if actor.number in numbers]


def write(folder: Path, card: Card) -> None:
    """Leave the card of a bus in its folder, all of it or nothing."""
    content = {**asdict(card), "run": card.run.hex()}
    number, name = tempfile.mkstemp(prefix=".bus", dir=folder)  # of mode 0600
    with os.fdopen(number, "w", encoding="utf-8") as file:
        json.dump(content, file)
    Path(name).replace(folder / _FILE)


def read(folder: Path) -> Card | None:
    """Return the card in a folder, running or not; None where there is none that can be read."""
    try:
        with (folder / _FILE).open("rb") as file:
            content = json.loads(file.read(_MOST_BYTES))
        card = card_from(content)
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
    return card if card.bus == folder.name and len(card.run) == RUN_BYTES else None


def card_from(content: dict[str, Any]) -> Card:
    """Return a card that was written as a map; anything may be wrong with that map."""
    actors = tuple(
        Member(int(one["number"]), str(one["name"]), tuple(map(int, one["inputs"])),
               int(one["pipe"]), str(one.get("host", "")))
        for one in content["actors"]
    )  # fmt: skip
    return Card(
        bus=str(content["bus"]), run=bytes.fromhex(content["run"]), pid=int(content["pid"]),
        host=str(content["host"]), started=float(content["started"]),
        command=tuple(map(str, content["command"])), version=str(content["version"]), actors=actors,
    )  # fmt: skip


def running() -> list[Card]:
    """Return all running buses of this user on this host, the oldest first.

    Raises
    ------
    AddressError
        Where the folder of all buses cannot be trusted.
    """
    cards = []
    for folder in runtime_dir().iterdir():
        with contextlib.suppress(OSError):
            lives = is_held(folder) and not (folder / _KILLED).exists()
            card = read(folder) if lives else None
            if card is not None:
                cards.append(card)
    return sorted(cards, key=lambda card: card.started)


def find(name: str = "", but: bytes = b"") -> Card:
    """Return the running bus of that name; without a name, the only one that is running.

    Parameters
    ----------
    name
        Its name, or ''.
    but
        A run that does not count: the one that asks.

    Raises
    ------
    AddressError
        When there is none, with the names of those that are running.
    """
    cards = [card for card in running() if card.run != but]
    for card in cards:
        if card.bus == name or (not name and len(cards) == 1):
            return card
    names = [card.bus for card in cards]
    if not names:
        called = f" called {name!r}" if name else ""
        raise AddressError(
            f"no bus{called} is running: start one, with a name: caspy -bus NAME ..."
        )
    if not name:
        raise AddressError(f"{len(names)} buses are running, name one: {', '.join(names)}")
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"running: {', '.join(names)}"
    raise AddressError(f"no bus called {name!r} is running ({hint})")


def mark_killed(folder: Path) -> None:
    """Tell whoever looks that the launcher of a bus was killed; the folder goes soon, too."""
    with contextlib.suppress(OSError):
        (folder / _KILLED).touch(mode=0o600)


def fate(card: Card) -> Literal["running", "ended", "killed"]:
    """Return what has become of a bus: who ends removes the folder, who is killed cannot."""
    folder = card.folder
    if not (folder / "lock").exists():
        return "ended"
    if (folder / _KILLED).exists():
        return "killed"
    if not is_held(folder):
        return "killed" if (folder / "lock").exists() else "ended"
    now = read(folder)
    if now is None:  # it is just being removed
        return "ended"
    return "running" if now.run == card.run else "killed"


def actor_of(card: Card, text: str) -> Member:
    """Return the actor that is meant by a number, a name, or the only one of its kind.

    Parameters
    ----------
    card
        The bus.
    text
        ``2``, ``npfun.2``, or ``npfun`` where there is only one.

    Raises
    ------
    AddressError
        When there is none, or more than one; names those there are.
    """
    exact = [actor for actor in card.actors if text in (actor.name, str(actor.number))]
    found = exact or [one for one in card.actors if one.name.rpartition(".")[0] == text]
    if len(found) == 1:
        return found[0]
    names = ", ".join(actor.name for actor in (found or card.actors))
    if found:
        raise AddressError(f"bus {card.bus} has several actors called {text!r}: {names}")
    raise AddressError(f"bus {card.bus} has no actor {text!r}: it has {names}")
