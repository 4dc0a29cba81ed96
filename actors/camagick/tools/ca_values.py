"""Values between numpy and Channel Access: which type a PV gets, and what fits into it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: TEXT is long text in an array of characters, CHAR an array of numbers of 8 bits.
Kind = Literal["DOUBLE", "FLOAT", "LONG", "SHORT", "CHAR", "ENUM", "STRING", "TEXT"]

#: Bytes of a DBR_STRING that a client sees (the 40th is the terminating NUL).
STRING_BYTES = 39
#: What a PV of long text has room for at least.
TEXT_BYTES = 256
#: Channel Access knows so many states of an enum, with so many bytes each.
ENUM_STATES, ENUM_BYTES = 16, 25

DTYPES: dict[str, np.dtype[Any]] = {
    "DOUBLE": np.dtype(np.float64),
    "FLOAT": np.dtype(np.float32),
    "LONG": np.dtype(np.int32),
    "SHORT": np.dtype(np.int16),
    "CHAR": np.dtype(np.uint8),
    "ENUM": np.dtype(np.int16),
}


class Form(NamedTuple):
    """What a PV is made for.

    Attributes
    ----------
    kind
        Its Channel Access type.
    size
        The most elements (of TEXT: bytes) it can hold.
    """

    kind: Kind
    size: int


def plain(value: Any) -> Any:
    """Return text as str, and everything else as a flat numpy array."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, str):
        return str(value)
    array = np.asarray(value)
    if array.dtype.kind == "S":
        array = np.char.decode(array, "utf-8", "replace")
    if array.dtype.kind == "U" and array.ndim == 0:
        return str(array[()])
    return array.reshape(-1)


def form_of(value: Any, attributes: Mapping[str, Any] | None = None, most: int = 0) -> Form | None:
    """Return what a PV has to be to hold `value`, None for an empty array.

    Parameters
    ----------
    value
        The first value.
    attributes
        What is known about it: a whole number with ``enum_strings`` is an enum.
    most
        How many elements (of long text: bytes) an array may have later on. With 0, the first
        value's size is the limit, and an empty array tells nothing.

    Raises
    ------
    ValueError
        When Channel Access has nothing that holds such a value.
    """
    flat = plain(value)
    if isinstance(flat, str):
        size = len(flat.encode())
        if size <= STRING_BYTES:
            return Form("STRING", 1)
        return Form("TEXT", max(size, TEXT_BYTES, most))
    if flat.dtype.kind not in "biufU":
        raise ValueError(f"Channel Access has no type for {_called(value, flat)}")
    is_array = np.ndim(value) > 0
    if flat.size == 0 and not most:
        return None
    if flat.size == 1 and flat.dtype.kind in "iu" and labels_of(attributes or {}):
        return Form("ENUM", 1)
    return Form(_kind(flat, is_array), max(flat.size, most) if is_array else 1)


def labels_of(attributes: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the labels of an enum, () where there are none or Channel Access cannot hold them."""
    given = attributes.get("enum_strings")
    if not isinstance(given, list | tuple) or not all(isinstance(text, str) for text in given):
        return ()
    if len(given) > ENUM_STATES or any(len(text.encode()) > ENUM_BYTES for text in given):
        return ()
    return tuple(given)


def _kind(flat: np.ndarray[Any, Any], is_array: bool) -> Kind:
    dtype = flat.dtype
    if dtype.kind == "U":
        return "STRING"
    if dtype.kind == "f":
        return "FLOAT" if dtype.itemsize <= 4 else "DOUBLE"
    if dtype.kind == "b":
        return "SHORT" if flat.size != 1 else "ENUM"
    if dtype.itemsize == 1:
        return "CHAR" if is_array and dtype.kind == "u" else "SHORT"
    if dtype.kind == "i" and dtype.itemsize == 2:
        return "SHORT"
    return "LONG" if _in_range(flat, np.dtype(np.int32)) else "DOUBLE"


def _in_range(flat: np.ndarray[Any, Any], target: np.dtype[Any]) -> bool:
    if np.can_cast(flat.dtype, target) or flat.size == 0:
        return True
    limits = np.iinfo(target)
    return bool(int(flat.min()) >= limits.min and int(flat.max()) <= limits.max)


def fit(value: Any, form: Form, labels: Sequence[str] = ()) -> Any:
    """Return `value` as a PV of that form takes it: an own copy, flat, of its type.

    Parameters
    ----------
    value
        What is to be published.
    form
        Of the PV.
    labels
        Of an enum, which takes one of them as well as its number.

    Raises
    ------
    ValueError
        When it does not fit without loss.
    """
    flat = plain(value)
    if form.kind in ("STRING", "TEXT"):
        return _fit_text(value, flat, form)
    if form.kind == "ENUM" and isinstance(flat, str) and flat in labels:
        return list(labels).index(flat)
    if isinstance(flat, str) or flat.dtype.kind not in "biuf":
        raise ValueError(f"the PV holds numbers ({form.kind}), not {_called(value, flat)}")
    if flat.size > form.size:
        raise ValueError(f"{flat.size} elements are more than the {form.size} the PV has room for")
    if form.size == 1 and flat.size == 0:
        raise ValueError("the PV is a scalar, the value is empty")
    target = DTYPES[form.kind]
    if target.kind in "iu" and (flat.dtype.kind == "f" or not _in_range(flat, target)):
        raise ValueError(f"{_called(value, flat)} does not fit a PV that is {form.kind}")
    with np.errstate(over="ignore"):  # what is too large for a FLOAT is infinite there
        copy = flat.astype(target, copy=True)
    if form.kind == "ENUM" and not 0 <= copy[0] < ENUM_STATES:
        raise ValueError(f"{copy[0]} is no state of an enum: 0 to {ENUM_STATES - 1}")
    return copy[0].item() if form.size == 1 else copy


def _fit_text(value: Any, flat: Any, form: Form) -> Any:
    if not isinstance(flat, str) and form.kind == "STRING" and flat.dtype.kind == "U":
        if flat.size > form.size:
            raise ValueError(f"{flat.size} texts are more than the {form.size} the PV has room for")
        texts = [str(text) for text in flat]
    elif isinstance(flat, str):
        texts = [flat]
    else:
        raise ValueError(f"the PV holds text, not {_called(value, flat)}")
    room = STRING_BYTES if form.kind == "STRING" else form.size
    longest = max((len(text.encode()) for text in texts), default=0)
    if longest > room:
        raise ValueError(f"a text of {longest} bytes is longer than the {room} the PV has room for")
    return texts[0] if form.size == 1 or form.kind == "TEXT" else texts


def _called(value: Any, flat: Any) -> str:
    if isinstance(flat, str):
        return "text"
    if flat.dtype.kind == "O":
        return f"a {type(value).__name__}"
    return f"{flat.dtype} values" if flat.size != 1 else f"a value of {flat.dtype}"


def native(value: Any) -> Any:
    """Return what a PV holds as this program hands it on: text, numpy scalars, native arrays."""
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.partition(b"\0")[0].decode("utf-8", "replace")
    array = np.asarray(value)
    array = array.astype(array.dtype.newbyteorder("="), copy=True)
    return array[()] if array.ndim == 0 else array


def same(one: Any, other: Any) -> bool:
    """Tell whether two values are equal (NaN equals NaN)."""
    a, b = np.asarray(one), np.asarray(other)
    if a.shape != b.shape or a.dtype.kind != b.dtype.kind:
        return False
    return bool(np.array_equal(a, b, equal_nan=a.dtype.kind in "fc"))
