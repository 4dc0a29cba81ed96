"""An array of a Zarr store that grows frame by frame, all or nothing at each commit."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import numpy as np

from camagick.tools.frames import chunk_shape, describing
from camagick.tools.growing import Growing
from camagick.tools.record import ATTRIBUTE, Record
from camagick.tools.zchunks import canvas_of, chunks_of
from camagick.tools.zmeta import Meta

if TYPE_CHECKING:
    from collections.abc import Mapping

    from camagick.tools.frameindex import Slot
    from camagick.tools.layout import Frame, Layout
    from camagick.tools.record import Stamp
    from camagick.tools.zplace import ZPlace


class ZArray(Growing):
    """One array: frames that lie on its first axis.

    Chunks come first, then what says how many there are, with the record of what is stored, in one
    atomic replacement of a file: this is the commit. What lies beyond the length is seen by
    nobody.

    Parameters
    ----------
    array
        The open array.
    place, key
        Where it is.
    """

    def __init__(self, array: Any, place: ZPlace, key: str) -> None:
        shape = tuple(array.shape)
        each = (array.shards or array.chunks)[0] if shape else 1
        record = Record(array.attrs.get(ATTRIBUTE, ()))
        self._meta = Meta(array, place, key)
        missing = self._meta.missing(shape[0]) if shape else 0
        if missing:
            shape = (shape[0] + missing, *shape[1:])
            self._meta.write(shape[0], record)
        super().__init__(shape, array.dtype, int(each), record)
        if array.dtype.kind in "iufc":
            self._fill = array.fill_value
        self._canvas: Any = canvas_of(array) if shape else None
        self._chunks = chunks_of(array, place.folder(key)) if shape else None
        self._dirty = self._fresh = False
        if shape:
            _sweep(place, key, -(-shape[0] // int(each)))

    def write(self, slot: Slot, array: np.ndarray[Any, Any], stamp: Stamp | None) -> None:
        """Put a frame where `slot` says, and note whose it is."""
        self._dirty = True
        if slot.clear:
            self._drop()
            self._length = 0
            self.commit()  # before other frames stand in the place of the old ones
            self._dirty = True
        if slot.frame < self._length:
            self._overwrite(slot.frame, array, stamp)
        else:
            super().write(slot, array, stamp)

    def _overwrite(self, frame: int, array: np.ndarray[Any, Any], stamp: Stamp | None) -> None:
        """Replace a frame, and with it the file of its chunk."""
        self._drop()
        chunk, row = divmod(frame, self._frames)
        first = chunk * self._frames
        last = min(self._length, first + self._frames)
        rows = self._empty()
        rows[: last - first] = self._read(first, last)
        rows[row, ...] = array
        self._put(chunk, rows, row, row + 1)
        if stamp is not None:
            self.record.note(stamp, frame)

    def _begin(self, chunk: int) -> None:
        super()._begin(chunk)
        self._fresh = True

    def _put(self, chunk: int, rows: np.ndarray[Any, Any], first: int, last: int) -> None:
        if self._fresh:
            self._fresh, last = False, len(rows)  # over what may be left of another time
        if rows.size and self._chunks is not None:
            self._chunks.put(chunk, rows, first, last)

    def _read(self, first: int, last: int) -> Any:
        return np.asarray(self._canvas[first:last])

    def commit(self) -> None:
        """Bring what is gathered, and what says so, into the store."""
        if not self._dirty:
            return
        self._settle()
        self._meta.write(self._length, self.record)
        self._dirty = False


def _sweep(place: ZPlace, key: str, count: int) -> None:
    """Remove chunks behind the end that a killed writer has left: gaps must not show them."""
    below = f"{key}/c".lstrip("/")
    for where, names in ((below, place.names(below)), (key, place.names(key))):
        for name in names:
            number = name.partition(".")[0]
            if number.isdigit() and int(number) >= count:
                with contextlib.suppress(FileNotFoundError):
                    place.remove(f"{where}/{name}".lstrip("/"))


def create(
    store: Any,
    frame: Frame,
    value: np.ndarray[Any, Any],
    layout: Layout,
    fill: float | None,
) -> Any:
    """Make an empty array for frames like `value`, with the groups above it; return it."""
    import zarr

    name, text = frame.name.strip("/"), value.dtype.kind == "O"
    short = name.rpartition("/")[2]
    chunks, shards = _division(value, layout)
    # Names of axes mean the same in a whole group; only the frames do.
    axes = ("frame", *(f"{short}_{axis}" for axis in range(1, value.ndim + 1)))
    attributes = _plain(frame.attributes())
    if layout.zarr_format == 2:
        attributes["_ARRAY_DIMENSIONS"] = list(axes)  # as xarray has it
    return zarr.create_array(
        store,
        name=name,
        shape=(0, *value.shape),
        chunks=chunks,
        shards=shards,
        # C's long and long long are one to zarr, but two to numpy.
        dtype="string" if text else np.dtype(value.dtype.str),
        compressors=layout.packed,
        dimension_names=axes if layout.zarr_format == 3 else None,
        attributes=attributes,
        zarr_format=layout.zarr_format,
        overwrite=True,
        fill_value=zarr.core.array.DEFAULT_FILL_VALUE if fill is None else fill,
    )


def _division(
    value: np.ndarray[Any, Any], layout: Layout
) -> tuple[tuple[int, ...], tuple[int, ...] | None]:
    """Return the shapes of chunks and of shards; a shard has whole chunks."""
    chunks = chunk_shape(value, layout.chunks)
    if not layout.shard:
        return chunks, None
    if not layout.chunks:
        chunks = (min(chunks[0], layout.shard), *chunks[1:])
    lengths = (layout.shard, *(max(1, length) for length in value.shape))
    return chunks, tuple(-(-n // one) * one for n, one in zip(lengths, chunks, strict=True))


def _plain(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes in the types of JSON, which has no complex numbers."""
    return {k: v.tolist() for k, v in describing(attributes) if v.dtype.kind != "c"}
