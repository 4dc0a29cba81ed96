"""What all messages of one sort have in common, checked once: see `camagick_broker.values`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgpack
import numpy as np

from camagick_broker.arrays import check_text, checked_dtype, checked_shape, view
from camagick_broker.forms import (
    BUFFER,
    ELSEWHERE,
    INLINE,
    LENGTH,
    LOOSE,
    SCALARS,
    SLOT,
    SLOT_CODE,
    numbers,
    padding,
)  # fmt: skip
from camagick_broker.loose import LooseReader, SlotReader
from camagick_broker.mark import Mark


class Body(NamedTuple):
    """What a data message carries.

    Attributes
    ----------
    lineage
        Which attempt of which actor, by its number, this descends from; only what is not 1.
    context, data
        The values with their marks, by tag.
    """

    lineage: Mapping[int, int]
    context: dict[str, Mark]
    data: dict[str, Mark]


class Template:
    """Reads the bodies of one sort.

    Parameters
    ----------
    packed
        The template, as it stands in their beginning.

    Raises
    ------
    ValueError, TypeError, struct.error, msgpack.UnpackException
        For what is no template.
    """

    def __init__(self, packed: bytes) -> None:
        content = msgpack.unpackb(packed, strict_map_key=False)
        if not isinstance(content, list) or len(content) != 3:
            raise ValueError("not [lineage, context, data]")
        lineage, context, data = content
        if not (isinstance(lineage, dict) and isinstance(context, list) and isinstance(data, list)):
            raise TypeError("lineage is no map, or context or data is no list")
        if not all(type(part) is int for pair in lineage.items() for part in pair):
            raise TypeError("lineage is not from number to number")
        self._lineage: Mapping[int, int] = lineage
        self._holes = holes = _Holes()
        self._context = [_row(item, holes) for item in context]
        self._data = [_row(item, holes) for item in data]
        self._begin = LENGTH.size + len(packed)
        self._begin += padding(self._begin)
        packing = numbers("".join(holes.codes), arrays=bool(holes.inline))
        self._unpack, self._makes = packing.unpack_from, holes.makes
        self._arrays, self._end = holes.arrays_from(self._begin + packing.size)
        self._is_plain = not (holes.texts or holes.buffers or holes.slots or holes.loose)

    def read(self, body: bytes, buffers: Sequence[Any], slots: SlotReader | None) -> Body:
        """Read a body that begins with this template; arrays become read-only views into it.

        Raises
        ------
        ValueError, TypeError, OverflowError, struct.error, msgpack.UnpackException
            For one that does not fit.
        """
        found = list(self._unpack(body, self._begin))
        for at, make in self._makes:
            found[at] = make(found[at])
        for at, shape, dtype, offset in self._arrays:
            found[at] = np.ndarray(shape, dtype, body, offset)
        if not self._is_plain:
            self._read_more(found, body, buffers, slots)
        elif len(body) != self._end or buffers:
            raise ValueError(f"{len(body)} bytes and {len(buffers)} buffers, not {self._end} and 0")
        return Body(self._lineage, _marks(self._context, found), _marks(self._data, found))

    def _read_more(
        self, found: list[Any], body: bytes, buffers: Sequence[Any], slots: SlotReader | None
    ) -> None:
        holes = self._holes
        if len(body) < self._end or (len(body) > self._end and not holes.loose):
            raise ValueError(f"{len(body)} bytes, not {self._end}")
        if len(buffers) < len(holes.buffers):
            raise ValueError(f"{len(buffers)} buffers, {len(holes.buffers)} are spoken of")
        for at in holes.texts:
            check_text(found[at])
        for (at, dtype, shape), buffer in zip(holes.buffers, buffers, strict=False):
            found[at] = view(buffer, dtype, shape)
        for at, dtype, shape, strides in holes.slots:
            if slots is None:
                raise ValueError("shared memory that is not known here")
            found[at] = slots([*found[at : at + 3], dtype, list(shape), list(strides)])
        values = LooseReader(buffers, slots, len(holes.buffers))(
            body[self._end :], len(holes.loose)
        )
        for at, value in zip(holes.loose, values, strict=True):
            found[at] = value


class _Holes:
    """What stands behind a template, in the order in which its entries speak of it.

    Each has its place in what is read, which begins with one item of `struct` for each.

    Attributes
    ----------
    codes
        How the numbers are packed; no bytes for what stands elsewhere.
    makes
        Places of numbers that are to be made into something else, and by what.
    inline, texts
        Arrays behind the numbers, and the places of those that hold text.
    buffers, slots, loose
        What is said of arrays in buffers, in shared memory, and the places of loose values.
    """

    def __init__(self) -> None:
        self.codes: list[str] = []
        self.makes: list[tuple[int, Callable[[Any], Any]]] = []
        self.inline: list[tuple[int, tuple[int, ...], np.dtype[Any]]] = []
        self.texts: list[int] = []
        self.buffers: list[tuple[int, str, Sequence[int]]] = []
        self.slots: list[tuple[int, str, Sequence[int], Sequence[int]]] = []
        self.loose: list[int] = []
        self._count = 0

    def add(self, form: Any) -> int:
        """Add what a template says of a value; return the place of that.

        Raises
        ------
        ValueError, TypeError
            For what is no form.
        """
        at, self._count = self._count, self._count + 1
        if isinstance(form, str) and form in SCALARS:
            code, make = SCALARS[form]
            self.codes.append(code)
            if make is not None:
                self.makes.append((at, make))
            return at
        if isinstance(form, list) and form and form[0] == SLOT:
            self._slot(at, *form[1:])
            return at
        self.codes.append(ELSEWHERE)
        if form == LOOSE:
            self.loose.append(at)
        elif form == [None]:
            self.makes.append((at, _nothing))
        elif isinstance(form, list) and len(form) == 3:
            self._array(at, *form)
        else:
            raise ValueError(f"{form!r:.40} is nothing that a value can be")
        return at

    def _slot(self, at: int, dtype: Any, shape: Any, strides: Any) -> None:
        self.codes.append(SLOT_CODE)
        self._count = at + len(SLOT_CODE)
        self.slots.append((at, checked_dtype(dtype).str, checked_shape(shape), strides))
        if not isinstance(strides, list) or any(type(stride) is not int for stride in strides):
            raise TypeError(f"{strides!r:.40} are no strides")

    def _array(self, at: int, how: Any, dtype: Any, shape: Any) -> None:
        kind, sizes = checked_dtype(dtype), checked_shape(shape)
        if type(how) is not int or how not in (INLINE, BUFFER):
            raise ValueError(f"{how!r:.40} is not where an array can be")
        if how == BUFFER:
            self.buffers.append((at, dtype, sizes))
            return
        self.inline.append((at, sizes, kind))
        if kind.kind == "U":
            self.texts.append(at)

    def arrays_from(self, offset: int) -> tuple[list[tuple[int, Any, np.dtype[Any], int]], int]:
        """Return where each inline array lies, from `offset` on, and where the last one ends."""
        found = []
        for at, shape, dtype in self.inline:
            found.append((at, shape, dtype, offset))
            size = math.prod(shape) * dtype.itemsize
            offset += size + padding(size)
        return found, offset


class _Row(NamedTuple):
    """An entry: what it says, and the places of its value and of values among its attributes."""

    tag: str
    maker: int
    origin: str
    at: int
    attributes: dict[str, Any]
    holes: tuple[tuple[str, int], ...]


def _row(item: Any, holes: _Holes) -> _Row:
    if not isinstance(item, list) or len(item) != 5:
        raise TypeError(_ENTRY)
    tag, maker, origin, form, attributes = item
    if not (
        type(tag) is str
        and type(maker) is int
        and (origin is None or type(origin) is str)
        and (attributes is None or type(attributes) is dict)
        and (not attributes or all(type(key) is str for key in attributes))
    ):
        raise TypeError(_ENTRY)
    at = holes.add(form)
    known, changing = {}, []
    for name, each in attributes.items() if attributes else ():
        known[name] = each[0] if _is_text(each) else None
        if not _is_text(each):
            changing.append((name, holes.add(each)))
    return _Row(tag, maker, origin or tag, at, known, tuple(changing))


def _is_text(form: Any) -> bool:
    return isinstance(form, list) and len(form) == 1 and type(form[0]) is str


def _marks(rows: Sequence[_Row], found: list[Any]) -> dict[str, Mark]:
    marks = {}
    for tag, maker, origin, at, known, holes in rows:
        attributes = known.copy()
        for name, place in holes:
            attributes[name] = found[place]
        marks[tag] = _new(Mark, (maker, origin, attributes, found[at]))
    return marks


def _nothing(_: bytes) -> None:
    return None


_new = tuple.__new__  # what the constructor of a named tuple does, without its call
_ENTRY = "an entry is not [tag, maker, origin, form, attributes]"
