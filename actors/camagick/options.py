"""What the words of options mean, where several processors have the same kind."""

from __future__ import annotations

from typing import Any

from camagick.errors import BadOption

_YES = ("1", "yes", "true", "any", "on")
_NO = ("0", "no", "false", "none", "off", "")


def truth(name: str, value: Any) -> bool:
    """Return what an option means that is yes or no: 1, yes, true, on; 0, no, false, off.

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
