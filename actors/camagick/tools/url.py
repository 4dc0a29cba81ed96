"""Where an array goes: ``file#group/{tag}``, with values of the iteration in both halves."""

from __future__ import annotations

import string
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping


class BadUrl(ValueError):
    """A text is no such address, or cannot be filled in."""


class _Piece(NamedTuple):
    """Literal text, and the field behind it ('' where there is none)."""

    literal: str
    field: str
    spec: str
    conversion: str


class Template:
    """A text with ``{name}`` and ``{name:format}`` in it.

    Only names are looked up, never attributes or items: what fills in a file's name is data that
    came from a device.

    Parameters
    ----------
    text
        The text; ``{{`` and ``}}`` stand for braces.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        try:
            parts = list(string.Formatter().parse(text))
        except ValueError as error:
            raise BadUrl(f"{text!r}: {error}") from None
        self._pieces = [
            _Piece(literal, field or "", spec or "", conversion or "")
            for literal, field, spec, conversion in parts
        ]
        for (_, field, _, _), piece in zip(parts, self._pieces, strict=True):
            if field is not None and (not field.strip() or field.isdigit()):
                raise BadUrl(f"{text!r}: name what goes into the braces, for example {{tag}}")
            if "{" in piece.spec:
                raise BadUrl(f"{text!r}: braces inside of braces")

    @property
    def fields(self) -> frozenset[str]:
        """Names that have to be filled in."""
        return frozenset(piece.field for piece in self._pieces if piece.field)

    def fill(self, values: Mapping[str, Any]) -> str:
        """Return the text with every name replaced.

        Raises
        ------
        BadUrl
            When a name has no value, or a value does not suit its format.
        """
        return "".join(
            piece.literal + (self._value(piece, values) if piece.field else "")
            for piece in self._pieces
        )

    def _value(self, piece: _Piece, values: Mapping[str, Any]) -> str:
        if piece.field not in values:
            known = ", ".join(sorted(values)) or "nothing"
            raise BadUrl(
                f"{self.text!r}: no {piece.field!r} in the context (there is: {known});"
                f" --demote {piece.field} moves a value there"
            )
        value = plain(values[piece.field])
        if piece.spec[-1:] in tuple("dbxXo") and isinstance(value, float) and value.is_integer():
            value = int(value)  # a number from an EPICS record is often a double
        if piece.conversion:
            value = repr(value) if piece.conversion == "r" else str(value)
        try:
            return format(value, piece.spec)
        except (ValueError, TypeError) as error:
            raise BadUrl(f"{self.text!r}: {piece.field}={value!r}: {error}") from None


def plain(value: Any) -> Any:
    """Return the Python value of a number or a text, also where it comes as an array of one."""
    return value.item() if getattr(value, "size", 0) == 1 and hasattr(value, "item") else value


class ArrayUrl:
    """An address ``file#inner`` of arrays in files.

    Parameters
    ----------
    text
        Without '#', or with nothing behind it, the inner part is ``/{tag}``.

    Attributes
    ----------
    outer, inner
        Templates of the two halves.
    """

    def __init__(self, text: str) -> None:
        outer, _, inner = text.partition("#")
        if "#" in inner:
            raise BadUrl(f"{text!r} has more than one '#': write FILE#GROUP/{{tag}}")
        if not outer.strip():
            raise BadUrl(f"{text!r} names no file: write FILE#GROUP/{{tag}}")
        self.text = text
        self.outer = Template(outer)
        self.inner = Template(inner or "/{tag}")

    @property
    def fields(self) -> frozenset[str]:
        """Names that have to be filled in, in either half."""
        return self.outer.fields | self.inner.fields

    def at(self, values: Mapping[str, Any]) -> tuple[str, str]:
        """Return the name of the file, and the path inside of it, for these values.

        The path starts with '/'; it keeps a '/' at its end (the tag belongs behind it).
        """
        return self.outer.fill(values), inner_path(self.inner.fill(values))


def inner_path(text: str) -> str:
    """Return a path in a file in the one way it is written: ``/a/b``, or ``/a/`` for a group."""
    parts = [part for part in text.split("/") if part]
    return "/" + "/".join(parts) + ("/" if parts and text.endswith("/") else "")


def below(group: str, tag: str) -> str:
    """Return the path of `tag` in a group."""
    return inner_path(f"{group}/{tag}")
