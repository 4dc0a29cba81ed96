"""An array of a Zarr store that grows frame by frame, all or nothing at each commit."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import numpy as np

from camagick.tools.frames import chunk_shape, describing
from camagick.tools.growing import Growing
from camagick.tools.record import ATTRIBUTE, Record
from camagick.tools.zchunks import chunks_of, replace

if TYPE_CHECKING:
    from collections.abc import Mapping

    from camagick.tools.frameindex import Slot
    from camagick.tools.layout import Frame, Layout
    from camagick.tools.record import Stamp


class ZArray(Growing):
    """One array: frames that are appended on its first axis.

    Chunks come first, then `zarr.json` (the length, and the record of what is stored) in one
    atomic replacement of that file: this is the commit. What lies beyond the length is seen by
    nobody.

    Parameters
    ----------
    array
        The open array.
    folder
        Where it is.
    """

    def __init__(self, array: Any, folder: str) -> None:
        from zarr.core.buffer import default_buffer_prototype

        shape = tuple(array.shape)
        each = (array.shards or array.chunks)[0] if shape else 1
        record = Record(array.attrs.get(ATTRIBUTE, ()))
        super().__init__(shape, array.dtype, int(each), record)
        self._array: Any = array
        self._path = os.path.join(folder, "zarr.json")
        content = array.metadata.to_buffer_dict(default_buffer_prototype())["zarr.json"]
        self._metadata: dict[str, Any] = json.loads(content.to_bytes())
        self._template: tuple[str, ...] = ()
        self._chunks = chunks_of(array, folder) if shape else None
        self._dirty = False

    def write(self, slot: Slot, array: np.ndarray[Any, Any], stamp: Stamp | None) -> None:
        self._dirty = True
        super().write(slot, array, stamp)

    def _put(self, chunk: int, rows: np.ndarray[Any, Any], first: int, last: int) -> None:
        if rows.size and self._chunks is not None:
            self._chunks.put(chunk, rows, first, last)

    def _read(self, first: int, last: int) -> Any:
        # Once, for what was there before: it has as many frames as when it was opened.
        return np.asarray(self._array[first:last])

    def commit(self) -> None:
        if not self._dirty:
            return
        self._settle()
        record = self.record.text() if self.record.rows() else ""
        if len(self._template) != 2 + bool(record):
            self._template = _template(self._metadata, recorded=bool(record))
        values = [self._length, record, ""] if record else [self._length, ""]
        parts = zip(self._template, values, strict=True)
        replace(self._path, "".join(f"{text}{value}" for text, value in parts).encode())
        self._dirty = False


def _template(metadata: dict[str, Any], *, recorded: bool) -> tuple[str, ...]:
    """Return the text of a `zarr.json` in the pieces between the length and the record."""
    known = {key: value for key, value in metadata["attributes"].items() if key != ATTRIBUTE}
    known.update({ATTRIBUTE: "@record@"} if recorded else {})
    shape = ["@length@", *metadata["shape"][1:]]
    text = json.dumps({**metadata, "shape": shape, "attributes": known}, indent=2)
    before, _, rest = text.partition('"@length@"')
    between, _, after = rest.rpartition('"@record@"')
    return (before, between, after) if recorded else (before, rest)


def create(store: Any, frame: Frame, value: np.ndarray[Any, Any], layout: Layout) -> Any:
    """Make an empty array for frames like `value`, with the groups above it; return it."""
    import zarr

    name, text = frame.name.strip("/"), value.dtype.kind == "O"
    short = name.rpartition("/")[2]
    return zarr.create_array(
        store,
        name=name,
        shape=(0, *value.shape),
        chunks=chunk_shape(value, layout.chunks),
        # C's long and long long are one to zarr, but two to numpy.
        dtype="string" if text else np.dtype(value.dtype.str),
        compressors=layout.packed,
        # Names of axes mean the same in a whole group; only the frames do.
        dimension_names=("frame", *(f"{short}_{axis}" for axis in range(1, value.ndim + 1))),
        attributes=_plain(frame.attributes()),
    )


def _plain(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes in the types of JSON, which has no complex numbers."""
    return {k: v.tolist() for k, v in describing(attributes) if v.dtype.kind != "c"}
