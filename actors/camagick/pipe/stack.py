"""A history."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from camagick.errors import BadOption
from camagick.pertag import DataError, as_array, describe
from camagick.processor import ProcessorBase
from camagick.tools.numbers import is_integer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from camagick.data import Data


class Processor(ProcessorBase):
    """Collect the last values of every tag in one array, the newest at its end.

    A number becomes a curve of its history, an array of N numbers becomes an array of (values, N),
    an image becomes a stack of images. The array starts with the first value and grows until it
    holds `size` values; then the oldest are dropped. All numbers become floating-point (64 bit).

    Parameters
    ----------
    size : int, default 128
        How many values to keep.
    reslice : bool, default True
        Treat an array with one single element as a number: it makes a curve, not an array of
        (values, 1).
    fill : {'none', 'mean'}, default 'none'
        What to start with: 'mean' has all `size` places from the first moment on, filled with the
        mean of the first value.

    Examples
    --------
    Plot how a number evolves::

        caspy --from-epics iffy prefix=EXAMPLE: --stack 500 --to-plot
    """

    stateful: ClassVar[bool] = True

    def __init__(self, size: int = 128, reslice: bool = True, fill: str = "none") -> None:
        if not is_integer(size, 1):
            raise BadOption(f"stack: size={size!r} is not a positive integer")
        if fill not in {"none", "mean"}:
            raise BadOption(f"stack: fill={fill!r} is neither 'none' nor 'mean'")
        self.size = size
        self.reslice = bool(reslice)
        self.fill = fill
        self._histories: dict[str, _History] = {}
        self._newest: dict[str, Any] = {}
        self.memory = size

    def process(self, data: Data, context: Data) -> dict[str, Any]:
        self._newest = dict(data)
        return {tag: self._stacked(tag, value) for tag, value in data.items()}

    def remember(self) -> dict[str, Any]:
        return self._newest

    def recall(self, remembered: Sequence[Mapping[str, Any]]) -> None:
        for data in remembered:
            for tag, value in data.items():
                self._stacked(tag, value)

    async def shutdown(self) -> None:
        self._histories.clear()

    def _stacked(self, tag: str, value: Any) -> Any:
        try:
            frame = as_array(value)
        except (TypeError, ValueError) as error:
            raise DataError(f"stack: {tag} ({describe(value)}): {error}") from None
        if frame.dtype.kind not in "biuf":
            raise DataError(f"stack: {tag} ({describe(value)}): only real numbers can be stacked")
        if self.reslice and frame.shape == (1,):
            frame = frame[0]
        history = self._histories.get(tag)
        if history is None:
            history = self._histories[tag] = _History(self.size, frame, self.fill == "mean")
        elif history.shape != frame.shape:
            raise DataError(
                f"stack: {tag} had shape {history.shape} until now, and has {frame.shape}:"
                " only values of one shape can be stacked"
            )
        return history.append(frame)


class _History:
    """The last values, as a window that moves through a block of memory.

    What was handed out is never written to again, so windows can be handed out without a copy:
    when the block is full, a new one is begun. The block is longer than the window by a quarter,
    so that this costs little time, and little memory.
    """

    def __init__(self, size: int, frame: Any, filled: bool) -> None:
        self.size = size
        self.shape: tuple[int, ...] = frame.shape
        self._block = self._new_block()
        self._end = 0
        if filled:
            self._end = size
            self._block[:size] = frame.mean() if frame.size else 0.0

    def append(self, frame: Any) -> Any:
        """Add the newest value, and return all (read-only)."""
        if self._end == len(self._block):
            kept = self._block[self._end - self.size + 1 : self._end]
            self._block = self._new_block()
            self._end = len(kept)
            self._block[: self._end] = kept
        self._block[self._end] = frame
        self._end += 1
        window = self._block[max(0, self._end - self.size) : self._end]
        window.flags.writeable = False
        return window

    def _new_block(self) -> Any:
        return np.empty((self.size + self.size // 4 + 1, *self.shape), dtype=np.float64)
