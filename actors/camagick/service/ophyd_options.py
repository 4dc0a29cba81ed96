"""What the ophyd processors check in their options."""

from __future__ import annotations

from camagick.errors import BadOption

#: How often a device is read that sets no pace of its own, per second.
POLL_HZ = 5.0

_MODES = ("subscribe", "poll")
_STAGES = ("never", "run", "iteration")
_KINDS = ("hinted", "normal", "config")


def checked_mode(mode: str, trigger: bool) -> str:
    """Return a mode, '' where the device decides.

    Raises
    ------
    BadOption
        When there is none of that name, or it does not go together with `trigger`.
    """
    if mode and mode not in _MODES:
        raise BadOption(f"ophyd: mode={mode}: there is {' and '.join(_MODES)}")
    if mode == "subscribe" and trigger:
        raise BadOption("ophyd: trigger=1 reads when it has triggered: it has no mode=subscribe")
    return "poll" if trigger else mode


def checked_stage(stage: str) -> str:
    """Return when to stage.

    Raises
    ------
    BadOption
        When there is no such time.
    """
    if stage not in _STAGES:
        raise BadOption(f"ophyd: stage={stage}: there is {', '.join(_STAGES)}")
    return stage


def checked_kinds(kinds: str | tuple[str, ...] | list[str]) -> frozenset[str]:
    """Return the kinds of signals to read.

    Raises
    ------
    BadOption
        When there is none of that name, or none at all.
    """
    words = kinds.split(",") if isinstance(kinds, str) else kinds
    found = frozenset(str(word).strip() for word in words if str(word).strip())
    unknown = ", ".join(sorted(found.difference(_KINDS)))
    if unknown or not found:
        raise BadOption(f"ophyd: kinds={unknown or kinds}: there is {', '.join(_KINDS)}")
    return found
