"""What all messages of one sort have in common, checked once: see `camagick_broker.values`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgpack
import numpy as np

from camagick_broker.arrays import check_text, checked_view
from camagick_broker.construct import new_tuple
from camagick_broker.forms import LENGTH, numbers, padding
from camagick_broker.holes import Holes
from camagick_broker.loose import LooseReader, SlotReader
from camagick_broker.mark import Mark

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


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
        if lineage and not all(type(part) is int for pair in lineage.items() for part in pair):
            raise TypeError("lineage is not from number to number")
        self._lineage: Mapping[int, int] = lineage
        self._holes = holes = Holes()
        self._context = [_row(item, holes) for item in context]
        self._data = [_row(item, holes) for item in data]
        self._begin = LENGTH.size + len(packed)
        self._begin += padding(self._begin)
        packing = numbers("".join(holes.codes), arrays=bool(holes.inline or holes.varying))
        self._unpack, self._makes = packing.unpack_from, holes.makes
        self._arrays, self._end = holes.arrays_from(self._begin + packing.size)
        self._is_plain = not (
            holes.varying or holes.texts or holes.buffers or holes.slots or holes.loose
        )

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
        context = _marks(self._context, found) if self._context else {}
        return new_tuple(Body, (self._lineage, context, _marks(self._data, found)))

    def _read_more(
        self, found: list[Any], body: bytes, buffers: Sequence[Any], slots: SlotReader | None
    ) -> None:
        holes, end = self._holes, self._end
        for at, dimensions, kind in holes.varying:
            sizes = tuple(found[at + 1 : at + 1 + dimensions])
            found[at] = np.ndarray(sizes, kind, body, end)
            end += found[at].nbytes + padding(found[at].nbytes)
        if len(body) < end or (len(body) > end and not holes.loose):
            raise ValueError(f"{len(body)} bytes, not {end}")
        for at in holes.texts:
            check_text(found[at])
        for (at, kind, sizes), buffer in zip(holes.buffers, buffers, strict=False):
            found[at] = checked_view(buffer, kind, sizes)
        for at, dtype, shape, strides in holes.slots:
            if slots is None:
                raise ValueError("shared memory that is not known here")
            found[at] = slots((*found[at : at + 3], dtype, shape, strides))
        if not holes.loose and len(buffers) == len(holes.buffers):
            return
        # It sees, too, whether there are as many buffers as are spoken of.
        values = LooseReader(buffers, slots, len(holes.buffers))(body[end:], len(holes.loose))
        for at, value in zip(holes.loose, values, strict=True):
            found[at] = value


class _Row(NamedTuple):
    """An entry: what it says, and the places of its value and of values among its attributes."""

    tag: str
    maker: int
    origin: str
    at: int
    attributes: dict[str, Any]
    holes: tuple[tuple[str, int], ...]


def _row(item: Any, holes: Holes) -> _Row:
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
        marks[tag] = new_tuple(Mark, (maker, origin, attributes, found[at]))
    return marks


_ENTRY = "an entry is not [tag, maker, origin, form, attributes]"
