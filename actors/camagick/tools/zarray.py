"""An array of a Zarr store that grows frame by frame, all or nothing at each commit."""

from __future__ import annotations

import contextlib
import os
import uuid
from typing import TYPE_CHECKING, Any

import numpy as np

from camagick.tools.h5data import MOMENTARY, Unfit, as_frame, chunk_shape
from camagick.tools.record import ATTRIBUTE, Record, Stamp

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Frames that an array could have; only what it says in its `zarr.json` exists.
_ANY = 2**40


class ZArray:
    """One array: frames that are appended on its first axis.

    Chunks come first, then `zarr.json` (the length, and the record of what is stored) in one
    atomic replacement of that file: this is the commit. A chunk beyond the length is seen by
    nobody. One that has room left is replaced as a whole when frames are added to it.

    Parameters
    ----------
    array
        The open array.
    folder
        Where it is.
    """

    def __init__(self, array: Any, folder: str) -> None:
        self._metadata = array.metadata
        self._folder = folder
        self._shape, self._dtype = tuple(array.shape), array.dtype
        self._text = self._dtype.kind in "TU"
        self._length = self._shape[0] if self._shape else 0
        self._per_chunk = int((array.shards or array.chunks)[0]) if self._shape else 1
        self.record = Record(array.attrs.get(ATTRIBUTE, ()))
        self._canvas: Any = _canvas(array) if self._shape else None
        self._tail: Any = None
        self._unwritten = self._dirty = False
        self._resume(array)

    def _resume(self, array: Any) -> None:
        """Read what the last chunk has already: it will be replaced as a whole."""
        filled = self._length % self._per_chunk
        if filled:
            self._start_tail()
            self._tail[:filled] = np.asarray(array[self._length - filled :])

    @property
    def described(self) -> str:
        """Shape of the frames and their type, for messages."""
        kind = "text" if self._text else str(self._dtype)
        if not self._shape:
            return f"a single value, {kind}"
        return f"frames of shape {self._shape[1:]}, {kind}"

    def fits(self, frame: np.ndarray[Any, Any]) -> bool:
        """Tell whether frames like this one can be stored here without loss."""
        if not self._shape or self._shape[1:] != frame.shape:
            return False
        if self._text or frame.dtype.kind == "O":
            return self._text and frame.dtype.kind == "O"
        return bool(np.can_cast(frame.dtype, self._dtype, "safe"))

    def append(self, frame: np.ndarray[Any, Any], stamp: Stamp | None) -> int:
        """Add a frame, and return its number.

        Raises
        ------
        OSError
            When a chunk cannot be written.
        """
        number, place = self._length, self._length % self._per_chunk
        if self._per_chunk == 1:
            self._put(number, frame[np.newaxis])
        else:
            if place == 0:
                self._write_tail()
                self._start_tail()
            self._tail[place] = frame
            self._unwritten = True
        self._length, self._dirty = number + 1, True
        if stamp is not None:
            self.record.note(stamp, number)
        if place == self._per_chunk - 1:
            self._write_tail()
        return number

    def commit(self) -> None:
        """Make every frame seen, and safe from a kill."""
        if not self._dirty:
            return
        self._write_tail()
        rows = self.record.rows()
        known = {key: value for key, value in self._metadata.attributes.items() if key != ATTRIBUTE}
        metadata = self._metadata.update_shape((self._length, *self._shape[1:]))
        write_metadata(
            self._folder, metadata.update_attributes({**known, ATTRIBUTE: rows} if rows else known)
        )
        self._dirty = False

    def _start_tail(self) -> None:
        self._tail = np.zeros((self._per_chunk, *self._shape[1:]), self._dtype)

    def _write_tail(self) -> None:
        if self._unwritten:
            self._put((self._length - 1) // self._per_chunk * self._per_chunk, self._tail)
            self._unwritten = False

    def _put(self, first: int, frames: Any) -> None:
        if frames.size:
            # A whole chunk, always: so what a killed predecessor left there is not read.
            self._canvas[first : first + len(frames)] = frames


def _canvas(array: Any) -> Any:
    """Return the same array with room for any number of frames; its chunks can be written."""
    import zarr

    inner = array.async_array
    metadata = array.metadata.update_shape((_ANY, *array.shape[1:]))
    return zarr.Array(zarr.AsyncArray(metadata, inner.store_path, inner.config))


def write_metadata(folder: str, metadata: Any) -> None:
    """Replace the `zarr.json` of an array, in one step."""
    from zarr.core.buffer import default_buffer_prototype

    content = metadata.to_buffer_dict(default_buffer_prototype())["zarr.json"].to_bytes()
    path = os.path.join(folder, "zarr.json")
    partial = os.path.join(folder, f"zarr.{uuid.uuid4().hex}.partial")
    try:
        with open(partial, "wb") as stream:
            stream.write(content)
        os.replace(partial, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(partial)
        raise


def create(
    store: Any, name: str, frame: np.ndarray[Any, Any], packed: Any, attributes: Mapping[str, Any]
) -> Any:
    """Make an empty array for frames like `frame`; return it.

    `packed` is what zarr calls `compressors`, `name` the path in the store.
    """
    import zarr

    text = frame.dtype.kind == "O"
    short = name.rpartition("/")[2]
    return zarr.create_array(
        store,
        name=name.strip("/"),
        shape=(0, *frame.shape),
        chunks=chunk_shape(frame.shape, 16 if text else frame.dtype.itemsize),
        # C's long and long long are one to zarr, but two to numpy.
        dtype="string" if text else np.dtype(frame.dtype.str),
        compressors=packed,
        # Names of axes mean the same in a whole group; only the frames do.
        dimension_names=("frame", *(f"{short}_{axis}" for axis in range(1, frame.ndim + 1))),
        attributes=_describing(attributes),
    )


def _describing(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes that JSON can hold, and that hold for all frames."""
    kept: dict[str, Any] = {}
    for key, value in attributes.items():
        if key in MOMENTARY or value is None or key == "":
            continue
        with contextlib.suppress(Unfit, TypeError, ValueError):
            array = as_frame(value)
            if array.dtype.kind != "c":
                kept[key] = array.tolist()
    return kept
