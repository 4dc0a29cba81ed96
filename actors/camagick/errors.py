"""What can go wrong while data is processed, with messages made in one place."""

from __future__ import annotations


class CamagickError(Exception):
    """Base of all errors that are about the user's flow or data."""


class BadOption(CamagickError, ValueError):
    """A processor was given an argument it cannot use."""


class DuplicateTag(CamagickError):
    """A source delivered a tag that other data already has."""

    def __init__(self, name: str, tag: str) -> None:
        super().__init__(f"{name} brings a tag {tag!r} that is already there: rename one of them")


class MissingExtra(CamagickError):
    """A processor exists, but the library it needs is not installed."""

    def __init__(self, name: str, library: str, extra: str) -> None:
        super().__init__(
            f"{name} needs {library}, which is not installed: pip install '.[{extra}]'"
        )
