"""Regions of interest."""

from __future__ import annotations

from types import EllipsisType
from typing import TYPE_CHECKING, Any

from camagick.errors import BadOption
from camagick.pertag import PerTag, as_array, prepare
from camagick.tools.expressions import Expression
from camagick.tools.indices import Bound, expressions, parse, split

if TYPE_CHECKING:
    from collections.abc import Callable

    from camagick.data import Data


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
        try:
            texts = [text for dim in dims for text in split(dim)]
            self._dims = [parse(text) for text in texts]
        except ValueError as error:
            raise BadOption(f"slice: {error}") from None
        if sum(dim is ... for dim in self._dims) > 1:
            raise BadOption("slice: only one '...' is possible")
        self._expressions = list(expressions(self._dims))
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
