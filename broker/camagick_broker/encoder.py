"""Values to bytes, see `camagick_broker.values`. No I/O."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import msgpack
import numpy as np

from camagick_broker.arrays import BUFFER_BYTES, KINDS, SLOT_BYTES, as_buffer, sendable
from camagick_broker.cache import Cache
from camagick_broker.errors import LocalProtocolError
from camagick_broker.forms import (
    BUFFER,
    BYTES,
    ELSEWHERE,
    INLINE,
    LENGTH,
    LOOSE,
    NAMES,
    SCALARS,
    SIZE_CODE,
    SLOT,
    SLOT_CODE,
    VARYING,
    numbers,
    padding,
)  # fmt: skip
from camagick_broker.loose import LooseWriter, Place, placed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    #: How a value is written: a type of numbers, (how, dtype, shape, ...) of an array, a text or
    #: None that stands in the template itself, or `_LOOSE`.
    Form = Any


class Encoder:
    """Writes bodies, one after the other; not for several threads at a time.

    Parameters
    ----------
    place
        Brings arrays from `SLOT_BYTES` on into shared memory, see `camagick_broker.loose.Place`.

    Attributes
    ----------
    itemsizes
        Bytes of an element of each of the first buffers of the last body.
    """

    itemsizes: list[int]

    def __init__(self, place: Place | None = None) -> None:
        self._place = place
        self._pack_loose = LooseWriter(place)
        self._plans: Cache[Any, tuple[bytes, Callable[..., bytes]]] = Cache(_MOST, _MOST_BYTES)
        self._pack_template = msgpack.Packer().pack
        self._planned = 0
        self._reset(_ALL)

    def __call__(
        self, lineage: Mapping[int, int], context: Sequence[Any], data: Sequence[Any]
    ) -> tuple[bytes, list[np.ndarray]]:
        """Write a body.

        Parameters
        ----------
        lineage
            See `camagick_broker.reader.Body`.
        context, data
            Entries ``(tag, maker, origin, attributes, value)``.

        Returns
        -------
        (bytes, list of numpy.ndarray)
            The body, and the bytes of the large arrays to be sent behind it, not copied.

        Raises
        ------
        LocalProtocolError
            For a value that cannot travel; names its type.
        """
        self.itemsizes = []
        try:
            try:
                return self._body(lineage, context, data), self._buffers
            except struct.error:  # an integer that does not fit 64 bits with a sign
                self._reset(_BUT_INTEGERS)
                self.itemsizes = []
                return self._body(lineage, context, data), self._buffers
        except (TypeError, ValueError, OverflowError, RecursionError, BufferError) as error:
            raise LocalProtocolError(f"a value cannot travel: {error}") from None
        finally:
            self._reset(_ALL)

    def _reset(self, direct: frozenset[type[Any]]) -> None:
        self._direct = direct
        self._numbers: list[Any] = []
        self._arrays: list[Any] = []
        self._loose: list[Any] = []
        self._buffers: list[np.ndarray] = []

    def _body(
        self, lineage: Mapping[int, int], context: Sequence[Any], data: Sequence[Any]
    ) -> bytes:
        key = (
            tuple(lineage.items()) if lineage else (),
            self._forms(context) if context else (),
            self._forms(data) if data else (),
        )
        begin, pack = self._plans.get(key) or self._plan(key)
        parts = [begin, pack(*self._numbers), *self._arrays]
        if self._loose:
            parts.append(self._pack_loose(self._loose, self._buffers))
        return b"".join(parts)

    def _forms(self, entries: Sequence[Any]) -> tuple[Any, ...]:
        """Collect values; return all the rest, which seldom changes from message to message."""
        direct, forms = self._direct, []
        for tag, maker, origin, attributes, value in entries:
            form: Form = type(value)
            if form in direct:
                self._numbers.append(value)
            elif form is np.ndarray:
                form = self._array(value)
            else:
                form = self._other(value)
            known = self._attributes(attributes) if attributes else None
            forms.append((tag, maker, origin, form, known))
        return tuple(forms)

    def _attributes(self, attributes: Mapping[str, Any]) -> tuple[Any, ...]:
        direct, forms = self._direct, []
        for name, value in attributes.items():
            form: Form = type(value)
            if form in direct:
                self._numbers.append(value)
            elif form is str and len(value) <= _LONGEST_TEXT and self._planned <= _MOST:
                form = value
            elif form is np.ndarray:
                form = self._as_loose(value)
            else:
                form = self._other(value)
            forms.append((name, form))
        return tuple(forms)

    def _other(self, value: Any) -> Form:
        if value is None:
            self._numbers.append(b"")
            return None
        kind = type(value)
        if kind in _BYTES:
            self._numbers.append(value.tobytes())
            return kind
        return self._as_loose(value)

    def _as_loose(self, value: Any) -> Form:
        self._numbers.append(b"")
        self._loose.append(value)
        return _LOOSE

    def _array(self, array: np.ndarray) -> Form:
        kind, size = array.dtype.kind, array.nbytes
        if kind not in KINDS or not array.dtype.itemsize:
            array = sendable(array)
            kind, size = array.dtype.kind, array.nbytes
        # Two dtypes of times may be equal though they are not the same: a thousand ms, a second.
        dtype = array.dtype.str if kind in "mM" else array.dtype
        if size >= SLOT_BYTES and self._place is not None:
            slot, strides = placed(array, self._place)
            if slot is not None:
                self._numbers += slot
                return SLOT, dtype, array.shape, strides
        self._numbers.append(b"")
        if size >= BUFFER_BYTES:
            self._buffers.append(as_buffer(array))
            self.itemsizes.append(array.itemsize)
            return BUFFER, dtype, array.shape
        in_one_piece = array.flags.c_contiguous and kind not in "mM"
        self._arrays.append(array if in_one_piece else array.tobytes())
        if size & 7:
            self._arrays.append(bytes(padding(size)))
        if self._planned <= _MOST:
            return INLINE, dtype, array.shape
        self._numbers += array.shape
        return VARYING, dtype, array.ndim

    def _plan(self, key: Any) -> tuple[bytes, Callable[..., bytes]]:
        """Return what a body of this sort begins with, and how its numbers are packed."""
        lineage, context, data = key
        codes: list[str] = []
        rows = [[_row(entry, codes) for entry in entries] for entries in (context, data)]
        template = self._pack_template([dict(lineage), *rows])
        begin = LENGTH.pack(len(template)) + template
        begin += bytes(padding(len(begin)))
        plan = begin, numbers("".join(codes), arrays=bool(self._arrays)).pack
        self._plans.put(key, plan, len(begin))
        self._planned += 1
        return plan


def _row(entry: Any, codes: list[str]) -> list[Any]:
    tag, maker, origin, form, attributes = entry
    if not isinstance(tag, str):
        raise TypeError(f"a tag that is no text: {tag!r:.40}")
    if attributes and not all(isinstance(name, str) for name, _ in attributes):
        raise TypeError(f"an attribute of {tag} whose name is no text")
    written = _written(form, codes)
    known = {name: _written(each, codes) for name, each in attributes} if attributes else None
    return [tag, maker, None if origin == tag else origin, written, known]


def _written(form: Form, codes: list[str]) -> Any:
    """Return what a template says of a value, and add how it is packed to `codes`."""
    if isinstance(form, type):
        codes.append(SCALARS[NAMES[form]].code)
        return NAMES[form]
    if isinstance(form, str):
        return [form]
    if form is None or form == _LOOSE:
        codes.append(ELSEWHERE)
        return [None] if form is None else LOOSE
    how, dtype, shape, *strides = form
    codes.append(SLOT_CODE if how == SLOT else ELSEWHERE)
    if how == VARYING:
        codes.append(SIZE_CODE * shape)
        return [how, np.dtype(dtype).str, shape]
    return [how, np.dtype(dtype).str, list(shape), *map(list, strides)]


_LOOSE = 0
_BYTES = frozenset(BYTES)
_ALL = frozenset(NAMES) - _BYTES
_BUT_INTEGERS = _ALL - {int}
#: How many templates to keep, and of how many bytes altogether. Who has made more of them hands on
#: what varies: from then on, shapes and the texts of attributes stand behind the template.
_MOST, _MOST_BYTES = 64, 1 << 19
#: Longer texts, in characters, are no names of units, and may change each time.
_LONGEST_TEXT = 64
