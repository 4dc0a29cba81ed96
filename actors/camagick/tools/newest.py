"""The newest values, for another process: it is handed them when it asks, and holds up nobody.

Two pieces of memory (memfd) are shared by a writer and a reader. The writer lays values into one
of them, over those from before, as often as it likes. When the reader asks, that one is lent to it,
and the writer goes on in the other. A reader that sleeps, crawls or was stopped costs the writer a
copy of each value, and nothing else.
"""

from __future__ import annotations

import mmap
import os
from typing import TYPE_CHECKING, Any, NamedTuple

import msgpack
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

_ALIGN = 64


class Lent(NamedTuple):
    """What the reader is told: which memory, how much of it, and where its index is."""

    slot: int
    size: int
    at: int
    length: int


class _Slot:
    """One piece of memory, and the arrays in it."""

    def __init__(self, handle: int) -> None:
        self.handle = handle
        self.size = 0
        self._map: mmap.mmap | None = None
        self._views: dict[str, tuple[np.ndarray[Any, Any], int]] = {}
        self._end = 0
        self.fresh: dict[str, Any] = {}

    def put(self, tag: str, value: np.ndarray[Any, Any]) -> None:
        """Copy an array to the place that its tag has had before, or to a new one."""
        view, at = self._views.get(tag, (None, 0))
        if view is None or view.shape != value.shape or view.dtype != value.dtype:
            at = self.reserve(value.nbytes)
            view = np.frombuffer(self._memory, value.dtype, value.size, at).reshape(value.shape)
            self._views[tag] = view, at
        np.copyto(view, value)
        self.fresh[tag] = {"at": at, "dtype": value.dtype.str, "shape": value.shape}

    @property
    def _memory(self) -> mmap.mmap:
        if self._map is None:
            raise ValueError("nothing was reserved")
        return self._map

    def reserve(self, size: int) -> int:
        """Return where so many bytes more can be put."""
        at = self._end
        self._end += -(-max(1, size) // _ALIGN) * _ALIGN
        if self._end > self.size:
            self.size = -(-max(self._end, 2 * self.size) // mmap.PAGESIZE) * mmap.PAGESIZE
            os.ftruncate(self.handle, self.size)
            self._map = mmap.mmap(self.handle, self.size)  # views of the old one still see the same
        return at

    def finish(self, index: Mapping[str, Any]) -> tuple[int, int]:
        """Write the index behind the arrays; return where it is, and how long."""
        packed = msgpack.packb(index)
        end = self._end
        at = self.reserve(len(packed))
        self._memory[at : at + len(packed)] = packed
        self._end = end  # the next arrays may lie over it
        return at, len(packed)

    def clear(self) -> None:
        """Begin anew; places stay as they are, unless too many of them are of former days."""
        used = sum(view.nbytes for view, _ in self._views.values())
        if len(self._views) > 2 * len(self.fresh) or self._end > 2 * used + 4 * mmap.PAGESIZE:
            self._views, self._end = {}, 0
        self.fresh = {}


class Newest:
    """The side that writes.

    Attributes
    ----------
    handles
        The two memories, for the reader to inherit.
    """

    def __init__(self) -> None:
        self._slots = [_Slot(os.memfd_create("caspy-newest", os.MFD_CLOEXEC)) for _ in range(2)]
        self._own = 0

    @property
    def handles(self) -> list[int]:
        """The two memories, for the reader to inherit."""
        return [slot.handle for slot in self._slots]

    @property
    def is_fresh(self) -> bool:
        """Whether there is anything that the reader has not been lent."""
        return bool(self._slots[self._own].fresh)

    def put(self, tag: str, value: Any) -> None:
        """Note the newest value of a tag: an array of numbers is copied, a text is kept."""
        slot = self._slots[self._own]
        if isinstance(value, np.ndarray):
            slot.put(tag, value)
        else:
            slot.fresh[tag] = value

    def lend(self, more: Mapping[str, Any]) -> Lent:
        """Hand all that is fresh to the reader, which gives back what it was lent before.

        Parameters
        ----------
        more
            What else it has to know; msgpack has to be able to carry it.
        """
        slot = self._slots[self._own]
        at, length = slot.finish({**more, "values": slot.fresh})
        lent = Lent(self._own, slot.size, at, length)
        self._own = 1 - self._own
        self._slots[self._own].clear()
        return lent

    def close(self) -> None:
        """Give the memory back."""
        for slot in self._slots:
            slot.clear()
            os.close(slot.handle)
        self._slots = []


class Reader:
    """The side that reads; what it gets is good until the next call."""

    def __init__(self, handles: list[int]) -> None:
        self._handles = handles
        self._maps: dict[int, mmap.mmap] = {}

    def __call__(self, lent: Lent) -> dict[str, Any]:
        """Return what was handed over, the values under 'values'."""
        memory = self._maps.get(lent.slot)
        if memory is None or len(memory) != lent.size:
            memory = mmap.mmap(self._handles[lent.slot], lent.size, prot=mmap.PROT_READ)
            self._maps[lent.slot] = memory
        index: dict[str, Any] = msgpack.unpackb(memory[lent.at : lent.at + lent.length])
        index["values"] = {
            tag: _view(memory, entry) if isinstance(entry, dict) else entry
            for tag, entry in index["values"].items()
        }
        return index


def _view(memory: mmap.mmap, entry: Mapping[str, Any]) -> np.ndarray[Any, Any]:
    shape = tuple(entry["shape"])
    count = int(np.prod(shape))
    view: np.ndarray[Any, Any] = np.frombuffer(memory, entry["dtype"], count, entry["at"])
    return view.reshape(shape)
