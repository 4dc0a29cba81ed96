"""Arrays in shared memory, as one actor sees them: read, handed on, made.

What is sent of such an array is where it lies; see `camagick_broker.values`, extension 3.
"""

from __future__ import annotations

import errno
import logging
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from camagick_broker.arrays import SLOT_BYTES
from camagick_broker.layout import SLOT_KINDS, layout, span
from camagick_broker.slottable import TABLE_BYTES, SlotTable
from camagick_broker.windows import Windows, map_part
from camagick_broker.wire import MAX_FRAME_BYTES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from camagick_broker.segment import Segment
    from camagick_broker.slotpool import SlotPool
    from camagick_broker.slottable import Slot
    from camagick_broker.windows import Window

log = logging.getLogger(__name__)


class SharedArrays:
    """The arrays of one actor that lie in shared memory, its own and others'.

    Reading may happen in one thread while another one hands on what was read before.

    Parameters
    ----------
    segments
        Those that its messages may speak of, by the number of their actor; its own among them.
    pool
        Gives out slots of its own; None where it has none.
    copies
        Whether arrays are read into memory of this process: its processor keeps them.
    name
        Of the actor, for the log.
    least
        Arrays of fewer bytes do not lie here.

    Attributes
    ----------
    copied
        How many bytes were copied to shared memory.
    unplaced
        How many arrays found no room there.
    """

    def __init__(
        self,
        segments: Mapping[int, Segment],
        pool: SlotPool | None,
        *,
        copies: bool = False,
        name: str = "",
        least: int = SLOT_BYTES,
    ) -> None:
        self._name, self._least = name, least
        self._segments, self._pool, self._copies = segments, pool, copies
        self._windows = Windows()
        self._tables: dict[int, SlotTable] = {}
        self._seq: int | None = None
        self._placed: dict[int, tuple[np.ndarray, tuple[int, int, int]]] = {}
        # Each array that `empty` has made, and its place: by its own id, and by that of its base
        # where it is alone there, as what is made of it for sending has no other base.
        self._made: dict[int, tuple[np.ndarray, tuple[int, int, int]]] = {}
        self._bytes = 0
        self.copied = self.unplaced = 0

    # What comes

    def read(self, descriptor: Sequence[Any]) -> np.ndarray:
        """Return, read-only, the array that a message speaks of.

        Parameters
        ----------
        descriptor
            ``[segment, generation, offset, dtype, shape, strides]``.

        Raises
        ------
        ValueError, TypeError
            Where no such array can be there.
        OSError
            Where this process has no memory for it.
        """
        try:
            return self._read(descriptor)
        except MemoryError:
            raise OSError(errno.ENOMEM, "no memory for an array that has come") from None

    def _read(self, descriptor: Sequence[Any]) -> np.ndarray:
        if len(descriptor) != 6:
            raise ValueError("an array in shared memory that is not described by six values")
        number, generation, offset, kind, sizes, steps = descriptor
        for one in (number, generation, offset):
            if type(one) is not int or not 0 <= one < 1 << 63:
                raise TypeError(f"{one!r:.40} is no place in shared memory")
        dtype, shape, strides, low, high = layout(kind, tuple(sizes), tuple(steps))
        segment = self._segments.get(number)
        if segment is None:
            raise ValueError(f"shared memory of actor {number}, which is not before this one")
        slot = self._table(segment).current(generation)
        if offset + low < slot.offset or offset + high > slot.offset + slot.size:
            raise ValueError(f"an array of {dtype} {shape!s:.80} that leaves its slot")
        try:
            window = self._windows.of(segment, slot)
        except OSError:  # no addresses left
            content = segment.read(offset + low, high - low)
            array = np.ndarray(shape, dtype, content, -low, strides)
        else:
            array = np.ndarray(shape, dtype, window.root, offset - window.start, strides)
            if self._copies:
                array = array.copy()
        array.flags.writeable = False
        return array

    def mapped(self, place: tuple[int, int, int], size: int) -> np.ndarray | None:
        """Return, read-only, so many bytes where they lie: what is there later is seen, too.

        Parameters
        ----------
        place
            Segment, generation and offset, as `place` says.
        size
            How many.

        Returns
        -------
        ndarray or None
            uint8, one dimension; None where this process has no addresses left for it.
        """
        number, generation, offset = place
        segment = self._segments[number]
        try:
            window = self._windows.of(segment, self._table(segment).current(generation))
        except OSError:
            return None
        array = np.ndarray(size, np.uint8, window.root, offset - window.start)
        array.flags.writeable = False
        return array

    # What goes

    def begin(self, seq: int) -> None:
        """Note which iteration everything belongs to from now on."""
        self._seq, self._bytes = seq, 0
        self._placed.clear()
        self._made.clear()

    def end(self) -> int:
        """Note that the message is made; return how many bytes of arrays it speaks of."""
        self._seq = None
        self._placed.clear()
        size, self._bytes = self._bytes, 0
        return size

    def place(self, array: np.ndarray) -> tuple[int, int, int] | None:
        """Return where an array lies, after copying it to there if need be.

        Returns
        -------
        (int, int, int) or None
            Segment, generation, and the offset of its element [0, ..., 0] in bytes. In shared
            memory it has the strides that it has here. None where it has to travel otherwise.
        """
        seq = self._seq
        if (
            seq is None
            or array.dtype.kind not in SLOT_KINDS
            or not self._least <= array.nbytes <= MAX_FRAME_BYTES
        ):
            return None
        known = self._placed.get(id(array))
        where = known[1] if known is not None else self._lies(array, seq) or self._copy(array, seq)
        if where is not None:
            self._placed[id(array)] = array, where
            self._bytes += array.nbytes
        return where

    def empty(self, shape: Any, dtype: Any = float) -> np.ndarray:
        """Return a new array to write to, in a slot where that is worth it.

        It belongs to the iteration under way: whoever keeps it longer finds other data in it.
        """
        made = np.dtype(dtype)
        size = made.itemsize * (shape if isinstance(shape, int) else math.prod(shape))
        taken = None
        if (
            self._least <= size <= MAX_FRAME_BYTES
            and made.kind in SLOT_KINDS
            and self._seq is not None
        ):
            taken = self._take(size, self._seq)
        if taken is None:
            return np.empty(shape, made)
        slot, window = taken
        array = np.ndarray(shape, made, window.root, slot.offset - window.start)
        entry = array, (window.segment, slot.generation, slot.offset)
        self._made[id(array)] = entry
        if window.root.size == slot.size:
            self._made[id(window.root)] = entry
        return array

    def figures(self) -> dict[str, int]:
        """Return what the statistics shall say."""
        held = self._pool.held if self._pool is not None else 0
        return {"copied_bytes": self.copied, "slot_bytes": held, "unplaced": self.unplaced}

    # Inside

    def _table(self, segment: Segment) -> SlotTable:
        table = self._tables.get(segment.number)
        if table is None:
            words = map_part(segment, 0, TABLE_BYTES, writable=False)
            table = self._tables[segment.number] = SlotTable(words)
        return table

    def _lies(self, array: np.ndarray, seq: int) -> tuple[int, int, int] | None:
        """Return where an array of this iteration lies already."""
        flags = array.flags
        made = self._made.get(id(array)) or self._made.get(id(array.base))
        if made is not None and flags.c_contiguous and array.nbytes == made[0].nbytes:
            flags.writeable = False
            return made[1]
        window = self._windows.around(array)
        if window is None:
            return None
        first = array.__array_interface__["data"][0] - window.address + window.start
        low, high = span(array.shape, array.strides, array.itemsize)
        generation = window.generation_at(first + low)
        if generation is None:
            return None
        try:
            slot = self._table(self._segments[window.segment]).current(generation)
        except ValueError:
            return None
        # What a processor has kept from another iteration may be overwritten at any time.
        if slot.user != seq + 1 or first + high > slot.offset + slot.size:
            return None
        if flags.writeable:  # made here: whoever writes to it from now on shall hear of it
            flags.writeable = False
        return window.segment, generation, first

    def _copy(self, array: np.ndarray, seq: int) -> tuple[int, int, int] | None:
        low, high = span(array.shape, array.strides, array.itemsize)
        if high - low > 2 * array.nbytes:  # more gaps than data
            return None
        taken = self._take(high - low, seq)
        if taken is None:
            return None
        slot, window = taken
        first = slot.offset - low
        target = np.ndarray(
            array.shape, array.dtype, window.root, first - window.start, array.strides
        )
        np.copyto(target, array)
        self.copied += array.nbytes
        return window.segment, slot.generation, first

    def _take(self, size: int, seq: int) -> tuple[Slot, Window] | None:
        pool = self._pool
        if pool is None:
            return None
        slot = pool.take(size, seq)
        if slot is None:
            self._find_no_room("no memory left")
            return None
        try:
            window = self._windows.of(pool.segment, slot, writable=True)
        except OSError as error:
            self._find_no_room(error.strerror or str(error))
            return None
        if pool.is_fresh:
            window.populate()
        return slot, window

    def _find_no_room(self, why: str) -> None:
        if not self.unplaced:
            text = "no room in shared memory (said once), arrays are copied"
            log.warning('msg="%s: %s" actor=%s', text, why, self._name)
        self.unplaced += 1
