"""Regions of interest."""

from __future__ import annotations

from types import EllipsisType
from typing import TYPE_CHECKING, Any

from camagick.errors import BadOption
from camagick.pertag import PerTag, as_array, prepare
from camagick.tools.expressions import Expression

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from camagick.data import Data

#: One end of a range, or an index: a number, nothing, or calculated anew each time.
Bound = int | Expression | None


class Processor(PerTag):
    r"""Cut a region out of every array (ROI), as numpy's square brackets do.

    Takes one argument per dimension; dimensions that are not mentioned are kept whole. A range
    reaches up to its end without including it: ``--slice 0:10 3:8`` makes 10 rows of 5 columns.
    A single number picks one element, and that dimension is gone from the result.

    Parameters
    ----------
    *dims : int or str, optional
        For each dimension, an index ``3`` (negative: from the end), a range ``3:8`` or
        ``3:8:2`` (any part may be left out), ``...`` for as many whole dimensions as are left,
        or ``None`` for a new dimension of length 1. Numbers may be expressions over tags of the
        context (see ``--demote``): ``x0-5:x0+5``. All may stand in a single argument with commas:
        ``0:10,3:8``.

    Examples
    --------
    Sum over the middle of an image::

        caspy --from-epics EXAMPLE:jedda --reshape 64 32 --slice 16:48 8:24 --npfun sum \
              --to-summary mode=table
    """

    def __init__(self, *dims: int | str | None) -> None:
        texts = [text for dim in dims for text in _split(dim)]
        try:
            self._dims = [_parse(text) for text in texts]
        except ValueError as error:
            raise BadOption(f"slice: {error}") from None
        if sum(dim is ... for dim in self._dims) > 1:
            raise BadOption("slice: only one '...' is possible")
        self._expressions = list(_expressions(self._dims))
        self._index = None if self._expressions else self._make_index({})
        self.asked = f"slice {' '.join(text or 'None' for text in texts)}".strip()

    async def startup(self) -> None:
        prepare(self.name, self._expressions)

    def treatment(self, context: Data) -> Callable[[Any], Any]:
        if not self._dims:
            return lambda value: value
        index = self._index if self._index is not None else self._make_index(context)
        return lambda value: as_array(value)[index]

    def _make_index(self, names: Any) -> tuple[Any, ...]:
        def number(bound: Bound) -> int | None:
            return bound.integer(names) if isinstance(bound, Expression) else bound

        return tuple(
            slice(*map(number, dim))
            if isinstance(dim, tuple)
            else (dim if isinstance(dim, EllipsisType) else number(dim))
            for dim in self._dims
        )


def _split(dim: Any) -> list[str]:
    r"""Return the text of each dimension in one argument: commas part them, outside of brackets."""
    if dim is None or dim is ...:
        return ["None" if dim is None else "..."]
    if isinstance(dim, (tuple, list)):  # what a command line may make out of `1,2`
        return _split(",".join("" if part is None else str(part) for part in dim)) if dim else []
    if isinstance(dim, slice):
        ends = (dim.start, dim.stop, dim.step)
        return [":".join("" if end is None else str(end) for end in ends)]
    if not isinstance(dim, str):
        if isinstance(dim, bool) or not hasattr(dim, "__index__"):
            raise BadOption(f"slice: {dim!r} is neither an integer nor a range such as 3:8")
        return [str(int(dim))]
    return [part.strip() for part in _cut(dim, ",")]


def _cut(text: str, separator: str) -> list[str]:
    parts, depth = [""], 0
    for char in text:
        depth += (char in "([{") - (char in ")]}")
        if char == separator and depth == 0:
            parts.append("")
        else:
            parts[-1] += char
    return parts


def _parse(text: str) -> Bound | EllipsisType | tuple[Bound, ...]:
    if text == "...":
        return ...
    bounds = _cut(text, ":")
    if len(bounds) == 1:
        return _bound(text)
    if len(bounds) > 3:
        raise ValueError(f"{text!r} has too many colons")
    parsed = tuple(_bound(bound) for bound in bounds)
    if len(parsed) == 3 and parsed[2] == 0:
        raise ValueError(f"{text!r} has a step of 0")
    return parsed


def _bound(text: str) -> Bound:
    text = text.strip()
    if text in {"", "None"}:
        return None
    try:
        return int(text)
    except ValueError:
        pass
    try:
        number = float(text)
    except ValueError:
        return Expression(text)
    raise ValueError(f"{number} is not an integer")


def _expressions(dims: list[Any]) -> Iterator[Expression]:
    for dim in dims:
        for bound in dim if isinstance(dim, tuple) else (dim,):
            if isinstance(bound, Expression):
                yield bound
