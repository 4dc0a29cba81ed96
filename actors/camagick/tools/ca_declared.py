"""What a user declares a PV to be: ``float:64x32``, ``off|on|auto``, ``zeros:2048``, ``"text"``."""

from __future__ import annotations

import math
import re
from typing import Any, NamedTuple

import numpy as np

from camagick.tools.ca_values import (
    DTYPES,
    ENUM_BYTES,
    ENUM_STATES,
    STRING_BYTES,
    TEXT_BYTES,
    Form,
    Kind,
    native,
)

#: By the names of types: how the PV holds them, and the dtype they have in the pipe.
_TYPES: dict[str, tuple[Kind, str]] = {
    "float": ("DOUBLE", "float64"), "double": ("DOUBLE", "float64"),
    "float64": ("DOUBLE", "float64"), "float32": ("FLOAT", "float32"),
    "int": ("LONG", "int64"), "long": ("LONG", "int64"), "short": ("SHORT", "int16"),
    "int8": ("SHORT", "int8"), "int16": ("SHORT", "int16"), "int32": ("LONG", "int32"),
    "int64": ("LONG", "int64"), "uint8": ("CHAR", "uint8"), "char": ("CHAR", "uint8"),
    "uint16": ("LONG", "uint16"), "uint32": ("DOUBLE", "uint32"),
    "string": ("STRING", "str"), "text": ("TEXT", "str"),
}  # fmt: skip
#: Names of the types, for a message.
NAMES = ", ".join(name for name in _TYPES if not name[-1].isdigit()) + ", int8 to float64"
_SHAPED = re.compile(r"(?P<type>[a-z]+\d*)(?::(?P<shape>\d+(?:x\d+)*))?")
_MOST = 1 << 25


class Declared(NamedTuple):
    """A PV as it was declared.

    Attributes
    ----------
    form
        What the PV is made for.
    initial
        Its value at first, as the PV holds it.
    dtype
        Of its values in the pipe; 'str' for text.
    shape
        Of its values in the pipe, () for scalars and text.
    labels
        Of an enum.
    """

    form: Form
    initial: Any
    dtype: str
    shape: tuple[int, ...] = ()
    labels: tuple[str, ...] = ()

    def wide(self, value: Any) -> Any:
        """Return what the PV holds as it goes into the pipe: of its dtype and shape."""
        if isinstance(value, str) or self.dtype == "str":
            return value if isinstance(value, str) else np.asarray(value, dtype=np.str_)
        array = np.asarray(value).astype(self.dtype)
        if len(self.shape) > 1:
            return array.reshape(self.shape)
        return array if self.shape else array.reshape(-1)[0]

    @property
    def whole(self) -> int:
        """How many elements a client has to write: all of an image; 0 for any number."""
        return self.form.size if len(self.shape) > 1 else 0


def declared(text: str, most: int = 0) -> Declared | None:
    """Return what a type such as ``float``, ``float:64x32`` or ``off|on`` declares.

    Parameters
    ----------
    text
        The type.
    most
        How many elements an array has room for, where that is more than its size.

    Returns
    -------
    Declared or None
        None where it is no type.

    Raises
    ------
    ValueError
        When it is a type that cannot be served.
    """
    if "|" in text:
        return _enum(text)
    match = _SHAPED.fullmatch(text)
    if match is None or match["type"] not in _TYPES:
        return None
    kind, dtype = _TYPES[match["type"]]
    shape = _shape(match["shape"])
    if kind == "TEXT":
        room = math.prod(shape) if shape else TEXT_BYTES
        return Declared(Form(kind, max(room, most, 2)), "", dtype)
    if kind == "STRING":
        count = math.prod(shape)
        return Declared(Form(kind, count), "" if not shape else [""] * count, dtype, shape)
    if not shape:
        kind = "SHORT" if kind == "CHAR" else kind
        return Declared(Form(kind, 1), DTYPES[kind].type(0).item(), dtype)
    size = max(math.prod(shape), most)
    return Declared(Form(kind, size), np.zeros(math.prod(shape), DTYPES[kind]), dtype, shape)


def with_initial(text: str) -> Declared:
    """Return what an initial value declares: ``0``, ``0.0``, ``zeros:2048``, ``off|on``, text.

    Raises
    ------
    ValueError
        When it cannot be served.
    """
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        return _text(text[1:-1])
    filled, _, shape = text.partition(":")
    if filled in ("zeros", "ones") and shape:
        found = declared(f"float:{shape}")
        if found is not None:
            return found._replace(initial=found.initial + (filled == "ones"))
    if "|" in text or ":" in text:
        found = declared(text)
        if found is not None:
            return found
    for kind, form, dtype in ((int, "LONG", "int64"), (float, "DOUBLE", "float64")):
        try:
            value = kind(text)
        except ValueError:
            continue
        if kind is int and not -(2**31) <= value < 2**31:
            continue  # as a float
        return Declared(Form(form, 1), value, dtype)  # type: ignore[arg-type]
    return _text(text)


def _text(text: str) -> Declared:
    size = len(text.encode())
    if size <= STRING_BYTES:
        return Declared(Form("STRING", 1), text, "str")
    return Declared(Form("TEXT", max(size, TEXT_BYTES)), text, "str")


def _enum(text: str) -> Declared:
    labels = tuple(label.strip() for label in text.split("|"))
    if len(labels) > ENUM_STATES:
        raise ValueError(f"{text}: {len(labels)} states; Channel Access has {ENUM_STATES}")
    for label in labels:
        if not 0 < len(label.encode()) <= ENUM_BYTES:
            raise ValueError(f"{text}: the state {label!r} needs 1 to {ENUM_BYTES} bytes")
    if len(set(labels)) < len(labels):
        raise ValueError(f"{text}: a state comes twice")
    return Declared(Form("ENUM", 1), 0, "int64", (), labels)


def _shape(text: str | None) -> tuple[int, ...]:
    shape = tuple(int(part) for part in text.split("x")) if text else ()
    if not all(shape) or math.prod(shape) > _MOST:
        raise ValueError(f"a shape of {text}: 1 to {_MOST} elements")
    return shape


def outgoing(value: Any) -> Any:
    """Return an initial value as a processor hands it to the server."""
    return value if isinstance(value, str | list) else native(value)
