"""Patterns that tags are matched with."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def matcher(patterns: Iterable[str]) -> Callable[[str], bool]:
    """Return a test whether a tag matches any of `patterns`, from its beginning on.

    As `re.match` does: ``a`` matches ``ab`` too, ``a$`` does not.

    Raises
    ------
    ValueError
        When a pattern is no regular expression.
    """
    compiled = []
    for pattern in patterns:
        try:
            compiled.append(re.compile(str(pattern)).match)
        except re.error as error:
            raise ValueError(f"{pattern!r} is no regular expression: {error}") from None
    if len(compiled) == 1:
        only = compiled[0]
        return lambda tag: only(tag) is not None
    return lambda tag: any(match(tag) for match in compiled)
