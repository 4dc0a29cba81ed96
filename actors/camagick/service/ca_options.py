"""What the EPICS processors check alike in their options."""

from __future__ import annotations

import re
from typing import Any

from camagick.errors import BadOption
from camagick.service.ca_queues import Bounds
from camagick.service.ca_reading import Form
from camagick.service.ca_trigger import Guide

_UNITS = {
    "": 1,
    "B": 1,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "KIB": 2**10,
    "MIB": 2**20,
    "GIB": 2**30,
}
_CHAR, _ENUM = ("auto", "text", "bytes"), ("number", "text")
MODES = ("every", "sloppy", "hasty", "thorough", "continuous", "guided", "clustered")


def seconds(name: str, value: Any) -> float:
    """Return the value of an option that is a time.

    Raises
    ------
    BadOption
        When it is no number, or below 0.
    """
    if isinstance(value, int | float) and value >= 0:
        return float(value)
    raise BadOption(f"{name}={value}: seconds, 0 or more")


def form(char: str, enum: str) -> Form:
    """Return how values are wanted.

    Raises
    ------
    BadOption
        When there is no such way.
    """
    for name, value, known in (("char", char, _CHAR), ("enum", enum, _ENUM)):
        if value not in known:
            raise BadOption(f"{name}={value}: there is {', '.join(known)}")
    return Form(char, enum)


def bounds(queue: Any) -> Bounds:
    """Return how long a queue may be: ``10000``, ``100MB``, or both with a comma between.

    Raises
    ------
    BadOption
        When it is none of these.
    """
    found = Bounds()
    parts = queue if isinstance(queue, list | tuple) else str(queue).split(",")
    for part in map(str, parts):
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?(?:[eE]\d+)?)\s*([a-zA-Z]*)\s*", part)
        unit = match[2].upper() if match is not None else "?"
        amount = int(float(match[1]) * _UNITS.get(unit, 0)) if match is not None else 0
        if amount < 1:
            raise BadOption(f"queue={queue}: events (10000), bytes (100MB), or both (10000,100MB)")
        found = found._replace(rows=amount) if not unit else found._replace(size=amount)
    return found


def tagged_pvs(
    pvs: tuple[str, ...], prefix: str, suffix: str, tags: dict[str, str]
) -> dict[str, str]:
    """Return the PVs by tag, in the order of the command line."""
    found: dict[str, str] = {}
    for pv in pvs:
        tag = pv.replace(":", "_").replace(".", "_") if ":" in pv else pv
        if tag in found:
            raise BadOption(f"--from-epics: tag {tag!r} comes twice; name one of them: other={pv}")
        found[tag] = f"{prefix}{pv}{suffix}"
    for tag, pv in tags.items():
        if tag in found:
            raise BadOption(f"--from-epics: tag {tag!r} comes twice")
        found[tag] = pv
    if not found:
        raise BadOption("--from-epics needs a PV: --from-epics EXAMPLE:jedda")
    return found


def checked_guide(mode: str, guide: str, when: str) -> Guide | None:
    """Return the condition that guides, None where there is none."""
    if mode and mode not in MODES:
        raise BadOption(f"mode={mode}: there is {', '.join(MODES)}")
    if guide and when and guide != when:
        raise BadOption("guide= and when= mean the same: give one of them, joined by 'and'")
    text = guide or when
    if text and mode not in ("", "guided"):
        raise BadOption(f"mode={mode} does not look at when={text}: only mode=guided does")
    if mode == "guided" and not text:
        raise BadOption("mode=guided needs a condition: when=EXAMPLE:mark==0")
    return Guide(text) if text else None
