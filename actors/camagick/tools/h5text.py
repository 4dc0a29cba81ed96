"""A text of changing length as an attribute of an HDF5 data set."""

from __future__ import annotations

from typing import Any

import numpy as np

#: The attribute has a fixed size, so that it is overwritten where it stands; it grows by this.
_ROOM = 256


class FixedText:
    """An attribute that is overwritten in place, again and again.

    Parameters
    ----------
    dataset
        The open h5py data set.
    name
        Of the attribute.
    """

    def __init__(self, dataset: Any, name: str) -> None:
        self._dataset, self._name = dataset, name
        self._attribute: Any = None
        self._room = 0

    def read(self) -> bytes | str:
        """Return what is there; nothing where that is no text."""
        text = self._dataset.attrs.get(self._name, b"")
        return text if isinstance(text, (str, bytes)) else b""

    def write(self, text: bytes) -> None:
        """Replace what is there."""
        if len(text) > self._room:
            self._make(-(-len(text) // _ROOM) * _ROOM)
        self._attribute.write(np.array(text, dtype=f"S{self._room}"))

    def _make(self, room: int) -> None:
        import h5py

        self._attribute, self._room = None, room
        self._dataset.attrs.create(self._name, np.bytes_(b""), dtype=f"S{room}")
        self._attribute = h5py.h5a.open(self._dataset.id, self._name.encode())
