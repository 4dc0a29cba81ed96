"""From the values of an iteration to bytes: columns of text, JSON lines, frames, npy."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Content = bytes | memoryview


class Unwritable(ValueError):
    """A value cannot be said in a format."""


class Encoder(Protocol):
    """What one format is."""

    def encode(self, data: Mapping[str, Any]) -> Content:
        """Return the bytes of one iteration.

        Raises
        ------
        Unwritable
            For what cannot be said so.
        """

    def begin(self, data: Mapping[str, Any]) -> bytes:
        """Return what stands before the first iteration."""


class _Plain:
    """A format that begins with nothing."""

    def begin(self, data: Mapping[str, Any]) -> bytes:
        return b""


class Columns(_Plain):
    """One line, a column for each number or text; arrays take one for each element.

    Parameters
    ----------
    sep
        What stands between them.
    header
        Whether their names stand in the first line.
    """

    def __init__(self, sep: str, *, header: bool) -> None:
        self._sep, self._header = sep, header
        self._tags: list[str] | None = None

    def begin(self, data: Mapping[str, Any]) -> bytes:
        if not self._header:
            return b""
        names: list[str] = []
        for tag, value in data.items():
            size = np.size(value)
            names += [tag] if size == 1 else [f"{tag}[{place}]" for place in range(size)]
        return f"# {self._sep.join(names)}\n".encode()

    def encode(self, data: Mapping[str, Any]) -> Content:
        if self._tags is None:
            self._tags = list(data)
        elif list(data) != self._tags:
            raise Unwritable(
                f"the columns were {' '.join(self._tags)}, and are {' '.join(data)} now:"
                " name those to write, or use format=json"
            )
        fields = [self._field(tag, one) for tag, value in data.items() for one in _flat(value)]
        return (self._sep.join(fields) + "\n").encode()

    def _field(self, tag: str, value: Any) -> str:
        text = str(value)
        if isinstance(value, (bool, np.bool_)):
            return str(int(value))
        if "\n" in text or "\r" in text:
            raise Unwritable(f"{tag} is a text of several lines: use format=json")
        if isinstance(value, str) and (not text or '"' in text or self._parts(text)):
            return '"' + text.replace('"', '""') + '"'
        return text

    def _parts(self, text: str) -> bool:
        """Tell whether a text would be taken for several columns, or a comment."""
        return self._sep in text or text != "".join(text.split()) or text.startswith("#")


class JsonLines(_Plain):
    """One object in a line: tags are keys, arrays lists."""

    def encode(self, data: Mapping[str, Any]) -> Content:
        try:
            return (json.dumps(data, default=_plain, ensure_ascii=False) + "\n").encode()
        except (TypeError, ValueError) as error:
            raise Unwritable(f"cannot be said in JSON: {error}") from None


class Lines(_Plain):
    """One value as text."""

    def encode(self, data: Mapping[str, Any]) -> Content:
        tag, value = _single(data, "lines")
        if np.ndim(value):
            raise Unwritable(f"{tag} is an array: format=text writes its elements")
        text = str(value)
        if "\n" in text:
            raise Unwritable(f"{tag} is a text of several lines")
        return f"{text}\n".encode()


class Raw(_Plain):
    """The bytes of one array in C order, in the machine's byte order."""

    def encode(self, data: Mapping[str, Any]) -> Content:
        tag, value = _single(data, "raw")
        array = _numbers(tag, value)
        return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


class Npy(_Plain):
    """One array as `numpy.save` writes it."""

    def encode(self, data: Mapping[str, Any]) -> Content:
        tag, value = _single(data, "npy")
        stream = io.BytesIO()
        np.lib.format.write_array(stream, _numbers(tag, value), allow_pickle=False)
        return stream.getvalue()


def make_encoder(form: str, sep: str, *, header: bool) -> Encoder:
    """Return what writes a format."""
    if form == "text":
        return Columns(sep, header=header)
    makers: dict[str, Callable[[], Encoder]] = {
        "json": JsonLines, "lines": Lines, "raw": Raw, "npy": Npy,
    }  # fmt: skip
    return makers[form]()


def chosen(data: Mapping[str, Any], tags: Sequence[str]) -> Mapping[str, Any]:
    """Return the tags that were named, in that order; all where none were.

    Raises
    ------
    Unwritable
        Where one is missing.
    """
    if not tags:
        return data
    missing = [tag for tag in tags if tag not in data]
    if missing:
        raise Unwritable(f"{missing[0]} is not there: there is {', '.join(data)}")
    return {tag: data[tag] for tag in tags}


def _single(data: Mapping[str, Any], form: str) -> tuple[str, Any]:
    if len(data) != 1:
        raise Unwritable(f"format={form} takes one tag, not {', '.join(data)}: name it")
    return next(iter(data.items()))


def _numbers(tag: str, value: Any) -> np.ndarray:
    array = np.asarray(value)
    if array.dtype.kind not in "biufc":
        raise Unwritable(f"{tag} is no array of numbers")
    return array


def _flat(value: Any) -> Sequence[Any]:
    if not isinstance(value, np.ndarray):
        return list(value) if isinstance(value, (list, tuple)) else [value]
    # As numpy prints them: the shortest text that is this number in its own precision.
    return list(value.reshape(-1)) if value.dtype.kind == "f" else value.reshape(-1).tolist()


def _plain(value: Any) -> Any:
    """Return what JSON knows for what it does not."""
    if isinstance(value, (np.ndarray, np.generic)):
        if value.dtype.kind not in "biufUS":
            raise TypeError(f"values of {value.dtype}")
        return value.tolist()
    raise TypeError(f"values of type {type(value).__name__}")
