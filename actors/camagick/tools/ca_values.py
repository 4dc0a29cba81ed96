"""Values between numpy and Channel Access: which type a PV gets, and what fits into it."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np

Kind = Literal["DOUBLE", "FLOAT", "LONG", "SHORT", "ENUM", "STRING", "CHAR"]

#: Bytes of a DBR_STRING that a client sees (the 40th is the terminating NUL).
STRING_BYTES = 39
#: What a PV of long text has room for at least.
TEXT_BYTES = 256

_DTYPES: dict[str, np.dtype[Any]] = {
    "DOUBLE": np.dtype(np.float64),
    "FLOAT": np.dtype(np.float32),
    "LONG": np.dtype(np.int32),
    "SHORT": np.dtype(np.int16),
    "ENUM": np.dtype(np.int16),
}


class Form(NamedTuple):
    """What a PV is made for.

    Attributes
    ----------
    kind
        Its Channel Access type.
    size
        The most elements (of CHAR: bytes) it can hold.
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


def form_of(value: Any) -> Form | None:
    """Return what a PV has to be to hold `value`, None for an empty array.

    Raises
    ------
    ValueError
        When Channel Access has nothing that holds such a value.
    """
    flat = plain(value)
    if isinstance(flat, str):
        size = len(flat.encode())
        return Form("STRING", 1) if size <= STRING_BYTES else Form("CHAR", max(size, TEXT_BYTES))
    if flat.dtype.kind not in "biufU":
        raise ValueError(f"Channel Access has no type for {_called(value, flat)}")
    if flat.size == 0:
        return None
    return Form(_kind(flat), flat.size)


def _kind(flat: np.ndarray[Any, Any]) -> Kind:
    dtype = flat.dtype
    if dtype.kind == "U":
        return "STRING"
    if dtype.kind == "f":
        return "FLOAT" if dtype.itemsize <= 4 else "DOUBLE"
    if dtype.kind == "b":
        return "ENUM" if flat.size == 1 else "SHORT"
    if dtype.itemsize == 1 or (dtype.kind == "i" and dtype.itemsize == 2):
        return "SHORT"
    return "LONG" if _in_range(flat, np.dtype(np.int32)) else "DOUBLE"


def _in_range(flat: np.ndarray[Any, Any], target: np.dtype[Any]) -> bool:
    if np.can_cast(flat.dtype, target) or flat.size == 0:
        return True
    limits = np.iinfo(target)
    return bool(int(flat.min()) >= limits.min and int(flat.max()) <= limits.max)


def fit(value: Any, form: Form) -> Any:
    """Return `value` as a PV of that form takes it: an own copy, flat, of its type.

    Raises
    ------
    ValueError
        When it does not fit without loss.
    """
    flat = plain(value)
    if form.kind in ("STRING", "CHAR"):
        return _fit_text(value, flat, form)
    if isinstance(flat, str) or flat.dtype.kind not in "biuf":
        raise ValueError(f"the PV holds numbers ({form.kind}), not {_called(value, flat)}")
    if flat.size > form.size:
        raise ValueError(f"{flat.size} elements are more than the {form.size} the PV began with")
    if form.size == 1 and flat.size == 0:
        raise ValueError("the PV is a scalar, the value is empty")
    target = _DTYPES[form.kind]
    if target.kind == "i" and (flat.dtype.kind == "f" or not _in_range(flat, target)):
        raise ValueError(f"{_called(value, flat)} does not fit a PV that began as {form.kind}")
    copy = flat.astype(target, copy=True)
    return copy[0].item() if form.size == 1 else copy


def _fit_text(value: Any, flat: Any, form: Form) -> Any:
    if not isinstance(flat, str) and form.kind == "STRING" and flat.dtype.kind == "U":
        if flat.size > form.size:
            raise ValueError(f"{flat.size} texts are more than the {form.size} the PV began with")
        texts = [str(text) for text in flat]
    elif isinstance(flat, str):
        texts = [flat]
    else:
        raise ValueError(f"the PV holds text, not {_called(value, flat)}")
    room = STRING_BYTES if form.kind == "STRING" else form.size
    longest = max((len(text.encode()) for text in texts), default=0)
    if longest > room:
        raise ValueError(f"a text of {longest} bytes is longer than the {room} the PV has room for")
    return texts[0] if form.size == 1 or form.kind == "CHAR" else texts


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
