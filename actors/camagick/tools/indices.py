"""What stands between the square brackets of numpy, as text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from camagick.tools.expressions import Expression

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import EllipsisType

#: One end of a range, or an index: a number, nothing, or calculated anew each time.
Bound = int | Expression | None


def split(dim: Any) -> list[str]:
    """Return the text of each dimension in one argument: commas part them, outside of brackets.

    Raises
    ------
    ValueError
        When it is neither text nor an integer.
    """
    if dim is None or dim is ...:
        return ["None" if dim is None else "..."]
    if isinstance(dim, (tuple, list)):  # what a command line may make out of `1,2`
        return split(",".join("" if part is None else str(part) for part in dim)) if dim else []
    if isinstance(dim, slice):
        ends = (dim.start, dim.stop, dim.step)
        return [":".join("" if end is None else str(end) for end in ends)]
    if not isinstance(dim, str):
        if isinstance(dim, bool) or not hasattr(dim, "__index__"):
            raise ValueError(f"{dim!r} is neither an integer nor a range such as 3:8")
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


def parse(text: str) -> Bound | EllipsisType | tuple[Bound, ...]:
    """Return what the text of one dimension means: an index, or a tuple for a range.

    Raises
    ------
    ValueError
        When it means nothing.
    """
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


def expressions(dims: list[Any]) -> Iterator[Expression]:
    """Yield the expressions in parsed dimensions."""
    for dim in dims:
        for bound in dim if isinstance(dim, tuple) else (dim,):
            if isinstance(bound, Expression):
                yield bound
