"""Options that are yes or no."""

from __future__ import annotations

from typing import Any

from camagick.errors import BadOption

_YES, _NO = ("1", "yes", "true", "any", "on"), ("0", "no", "false", "none", "off", "")


def truth(name: str, value: Any) -> bool:
    """Return what an option that is yes or no means.

    Raises
    ------
    BadOption
        When it is neither.
    """
    text = str(value).strip().lower()
    if text in _YES:
        return True
    if text in _NO:
        return False
    raise BadOption(f"{name}={value}: yes or no")
