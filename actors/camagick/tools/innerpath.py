"""What to read of a file: ``/entry/data[0:10]``, ``/entry/data.shape``, ``/entry.keys``, ..."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from camagick.tools.expressions import Expression
from camagick.tools.indices import parse, split

if TYPE_CHECKING:
    from collections.abc import Sequence

#: What is read of one axis: one place, or a range of places in rising order.
Axis = int | range

_INNER = re.compile(r"(?P<path>.*?)(?:\.(?P<what>shape|keys|attrs\[(?P<key>.+)\]))?", re.DOTALL)
_CUT = re.compile(r"(?P<path>[^\[\]]*)\[(?P<dims>[^\[\]]*)\]", re.DOTALL)


class BadInner(ValueError):
    """A text is no such path, or does not suit the array that it leads to."""


class Inner(NamedTuple):
    """A path in a file, and what to read there.

    Attributes
    ----------
    path
        Of an array or a group.
    what
        '' for the numbers, or 'shape', 'keys', 'attrs'.
    key
        Name of the attribute, with 'attrs'.
    dims
        What stands between square brackets, one an axis: a number, or start, stop and step.
    """

    path: str
    what: str = ""
    key: str = ""
    dims: tuple[Any, ...] = ()

    @property
    def name(self) -> str:
        """The last part of the path: a tag where none is given."""
        return self.path.rstrip("/").rpartition("/")[2]

    def axes(self, shape: Sequence[int]) -> list[Axis]:
        """Return what is read of each axis of an array.

        Ranges are cut to what is there, as Python does; numbers must be there.

        Raises
        ------
        BadInner
            When it has too few axes, or is too short.
        """
        dims = list(self.dims)
        if ... in dims:
            place = dims.index(...)
            dims[place : place + 1] = [(None, None)] * (len(shape) - len(dims) + 1)
        dims += [(None, None)] * (len(shape) - len(dims))
        if len(dims) > len(shape):
            raise BadInner(f"{len(dims)} indices for an array of shape {tuple(shape)}")
        return [_axis(*pair) for pair in zip(dims, shape, strict=True)]


def _axis(dim: Any, length: int) -> Axis:
    if isinstance(dim, tuple):
        return range(length)[slice(*dim)]
    if not -length <= dim < length:
        raise BadInner(f"index {dim} of an axis of length {length}")
    return int(dim % length)


def parse_inner(text: str) -> Inner:
    """Return what a text says is to be read.

    Raises
    ------
    BadInner
        When it says nothing.
    """
    match = _INNER.fullmatch(text.strip())
    path, what, key = (
        (match["path"], match["what"] or "", match["key"] or "") if match else ("",) * 3
    )
    if what.startswith("attrs"):
        return Inner(path, "attrs", key.strip("'\""))
    if what:
        return Inner(path, what)
    cut = _CUT.fullmatch(path)
    if cut is None:
        if "[" in path or "]" in path:
            raise BadInner(f"{text!r}: write PATH[0:10], PATH.attrs[NAME], PATH.shape or PATH.keys")
        return Inner(path)
    return Inner(cut["path"], dims=tuple(_dim(text, part) for part in split(cut["dims"])))


def _dim(text: str, part: str) -> Any:
    try:
        dim: Any = parse(part)
    except ValueError as error:
        raise BadInner(f"{text!r}: {error}") from None
    if dim is None:
        return (None, None)
    for bound in dim if isinstance(dim, tuple) else (dim,):
        if isinstance(bound, Expression):
            raise BadInner(f"{text!r}: {part!r} is neither a number nor a range such as 0:10")
    if isinstance(dim, tuple) and len(dim) == 3 and (dim[2] or 1) < 0:
        raise BadInner(f"{text!r}: a file is read forwards, write a step of 1 or more")
    return dim


def join(group: str, path: str) -> str:
    """Return a path in a group as an absolute one; an absolute path stays what it is."""
    whole = path if path.startswith("/") else f"{group}/{path}"
    return "/" + "/".join(part for part in whole.split("/") if part)
