"""A data set of an HDF5 file that grows frame by frame."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from camagick.tools.frames import Unfit, chunk_shape, describing, row_type
from camagick.tools.growing import Growing
from camagick.tools.h5text import FixedText
from camagick.tools.record import ATTRIBUTE, Record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from camagick.tools.commitfile import CommitFile
    from camagick.tools.frameindex import Slot
    from camagick.tools.layout import Layout
    from camagick.tools.record import Stamp


class H5Array(Growing):
    """One data set.

    HDF5 sees to everything but the numbers of frames that are appended. They go into their chunk
    past HDF5, straight to the disk: also into a chunk that was committed before, since nobody looks
    behind the end of the data set. What is compressed, texts, and chunks that are no whole frames
    are left to HDF5.

    Parameters
    ----------
    dataset
        The open h5py data set; HDF5 must not keep chunks of it in memory (see `opened`).
    image
        What its file is written to.
    """

    def __init__(self, dataset: Any, image: CommitFile) -> None:
        import h5py

        self._dataset, self._image = dataset, image
        shape, chunks = dataset.shape or (), dataset.chunks
        grows = bool(shape) and dataset.maxshape[0] is None
        text = h5py.check_string_dtype(dataset.dtype) is not None
        # Of rows that differ in length, the type of their numbers.
        self._row: Any = None if text else h5py.check_vlen_dtype(dataset.dtype)
        self._history = FixedText(dataset, ATTRIBUTE)
        super().__init__(
            shape if grows else (),
            np.dtype(object) if text or self._row is not None else dataset.dtype,
            chunks[0] if chunks else 1,
            Record.parse(self._history.read()),
        )
        if self._row is None:
            self._fill = "" if text else dataset.fillvalue
        self._extent = self._length
        self._plain = grows and chunks[1:] == shape[1:] and _is_plain(dataset)
        self._at: tuple[int, int, int] | None = None  # chunk, its place in the file, commits then
        self._noted = False

    @property
    def described(self) -> str:
        """Shape of the frames and their type, for messages."""
        return super().described if self._row is None else f"rows of any length, {self._row}"

    def fits(self, array: np.ndarray[Any, Any]) -> bool:
        """Tell whether frames like `array` can be stored here without loss."""
        row = row_type(array)
        if row is None or self._row is None:
            return row is None and self._row is None and super().fits(array)
        return len(self._shape) == 1 and bool(np.can_cast(row, self._row, "safe"))

    def _advice(self, array: np.ndarray[Any, Any]) -> str:
        same = array.ndim == 1 and len(self._shape) == 2 and array.shape != self._shape[1:]
        rows = "; ragged=1 stores rows of any length, in a new data set" if same else ""
        return super()._advice(array) + rows

    def _put(self, chunk: int, rows: np.ndarray[Any, Any], first: int, last: int) -> None:
        self._extend()
        start = chunk * self._frames
        if not rows.size:
            return
        if self._row is not None:
            self._put_rows(start + first, rows[first:last])
            rows[first:last] = None  # HDF5 has them; a chunk of them may be large
        elif not self._plain:
            self._dataset[start + first : start + last] = rows[first:last]
        elif self._at is not None and self._at[0] == chunk:
            _, place, commits = self._at
            offset = place + first * rows.strides[0]
            self._image.put(offset, rows[first:last], unseen=commits < self._image.commits)
        else:
            self._put_chunk(chunk, rows)

    def _put_rows(self, start: int, rows: np.ndarray[Any, Any]) -> None:
        """Write rows of any length; h5py itself takes those of equal length for one array."""
        import h5py

        content = np.empty(len(rows), self._dataset.dtype)
        for n, row in enumerate(rows):
            # Nothing stands where no frame was written.
            content[n] = np.array([] if row is None else row, self._row)
        space = self._dataset.id.get_space()
        space.select_hyperslab((start,), (len(rows),))
        memory = h5py.h5s.create_simple((len(rows),))
        self._dataset.id.write(memory, space, content)

    def _put_chunk(self, chunk: int, rows: np.ndarray[Any, Any]) -> None:
        """Put all of a chunk, and remember where it is."""
        where = (chunk * self._frames, *(0 for _ in rows.shape[1:]))
        with self._image.watching(rows) as places:
            self._dataset.id.write_direct_chunk(where, rows)
        self._at = (chunk, places[0], self._image.commits) if len(places) == 1 else None

    def _leave(self) -> None:
        if self._plain:  # otherwise HDF5 has written all that is there, and forgets it
            super()._leave()

    def _empty(self) -> np.ndarray[Any, Any]:
        return super()._empty() if self._row is None else np.empty(self._frames, object)

    def _read(self, first: int, last: int) -> Any:
        if self._row is not None:
            return None  # of rows, only new ones are put
        self._extend()
        return self._dataset[first:last]

    def _extend(self) -> None:
        if self._extent != self._length:
            self._dataset.id.set_extent((self._length, *self._shape[1:]))
            self._extent = self._length

    def write(self, slot: Slot, array: np.ndarray[Any, Any], stamp: Stamp | None) -> None:
        """Put a frame where `slot` says, and note whose it is."""
        if self._text and self._row is None and any("\0" in text for text in array.flat):
            raise Unfit("HDF5 has no texts with a zero byte in them")
        self._noted = self._noted or stamp is not None
        if slot.clear:
            self._clear()
        if slot.frame < self._length:
            self._overwrite(slot.frame, array, stamp)
        else:
            super().write(slot, array, stamp)

    def _overwrite(self, frame: int, array: np.ndarray[Any, Any], stamp: Stamp | None) -> None:
        self._drop()
        if self._row is not None:
            self._put_rows(frame, array.reshape(1))
        elif array.size:
            self._dataset[frame] = array[()] if array.ndim == 0 else array
        if stamp is not None:
            self.record.note(stamp, frame)

    def _clear(self) -> None:
        self._drop()
        self._length = 0
        self._extend()

    def _drop(self) -> None:
        super()._drop()
        self._extend()
        self._at = None

    def commit(self) -> None:
        self._settle()
        self._extend()
        if self._noted:
            self._history.write(self.record.text().encode())
            self._noted = False


def write_attributes(item: Any, attributes: Mapping[str, Any]) -> None:
    """Write attributes of an h5py object: those that HDF5 can store, and hold for all frames."""
    for key, value in describing(attributes):
        try:
            item.attrs[key] = value[()] if value.ndim == 0 else value
        except (TypeError, ValueError, OSError, RuntimeError):
            continue


def _is_plain(dataset: Any) -> bool:
    """Tell whether the bytes of a chunk in the file are those of a numpy array."""
    import h5py

    if h5py.check_string_dtype(dataset.dtype) or dataset.id.get_create_plist().get_nfilters():
        return False
    return bool(dataset.id.get_type() == h5py.h5t.py_create(dataset.dtype, logical=True))


def create(
    handle: Any,
    name: str,
    frame: np.ndarray[Any, Any],
    layout: Layout,
    fill: float | None = None,
) -> None:
    """Make an empty data set for frames like `frame`, with the groups above it.

    `handle` is the open h5py file, `name` the path in it, `fill` stands where nothing is written.
    """
    import h5py

    row, loose = row_type(frame), frame.dtype.kind == "O"
    text = h5py.string_dtype("utf-8") if row is None else h5py.vlen_dtype(row)
    handle.create_dataset(
        name,
        shape=(0, *frame.shape),
        # An axis of length 0 has no chunks, so it must be one that could grow.
        maxshape=(None, *(length or None for length in frame.shape)),
        dtype=text if loose else frame.dtype,
        chunks=chunk_shape(frame, layout.chunks),
        fillvalue=fill,
        # Texts and rows live outside of the chunks, where no filter reaches them.
        **({} if loose else layout.packed),
    )


def opened(handle: Any, name: str) -> Any:
    """Open a data set so that HDF5 keeps no chunk of it in memory, or one that it packs."""
    import h5py

    access = h5py.h5p.create(h5py.h5p.DATASET_ACCESS)
    access.set_chunk_cache(1, 0, 1.0)
    found = h5py.Dataset(h5py.h5d.open(handle.id, name.encode(), access))
    if found.chunks and found.chunks[0] > 1 and found.id.get_create_plist().get_nfilters():
        # It gets more frames commit by commit: HDF5 need not unpack it for that.
        access.set_chunk_cache(1, math.prod(found.chunks) * found.dtype.itemsize, 1.0)
        found = h5py.Dataset(h5py.h5d.open(handle.id, name.encode(), access))
    return found
