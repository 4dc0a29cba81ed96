"""From a stream of bytes to values under tags: what a format is, and lines of text or JSON."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from camagick.tools.reservoir import Reservoir

FORMATS = ("text", "json", "lines", "raw", "npy")
#: A line may be so long, in bytes; what goes on longer is no text.
LINE_BYTES = 1 << 26
_SHOWN = 60


class BadFormat(ValueError):
    """Options of a format that make no sense."""


class Unreadable(ValueError):
    """An item is not what it should be; `fatal`: and nobody knows where the next one begins."""

    def __init__(self, text: str, *, fatal: bool = False) -> None:
        super().__init__(text)
        self.fatal = fatal


class Decoder(Protocol):
    """What one format is.

    Attributes
    ----------
    noun
        What an item is called in messages.
    most
        Bytes of the largest item.
    """

    noun: str
    most: int

    def find(self, ring: Reservoir, start: int, *, ended: bool) -> int | None:
        """Return the position behind the item at `start`; None while it is not complete."""

    def decode(self, ring: Reservoir, start: int, stop: int) -> Mapping[str, Any] | None:
        """Return the values of an item, `Frame` for arrays; None for one without any."""

    def restart(self) -> None:
        """Begin with another stream of the same kind."""

    def remember(self) -> Mapping[str, Any]:
        """Return what has to be known of what was read so far."""

    def recall(self, known: Mapping[str, Any]) -> None:
        """Take that over."""


class Lines:
    """The text of each line, under one tag."""

    noun = "line"
    most = LINE_BYTES

    def __init__(self, tag: str = "text", skip: int = 0) -> None:
        self._tag, self._skip = tag, skip
        self._lines = 0
        self._searched = 0, 0  # from where, to where there is no end of a line

    def find(self, ring: Reservoir, start: int, *, ended: bool) -> int | None:
        end = ring.end
        # A long line comes in pieces: each is looked through once.
        known, until = self._searched
        at = ring.find(b"\n", until if known == start and until <= end else start, end)
        self._searched = start, end
        if at >= 0:
            return at + 1
        return end if ended and end > start else None

    def decode(self, ring: Reservoir, start: int, stop: int) -> Mapping[str, Any] | None:
        self._lines += 1
        if self._lines <= self._skip:
            return None
        content = ring.copy(start, stop).removesuffix(b"\n").removesuffix(b"\r")
        try:
            text = content.decode("utf-8")
        except UnicodeDecodeError:
            raise Unreadable(f"is no text: {shown(content)}") from None
        return self.line(text)

    def line(self, text: str) -> Mapping[str, Any] | None:
        """Return the values of a line."""
        return {self._tag: text}

    def restart(self) -> None:
        self._lines, self._searched = 0, (0, 0)

    def remember(self) -> Mapping[str, Any]:
        return {"lines": self._lines}

    def recall(self, known: Mapping[str, Any]) -> None:
        self._lines = int(known["lines"])


class JsonLines(Lines):
    """An object in each line: its keys are tags, lists are arrays, objects in it are flattened.

    Parameters
    ----------
    keys
        The only ones to take, which must be there; empty for all.
    """

    def __init__(self, keys: Sequence[str] = (), skip: int = 0) -> None:
        super().__init__(skip=skip)
        self._keys = tuple(keys)

    def line(self, text: str) -> Mapping[str, Any] | None:
        if not text.strip():
            return None
        found: dict[str, Any] = {}
        try:
            known = json.loads(text)
            if isinstance(known, dict):
                _flatten(known, "", found, text)
        except Unreadable:
            raise
        except (ValueError, RecursionError):
            raise Unreadable(f"is no JSON: {shown(text)}") from None
        if not isinstance(known, dict):
            raise Unreadable(f"is no JSON object of the form {{...}}: {shown(text)}")
        if self._keys:
            missing = [key for key in self._keys if key not in found]
            if missing:
                raise Unreadable(f"has no {missing[0]!r}: {shown(text)}")
            found = {key: found[key] for key in self._keys}
        return found or None


def _flatten(known: dict[str, Any], before: str, found: dict[str, Any], text: str) -> None:
    for key, value in known.items():
        tag = f"{before}{key}"
        if isinstance(value, dict):
            _flatten(value, f"{tag}_", found, text)
        elif value is not None:
            if not tag or tag in found:
                raise Unreadable(f"has {tag!r} twice, or a key without a name: {shown(text)}")
            found[tag] = _array(value, tag) if isinstance(value, list) else value


def _array(value: list[Any], tag: str) -> np.ndarray:
    try:
        array = np.array(value)
    except (ValueError, OverflowError):
        raise Unreadable(f"{tag}: rows of different lengths, or too large a number") from None
    mixed = array.dtype.kind == "U" and not all(isinstance(v, str) for v in _items(value))
    if array.dtype.kind not in "biufU" or mixed:
        raise Unreadable(f"{tag}: a list of what is neither all numbers nor all text")
    return array


def _items(value: Any) -> list[Any]:
    return [one for part in value for one in _items(part)] if isinstance(value, list) else [value]


def shown(content: str | bytes) -> str:
    """Return the beginning of a line as one can print it."""
    if isinstance(content, bytes):
        content = content[: _SHOWN * 4].decode("utf-8", "backslashreplace")
    text = re.sub(r"\s+", " ", content)
    text = "".join(one if one.isprintable() else f"\\x{ord(one):02x}" for one in text[: _SHOWN * 2])
    return f"'{text}'" if len(text) <= _SHOWN else f"'{text[:_SHOWN]}...'"
