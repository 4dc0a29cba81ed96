"""Parts of segments, mapped into this process: each once, for as long as it is of use."""

from __future__ import annotations

import ctypes
import mmap
import os
import resource
import threading
import weakref
from typing import TYPE_CHECKING

import numpy as np

from camagick_broker.slottable import window_of

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
    slot_bytes
        The size of the slots in it.
    generations
        For the offset of a slot, the generation that was last seen in it.
    """

    def __init__(self, segment: Segment, start: int, length: int, *, writable: bool) -> None:
        self.segment, self.start = segment.number, start
        view = map_part(segment, start, length, writable=writable)
        self.root = np.frombuffer(view, np.uint8)
        self.address: int = self.root.ctypes.data
        self.generations: dict[int, int] = {}
        self.slot_bytes = length

    def generation_at(self, offset: int) -> int | None:
        """Return the generation last seen in the slot that this byte of the segment lies in."""
        begin = self.start + (offset - self.start) // self.slot_bytes * self.slot_bytes
        return self.generations.get(begin)

    def populate(self) -> None:
        """Let the kernel connect all of it to this process at once, not page by page."""
        _libc.madvise(self.address, self.root.size, _POPULATE_WRITE)  # an old kernel cannot


class Windows:
    """The mappings of one process; any thread may ask.

    Parameters
    ----------
    most
        How many to keep; the oldest are given up. Arrays in them stay valid.
    most_bytes
        How many addresses to take for them; without it, a quarter of what the process may have.
    """

    def __init__(self, most: int = _MOST, most_bytes: int | None = None) -> None:
        self._most = most
        self._most_bytes = _quarter() if most_bytes is None else most_bytes
        self._bytes = 0
        self._lock = threading.Lock()
        self._kept: dict[tuple[int, int, bool], Window] = {}
        self._roots: dict[int, Window] = {}

    def of(self, segment: Segment, slot: Slot, *, writable: bool = False) -> Window:
        """Return the window that a slot lies in, with that slot's generation noted.

        Raises
        ------
        OSError
            Where the process has no addresses left for it.
        """
        start, length = window_of(slot)
        window = self._kept.get((segment.number, start, writable))
        if window is None:
            with self._lock:
                window = self._make(segment, start, length, writable=writable)
        window.slot_bytes = slot.size
        window.generations[slot.offset] = slot.generation
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
        while self._kept and (
            len(self._kept) >= self._most or self._bytes + length > self._most_bytes
        ):
            self._give_up()
        try:
            window = Window(segment, start, length, writable=writable)
        except OSError:
            while self._kept:
                self._give_up()
            window = Window(segment, start, length, writable=writable)
        self._bytes += length
        self._kept[segment.number, start, writable] = self._roots[id(window.root)] = window
        return window

    def _give_up(self) -> None:
        window = self._kept.pop(next(iter(self._kept)))
        self._bytes -= window.root.size
        del self._roots[id(window.root)]


def _quarter() -> int:
    """Return a quarter of the addresses that this process may have, where that is limited."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    return limit // 4 if limit != resource.RLIM_INFINITY else 1 << 46
