"""What counts as yes among options."""

from __future__ import annotations

from typing import Any

_NO = ("0", "false", "no", "off", "none", "")


def truth(value: Any) -> bool:
    """Return whether an option is on, however that is written: 1, yes, True, ..."""
    return str(value).strip().lower() not in _NO
