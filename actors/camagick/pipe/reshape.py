"""Other dimensions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from camagick.errors import BadOption
from camagick.pertag import PerTag, as_array, prepare
from camagick.tools.expressions import Expression

if TYPE_CHECKING:
    from collections.abc import Callable

    from camagick.data import Data


class Processor(PerTag):
    """Arrange the elements of every array in other dimensions, row by row.

    Takes as many arguments as the result shall have dimensions; their product must be the number
    of elements.

    Parameters
    ----------
    *dims : int or str
        Length of each dimension. One of them may be -1: it is then calculated from the others;
        ``--reshape -1`` alone makes a flat array. An expression over tags of the context (see
        ``--demote``) will do too: ``--reshape rows 2*columns``.
    shape : int or tuple of int or str, optional
        All dimensions in one argument instead: ``shape=64,32``.

    Examples
    --------
    2048 numbers as an image of 64 rows::

        caspy --from-epics EXAMPLE:jedda --reshape 64 32 --to-plot
    """

    def __init__(
        self,
        *dims: int | str | tuple[int | str, ...],
        shape: int | str | tuple[int | str, ...] | None = None,
    ) -> None:
        if dims and shape is not None:
            raise BadOption("reshape: give the dimensions one by one or as shape=, not both")
        given = dims if shape is None else (shape,)
        parts = [part for dim in given for part in _split(dim)]
        if not parts:
            raise BadOption("reshape: needs at least one dimension, such as --reshape 64 32")
        self._dims = [_dimension(part) for part in parts]
        numbers = [dim for dim in self._dims if isinstance(dim, int)]
        if numbers.count(-1) > 1 or any(number < -1 for number in numbers):
            raise BadOption(
                f"reshape: {' '.join(map(str, parts))}: a dimension is 0 or more, and one may be -1"
            )
        self._shape = tuple(numbers) if len(numbers) == len(self._dims) else None
        self.asked = f"reshape {' '.join(map(str, parts))}"

    async def startup(self) -> None:
        prepare(self.name, (dim for dim in self._dims if isinstance(dim, Expression)))

    def treatment(self, context: Data) -> Callable[[Any], Any]:
        shape = self._shape
        if shape is None:
            shape = tuple(
                dim.integer(context) if isinstance(dim, Expression) else dim for dim in self._dims
            )
        return lambda value: as_array(value).reshape(shape)


def _split(dim: Any) -> list[Any]:
    """Take apart what holds several dimensions: a tuple, or text such as ``(3, 4)``."""
    if isinstance(dim, (tuple, list)):
        return [part for item in dim for part in _split(item)]
    if isinstance(dim, str):
        text = dim.strip()
        if text.startswith("(") and text.endswith(")") and "," in text:
            text = text[1:-1]
        return [part for part in (piece.strip() for piece in text.split(",")) if part]
    return [dim]


def _dimension(part: Any) -> int | Expression:
    if isinstance(part, bool) or not (isinstance(part, str) or hasattr(part, "__index__")):
        raise BadOption(f"reshape: {part!r} is not the length of a dimension")
    try:
        return int(part)
    except ValueError:
        pass
    try:
        return Expression(part)
    except ValueError as error:
        raise BadOption(f"reshape: {error}") from None
