"""What a client writes, as the PV takes it; or why it does not. Knows no network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from camagick.tools.ca_values import DTYPES, Form, fit

if TYPE_CHECKING:
    from collections.abc import Sequence


def incoming(
    raw: Any, form: Form, labels: Sequence[str] = (), dtype: str = "", whole: int = 0
) -> Any:
    """Return what a client has written as a PV takes it.

    Parameters
    ----------
    raw
        Strings as a sequence of bytes, anything else as an array of numbers; characters are
        numbers of 8 bits.
    form
        Of the PV.
    labels
        Of an enum.
    dtype
        Of the values in the pipe; whole numbers have to be in its range, too.
    whole
        How many elements it has to be; 0 for any number.

    Raises
    ------
    ValueError
        When it is refused.
    """
    values = raw if isinstance(raw, np.ndarray) else _texts(raw)
    if form.kind in ("STRING", "TEXT"):
        return _text(values, form)
    if form.kind == "ENUM":
        return _state(values, form, labels)
    array = values if isinstance(values, np.ndarray) else _numbers(values)
    if whole and array.size != whole:
        raise ValueError(f"{array.size} elements: the image has {whole}")
    target = DTYPES[form.kind]
    narrow = np.dtype(dtype) if dtype and dtype != "str" else target
    for one in (target, narrow):
        if one.kind in "iu":
            array = _whole_numbers(array, one)
    with np.errstate(over="ignore"):  # what is too large for a FLOAT is infinite there
        return fit(array.astype(target), form)


def _texts(raw: Any) -> list[str]:
    return [bytes(text).partition(b"\0")[0].decode("utf-8", "replace") for text in raw]


def _text(values: Any, form: Form) -> Any:
    if isinstance(values, np.ndarray):
        if values.dtype.itemsize == 1:
            text = values.tobytes().partition(b"\0")[0].decode("utf-8", "replace")
            return fit(text, form)
        values = [str(number) for number in values.tolist()]
    if form.size > 1 and form.kind == "STRING":
        return fit(np.array(values, dtype=np.str_), form)
    if len(values) != 1:
        raise ValueError(f"{len(values)} texts for a PV of one")
    return fit(values[0], form)


def _state(values: Any, form: Form, labels: Sequence[str]) -> int:
    if len(values) != 1:
        raise ValueError(f"{len(values)} values for a PV of one")
    value = values[0]
    if isinstance(value, str):
        if value in labels:
            return list(labels).index(value)
        value = _numbers(values)[0]
    if value != int(value) or not 0 <= value < len(labels):
        raise ValueError(f"{value} is none of {', '.join(labels)}")
    return int(value)


def _numbers(texts: list[str]) -> np.ndarray[Any, Any]:
    found = []
    for text in texts:
        try:
            found.append(int(text, 0))
        except ValueError:
            try:
                found.append(float(text))  # type: ignore[arg-type] # a list of both is an array
            except ValueError:
                raise ValueError(f"{text!r} is no number") from None
    return np.array(found, dtype=np.float64 if _is_wide(found) else None)


def _is_wide(numbers: list[Any]) -> bool:
    return not numbers or any(not -(2**63) <= number < 2**63 for number in numbers)


def _whole_numbers(array: np.ndarray[Any, Any], target: np.dtype[Any]) -> np.ndarray[Any, Any]:
    if array.dtype.kind == "f":
        if not np.isfinite(array).all():
            raise ValueError("NaN or infinity for a PV of whole numbers")
        array = np.trunc(array)
    limits = np.iinfo(target)
    if array.size and (array.min() < limits.min or array.max() > limits.max):
        raise ValueError(f"a value is outside of {limits.min} to {limits.max} ({target})")
    return array
