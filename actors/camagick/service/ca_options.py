"""What the EPICS processors check alike in their options."""

from __future__ import annotations

from typing import Any

from camagick.errors import BadOption
from camagick.service.ca_trigger import Guide

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
