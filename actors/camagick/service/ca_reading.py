"""What a PV says, in the types of this program, whichever client has read it. Knows no network."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np

from camagick.tools.ca_values import same

Kind = Literal["STRING", "CHAR", "ENUM", "NUMBER"]

#: A PV of more characters than this is no text, unless the user says so: an 8-bit image.
MOST_TEXT = 4096
#: Limits come in pairs, lower and upper; a pair of zeros means that nobody has set them.
_PAIRS = ("disp", "ctrl", "alarm", "warning")


class Reading(NamedTuple):
    """A value of a PV and what is known about it.

    Attributes
    ----------
    value
        Text, a numpy scalar, or an array of one dimension in native byte order.
    attributes
        ``timestamp`` (float, seconds since 1970 UTC), ``severity`` and ``status`` (int), ``source``
        (the PV), and where the PV has them ``units``, ``precision``, ``enum_strings``, limits.
    """

    value: Any
    attributes: Mapping[str, Any]


class Form(NamedTuple):
    """How the user wants values that can be had in two ways.

    Attributes
    ----------
    char
        Arrays of characters: 'text', 'bytes' (an array of uint8), or 'auto': text where the PV
        holds 4096 characters at most.
    enum
        'number' or 'text', the label.
    """

    char: str = "auto"
    enum: str = "number"

    def value(self, kind: Kind, raw: Any, count: int, labels: Sequence[str] = ()) -> Any:
        """Return a value as it goes on.

        Parameters
        ----------
        kind
            Of the PV.
        raw
            Strings as a sequence of bytes, anything else as an array of one dimension in native
            byte order, and in memory that may be kept.
        count
            How many elements the PV can hold; with 1 it is a scalar.
        labels
            Of the states of an enum.
        """
        if kind == "STRING":
            texts = [_decoded(text) for text in raw]
            return (texts or [""])[0] if count == 1 else np.array(texts, dtype=np.str_)
        array = np.asarray(raw)
        if kind == "CHAR" and count != 1 and self._is_text(count):
            return _decoded(array.tobytes())
        if kind == "ENUM":
            if self.enum == "text":
                return _labels(array, labels, count)
            array = array.astype(np.int32)
        return array[0] if count == 1 and array.size else array

    def _is_text(self, count: int) -> bool:
        return self.char == "text" or (self.char == "auto" and count <= MOST_TEXT)


def _decoded(text: bytes) -> str:
    return bytes(text).partition(b"\0")[0].decode("utf-8", "replace")


def _labels(numbers: np.ndarray[Any, Any], labels: Sequence[str], count: int) -> Any:
    known = dict(enumerate(labels))
    texts = [known.get(int(number), str(number)) for number in numbers]
    return (texts or [""])[0] if count == 1 else np.array(texts, dtype=np.str_)


def lasting(metadata: Any) -> dict[str, Any]:
    """Return what a PV says about itself that does not come with every value.

    Parameters
    ----------
    metadata
        Has what there is as attributes, under the names of Channel Access.
    """
    found: dict[str, Any] = {}
    units = getattr(metadata, "units", "")
    found["units"] = _any_text(units) if isinstance(units, bytes) else str(units)
    if hasattr(metadata, "precision"):
        found["precision"] = int(metadata.precision)
    texts = getattr(metadata, "enum_strings", getattr(metadata, "enums", ()))
    found["enum_strings"] = tuple(
        text if isinstance(text, str) else _any_text(bytes(text)) for text in texts
    )
    for pair in _PAIRS:
        names = (f"lower_{pair}_limit", f"upper_{pair}_limit")
        limits = {name: _number(getattr(metadata, name, math.nan)) for name in names}
        if any(limits.values()):
            found.update((name, limit) for name, limit in limits.items() if math.isfinite(limit))
    return {key: value for key, value in found.items() if value not in ("", ())}


def _number(limit: Any) -> float:
    return float(limit[0]) if isinstance(limit, bytes) else float(limit)  # of a CHAR: one byte


def _any_text(text: bytes) -> str:
    """Return UTF-8 as what it is, and anything else as the Latin-1 of older IOCs."""
    text = text.partition(b"\0")[0]
    try:
        return text.decode()
    except UnicodeDecodeError:
        return text.decode("latin-1")


class Once:
    """Leaves out what a server says again when a subscription is renewed.

    A server begins every subscription with the present value. That is known already where the
    connection was lost and the server was not started anew.
    """

    def __init__(self) -> None:
        self._last: Reading | None = None
        self._is_first = False

    def renewed(self) -> None:
        """Note that the next reading is the first one of a new subscription."""
        self._is_first = True

    def is_new(self, reading: Reading) -> bool:
        """Take note of a reading; tell whether it is to be handed on."""
        is_first, self._is_first = self._is_first, False
        last, self._last = self._last, reading
        if not is_first or last is None:
            return True
        stamps = (last.attributes["timestamp"], reading.attributes["timestamp"])
        return stamps[0] != stamps[1] or not same(last.value, reading.value)


OnEvent = Callable[[str, Reading], None]
OnChange = Callable[[str, bool], None]


class Receiver(Protocol):
    """A Channel Access client that reads. It is made with a `Form`."""

    async def open(self, names: Sequence[str]) -> None:
        """Begin to search for PVs; this waits for none of them."""

    async def follow(self, on_event: OnEvent, on_change: OnChange) -> None:
        """Hand on what the PVs say, each event once, over all reconnections; until cancelled.

        Parameters
        ----------
        on_event
            Gets a name and each of its readings, in order.
        on_change
            Gets a name and whether its server answers from now on.
        """

    async def close(self) -> None:
        """Let go of the PVs; also of those that `open` has not come to."""
