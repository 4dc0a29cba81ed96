"""What files of arrays look like to whoever reads them, whatever their format."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    #: Returns a new array of a shape and a type to read into.
    Empty = Callable[[tuple[int, ...], Any], np.ndarray[Any, Any]]

#: Behind the name of an array, the name of the one with the times of its frames.
TIMES = "_timestamp"
#: Attributes that tell how a file was written, not what is in it.
_OF_THE_FILE = frozenset(
    {"caspy_record", "program", "run_id", "start_time", "CLASS", "NAME", "DIMENSION_LIST"}
    | {"REFERENCE_LIST", "DIMENSION_LABELS", "_Netcdf4Dimid", "_Netcdf4Coordinates"}
    | {"_FillValue", "_ARRAY_DIMENSIONS"}
)


class ReadError(Exception):
    """A file, or something in it, cannot be read; the message names both."""


class Missing(ReadError):
    """There is no such file, or nothing of that name in it."""


class StoredArray(ABC):
    """One array of an open file.

    Attributes
    ----------
    shape
        Its shape; empty for a single value.
    dtype
        Type of its numbers, in native byte order; 'U' for texts.
    chunk
        How many steps of the first axis are read in one go anyway.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    chunk: int = 1

    @property
    @abstractmethod
    def attributes(self) -> Mapping[str, Any]:
        """What is stored about it, as it is stored."""

    @abstractmethod
    def read(self, index: tuple[int | slice, ...], empty: Empty) -> Any:
        """Return a part as a numpy array (0-d for one value), texts as one of `str`.

        Parameters
        ----------
        index
            One number or range (of positive step) for each axis; never out of bounds.
        empty
            Makes the array.
        """

    @property
    def is_text(self) -> bool:
        """Whether it holds texts."""
        return self.dtype.kind == "U"


class ArrayFile(ABC):
    """A file that is open for reading.

    Parameters
    ----------
    path
        Its name.

    Raises
    ------
    ReadError
        When it cannot be opened; `Missing` where it is not there.
    """

    #: What an array is called.
    noun = "array"

    def __init__(self, path: str) -> None:
        self.path = path

    @abstractmethod
    def look(self, name: str) -> StoredArray | None:
        """Return the array of that name, None where there is none."""

    @abstractmethod
    def keys(self, group: str) -> list[str] | None:
        """Return the sorted names in a group, None where there is no such group."""

    @abstractmethod
    def group_attributes(self, group: str) -> Mapping[str, Any]:
        """Return what is stored about a group."""

    @abstractmethod
    def close(self) -> None:
        """Close it."""

    def members(self, group: str) -> list[str] | None:
        """Return the names in a group that are read where nobody says which; None for no group."""
        names = self.keys(group)
        known = frozenset(names or ())
        if names is None:
            return None
        return [
            name for name in names if not (name.endswith(TIMES) and name[: -len(TIMES)] in known)
        ]

    def changed(self) -> bool:
        """Tell whether it may have changed since it was opened."""
        return True

    def array(self, name: str) -> StoredArray:
        """Return the array of that name.

        Raises
        ------
        Missing
            Where there is none; the message says what there is.
        """
        found = self.look(name)
        if found is None:
            raise Missing(f"{self.path}: no {self.noun} {name}: {self._there(name)}")
        return found

    def _there(self, name: str) -> str:
        if self.keys(name) is not None:
            return f"it is a group of {_listed(self.keys(name))}"
        group = name
        while group and self.keys(group or "/") is None:
            group = group.rpartition("/")[0]
        return f"{group or '/'} has {_listed(self.keys(group or '/'))}"


def _listed(names: Sequence[str] | None) -> str:
    names = names or ()
    more = ", ..." if len(names) > 12 else ""
    return ", ".join(names[:12]) + more if names else "nothing"


def native(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return a type of numbers in the byte order of this machine."""
    return dtype if dtype.isnative else dtype.newbyteorder("=")


def texts(values: Any) -> np.ndarray[Any, Any]:
    """Return texts, in whatever form a library has them, as an array of `str`."""
    found = np.asarray(values)
    if found.dtype.kind == "S":
        found = np.char.decode(found, "utf-8", "replace")
    elif found.dtype.kind in ("O", "T"):
        flat = [_text(one) for one in found.flat]
        found = np.array(flat, dtype=str).reshape(found.shape) if flat else found
    return found.astype(str)


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def described(known: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a file says of an array as attributes of a value, in plain types."""
    found = {}
    for key, value in known.items():
        if key in _OF_THE_FILE or (plain := plain_attribute(value)) is None:
            continue
        found[str(key)] = tuple(plain) if key == "enum_strings" else plain
    return found


def plain_attribute(value: Any) -> Any:
    """Return a value that may travel as an attribute, None for what may not."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, (str, bool, int, float)):
        return value
    try:
        array = np.asarray(value)
        if array.dtype.kind in "SOUT":
            array = texts(array)
    except (TypeError, ValueError):
        return None
    if array.dtype.kind not in "biufcU":
        return None
    return array.item() if array.size == 1 and array.ndim < 2 else array.tolist()
