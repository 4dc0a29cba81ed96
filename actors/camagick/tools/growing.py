"""An array in a file that grows frame by frame, whatever the format of the file."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np

from camagick.tools.frameindex import Mode, Slot, place
from camagick.tools.frames import Unfit, type_name

if TYPE_CHECKING:
    from camagick.tools.record import Record, Stamp


class Growing(ABC):
    """One array of frames. Its last chunk is gathered in memory, and put into the file in pieces.

    What is put before a commit must be seen by nobody, that is up to the formats. Where a chunk
    holds a single frame, frames are put as they come, out of the memory in which they are.

    Parameters
    ----------
    shape
        What is there: number of frames, then the shape of each; empty for what is no such array.
    dtype
        Of the numbers; object or string for texts.
    frames
        How many frames a chunk has.
    record
        What is stored here already.

    Attributes
    ----------
    record
        The same.
    """

    def __init__(self, shape: tuple[int, ...], dtype: Any, frames: int, record: Record) -> None:
        self.record = record
        self._shape, self._dtype = shape, dtype
        self._text = dtype.kind in ("O", "T", "U")
        self._frames = frames
        self._length = shape[0] if shape else 0
        self._fill: Any = None  # what stands where nothing was written: zeros
        self._chunk = -1  # the one that is gathered
        self._tail: np.ndarray[Any, Any] = np.empty(0)
        self._filled = self._done = 0  # rows of it that are there, and those that were put

    @abstractmethod
    def _put(self, chunk: int, rows: np.ndarray[Any, Any], first: int, last: int) -> None:
        """Bring rows `first` to `last` of a chunk into the file; `rows` are all of the chunk."""

    @abstractmethod
    def _read(self, first: int, last: int) -> Any:
        """Return frames that are in the file."""

    @abstractmethod
    def commit(self) -> None:
        """Hand what is gathered, and the record, to the file."""

    def __len__(self) -> int:
        return self._length

    @property
    def described(self) -> str:
        """Shape of the frames and their type, for messages."""
        kind = "text" if self._text else str(self._dtype)
        shape = self._shape
        return f"frames of shape {shape[1:]}, {kind}" if shape else f"a single value, {kind}"

    def fits(self, array: np.ndarray[Any, Any]) -> bool:
        """Tell whether frames like `array` can be stored here without loss."""
        if not self._shape or self._shape[1:] != array.shape:
            return False
        if array.dtype == self._dtype:
            return True
        if self._text or array.dtype.kind == "O":
            return self._text and array.dtype.kind == "O"
        return bool(np.can_cast(array.dtype, self._dtype, "safe"))

    def choose(self, array: np.ndarray[Any, Any], mode: Mode, frame: int | None) -> Slot | None:
        """Return where a frame goes; None when this array has to be replaced for it.

        Raises
        ------
        Unfit
            When there are other frames in it, and `mode` does not replace them.
        Refused
            When `mode` does not permit the frame number.
        """
        if self.fits(array):
            return place(mode, frame, self._length)
        if mode.replaces:
            return None
        raise Unfit(
            f"it has {self.described}, and does not take a frame of shape {array.shape},"
            f" {type_name(array)} ({self._advice(array)})"
        )

    def _advice(self, array: np.ndarray[Any, Any]) -> str:
        """Return what can be done about a frame that does not fit."""
        return "mode=O replaces it"

    def write(self, slot: Slot, array: np.ndarray[Any, Any], stamp: Stamp | None) -> None:
        """Put a frame behind the end, perhaps with a gap before it, and note whose it is."""
        number = slot.frame
        chunk, row = divmod(number, self._frames)
        if self._frames == 1:
            self._put_alone(number, np.asarray(array, self._dtype, order="C"))
        else:
            if chunk != self._chunk:
                if number > self._length:
                    self._leave()
                self._begin(chunk)
            self._tail[row, ...] = array
            self._length, self._filled = number + 1, row + 1
        # What counts as there is noted, whatever happens next.
        if stamp is not None:
            self.record.note(stamp, number)
        if self._filled == self._frames > 1:
            self._settle()

    def _put_alone(self, number: int, array: np.ndarray[Any, Any]) -> None:
        before, self._length = self._length, number + 1
        try:
            self._put(number, array[np.newaxis], 0, 1)
        except BaseException:
            self._length = before  # of what is not in the file, a commit must not tell
            raise

    def _leave(self) -> None:
        """Fill the chunk of the last frame: a gap begins, where a killed writer may have been."""
        chunk, rest = divmod(self._length, self._frames)
        if rest:
            if chunk != self._chunk:
                self._begin(chunk)
            self._filled = self._frames
            self._settle()

    def _begin(self, chunk: int) -> None:
        """Gather another chunk; what it has already is read."""
        self._settle()
        first, tail = chunk * self._frames, self._empty()
        there = max(0, self._length - first)
        if there:
            tail[:there] = self._read(first, self._length)
        self._chunk, self._tail, self._filled, self._done = chunk, tail, there, there

    def _empty(self) -> np.ndarray[Any, Any]:
        shape = (self._frames, *self._shape[1:])
        if self._fill is None:
            return np.zeros(shape, self._dtype)
        return np.full(shape, self._fill, self._dtype)

    def _settle(self) -> None:
        """Put what was gathered."""
        if self._done < self._filled:
            self._put(self._chunk, self._tail, self._done, self._filled)
            self._done = self._filled

    def _drop(self) -> None:
        """Put what was gathered, and read it again if more is to come."""
        self._settle()
        self._chunk, self._filled, self._done = -1, 0, 0
