"""The record of what is stored already, as an attribute of an HDF5 data set."""

from __future__ import annotations

from typing import Any

import numpy as np

from camagick.tools.record import ATTRIBUTE, Record, Stamp

#: The attribute has a fixed size, so that it is overwritten where it stands; it grows by this.
_ROOM = 256


class H5Record:
    """The record of one data set.

    Parameters
    ----------
    dataset
        The open h5py data set.
    """

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset
        self._record: Record | None = None
        self._attribute: Any = None
        self._room = 0
        self._dirty = False

    def _known(self) -> Record:
        if self._record is None:
            text = self._dataset.attrs.get(ATTRIBUTE, b"")
            self._record = Record.parse(text if isinstance(text, (str, bytes)) else b"")
        return self._record

    def has(self, stamp: Stamp) -> bool:
        """Tell whether that iteration has been stored here already."""
        return self._known().has(stamp)

    def frame(self, stamp: Stamp) -> int | None:
        """Return where it went; see `record.Entry.frame`."""
        return self._known().frame(stamp)

    def note(self, stamp: Stamp, frame: int) -> None:
        """Add that an iteration is in the data set; `save` writes it."""
        self._known().note(stamp, frame)
        self._dirty = True

    def save(self) -> None:
        """Write what was noted."""
        if not self._dirty:
            return
        text = self._known().text().encode()
        if len(text) > self._room:
            self._make(-(-len(text) // _ROOM) * _ROOM)
        self._attribute.write(np.array(text, dtype=f"S{self._room}"))
        self._dirty = False

    def _make(self, room: int) -> None:
        import h5py

        self._attribute, self._room = None, room
        self._dataset.attrs.create(ATTRIBUTE, np.bytes_(b""), dtype=f"S{room}")
        self._attribute = h5py.h5a.open(self._dataset.id, ATTRIBUTE.encode())
