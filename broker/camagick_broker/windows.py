"""Parts of segments, mapped into this process: each once, for as long as it is of use."""

from __future__ import annotations

import ctypes
import mmap
import os
import threading
import weakref
from collections import OrderedDict
from typing import TYPE_CHECKING

import numpy as np

from camagick_broker.slottable import WINDOW_BYTES

if TYPE_CHECKING:
    from camagick_broker.segment import Segment
    from camagick_broker.slottable import Slot

#: A process may have 65530 mappings (vm.max_map_count).
_MOST = 4096
_POPULATE_WRITE = 23
_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [
    ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_int64,
]  # fmt: skip
_libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
_libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
_FAILED = ctypes.c_void_p(-1).value


def map_part(segment: Segment, start: int, length: int, *, writable: bool) -> memoryview:
    """Map a part of a segment; it is unmapped when nothing looks at it any more.

    `mmap.mmap` is not used, since it opens the file once more for each mapping (until Python 3.13).

    Raises
    ------
    OSError
        Where the process has no addresses left for it, or may not write there.
    """
    protection = mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0)
    address = _libc.mmap(None, length, protection, mmap.MAP_SHARED, segment.handle, start)
    if address in (None, _FAILED):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    content = (ctypes.c_uint8 * length).from_address(address)
    weakref.finalize(content, _libc.munmap, address, length).atexit = False
    view = memoryview(content).cast("B")
    return view if writable else view.toreadonly()


class Window:
    """A part of a segment: one large slot, or several small ones of one size.

    Attributes
    ----------
    segment, start
        The number of the segment, and where in it the part begins, in bytes.
    root
        Its bytes, a flat array of uint8; every array in it has this one as its base.
    address
        Of the first of them in this process.
    generations
        For the offset of a slot, the generation that was last seen in it.
    """

    def __init__(self, segment: Segment, start: int, length: int, *, writable: bool) -> None:
        self.segment, self.start = segment.number, start
        view = map_part(segment, start, length, writable=writable)
        self.root = np.frombuffer(view, np.uint8)
        self.address: int = self.root.ctypes.data
        self.generations: dict[int, int] = {}
        self._slot_bytes = length

    def holds(self, slot: Slot) -> None:
        """Note what is in a slot now."""
        self._slot_bytes = slot.size
        self.generations[slot.offset] = slot.generation

    def generation_at(self, offset: int) -> int | None:
        """Return the generation last seen in the slot that this byte of the segment lies in."""
        begin = self.start + (offset - self.start) // self._slot_bytes * self._slot_bytes
        return self.generations.get(begin)

    def populate(self) -> None:
        """Let the kernel connect all of it to this process at once, not page by page."""
        _libc.madvise(self.address, self.root.size, _POPULATE_WRITE)  # an old kernel cannot


class Windows:
    """The mappings of one process; any thread may ask.

    Parameters
    ----------
    most
        How many to keep; the ones not used for longest are given up. Arrays in them stay valid.
    """

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[int, int], Window] = OrderedDict()
        self._roots: dict[int, Window] = {}

    def of(self, segment: Segment, slot: Slot, *, writable: bool = False) -> Window:
        """Return the window that a slot lies in, with that slot's generation noted.

        Raises
        ------
        OSError
            Where the process has no addresses left for it.
        """
        start, length = window_of(slot)
        key = segment.number, start
        with self._lock:
            window = self._kept.get(key)
            if window is None:
                window = self._make(segment, start, length, writable=writable)
                self._kept[key] = self._roots[id(window.root)] = window
                if len(self._kept) > self._most:
                    self._give_up()
            else:
                self._kept.move_to_end(key)
            window.holds(slot)
        return window

    def around(self, array: np.ndarray) -> Window | None:
        """Return the window that an array lies in; None for any other array."""
        base = array.base
        while isinstance(base, np.ndarray):
            window = self._roots.get(id(base))
            if window is not None:
                return window
            base = base.base
        return None

    def _make(self, segment: Segment, start: int, length: int, *, writable: bool) -> Window:
        try:
            return Window(segment, start, length, writable=writable)
        except OSError:
            while self._kept:
                self._give_up()
            return Window(segment, start, length, writable=writable)

    def _give_up(self) -> None:
        _, window = self._kept.popitem(last=False)
        del self._roots[id(window.root)]


def window_of(slot: Slot) -> tuple[int, int]:
    """Return where the window of a slot begins, and its length, in bytes."""
    if slot.is_small:
        return slot.offset // WINDOW_BYTES * WINDOW_BYTES, WINDOW_BYTES
    return slot.offset, slot.size
