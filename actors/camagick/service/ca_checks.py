"""Options that are a number."""

from __future__ import annotations

from typing import Any

from camagick.errors import BadOption


def whole(name: str, value: Any, least: int, meaning: str) -> int:
    """Return an option that is a whole number.

    Raises
    ------
    BadOption
        When it is none, or below `least`; `meaning` says what it should be.
    """
    if isinstance(value, int) and not isinstance(value, bool) and value >= least:
        return value
    raise BadOption(f"{name}={value}: {meaning}")


def duration(name: str, value: Any, meaning: str) -> float:
    """Return an option that is a number of seconds, 0 or more.

    Raises
    ------
    BadOption
        When it is none; `meaning` says what it should be.
    """
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e9:
        return float(value)
    raise BadOption(f"{name}={value}: {meaning}")
