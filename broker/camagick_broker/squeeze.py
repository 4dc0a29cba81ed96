"""Large arrays made smaller for a slow link, by Blosc (numcodecs): a message says so by a flag.

What is retained, written down, and sent again is the smaller one. Where compressing gains little,
it is tried again only now and then; with `AUTO`, also where it makes the stream no faster.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from camagick_broker.errors import RemoteProtocolError
from camagick_broker.trial import Trial
from camagick_broker.wire import MAX_FRAME_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

#: Names of codecs, and whether they sort the bits of the elements first (bitshuffle).
CODECS = {"lz4": False, "bslz4": True}
#: The one that sorts bits, where that makes a stream faster (`camagick_broker.trial`).
AUTO = "auto"
_CHUNK = struct.Struct("<4xI4xI")  # bytes in it, and of it, behind four of its header (C-Blosc 1)
_CHUNK_BYTES = 16
_NO_SHUFFLE, _BIT_SHUFFLE = 0, 2
_LEVEL = 5
#: What is not smaller than this part of what it was is not worth the time.
_WORTH = 0.9
_TRY_EACH = 64
#: LZ4 makes at most so many bytes of one.
_MOST_RATIO = 260


def is_there() -> bool:
    """Tell whether the library is installed."""
    from importlib.util import find_spec

    return find_spec("numcodecs") is not None


class Squeezer:
    """Makes the arrays of one actor's messages smaller.

    Parameters
    ----------
    codec
        One of `CODECS`, or `AUTO`.
    """

    def __init__(self, codec: str) -> None:
        from numcodecs import blosc

        self._compress = blosc.compress
        self._shuffle = _BIT_SHUFFLE if CODECS.get(codec, True) else _NO_SHUFFLE
        self._trial = Trial() if codec == AUTO else None
        self._wait = 0

    def __call__(self, buffers: Sequence[np.ndarray], itemsizes: Sequence[int]) -> list[Any] | None:
        """Return buffers made smaller; None where that would gain too little.

        Parameters
        ----------
        buffers
            Bytes of arrays.
        itemsizes
            How many of them make an element, for the first of them; 1 for the others.
        """
        if self._trial is not None and not self._trial():
            return None
        if self._wait:
            self._wait -= 1
            return None
        made = []
        for index, buffer in enumerate(buffers):
            itemsize = itemsizes[index] if index < len(itemsizes) else 1
            elements = buffer.view(f"V{itemsize}") if itemsize > 1 else buffer
            made.append(self._compress(elements, b"lz4", _LEVEL, self._shuffle))
        if sum(map(len, made)) <= _WORTH * sum(buffer.nbytes for buffer in buffers):
            return made
        self._wait = _TRY_EACH - 1
        return None


def restored(buffers: Sequence[Any]) -> list[memoryview]:
    """Return buffers as they were.

    Raises
    ------
    RemoteProtocolError
        For what is not what a `Squeezer` makes.
    """
    try:
        from numcodecs import blosc
    except ImportError:
        raise RemoteProtocolError("compressed arrays, and numcodecs is not installed") from None
    made = []
    for buffer in buffers:
        if len(buffer) < _CHUNK_BYTES:
            raise RemoteProtocolError("a compressed array that ends too early")
        inside, own = _CHUNK.unpack_from(buffer)
        if own != len(buffer) or not 0 < inside <= min(MAX_FRAME_BYTES, _MOST_RATIO * own):
            raise RemoteProtocolError(f"a compressed array of {own} bytes for {inside}")
        try:
            made.append(memoryview(blosc.decompress(buffer)))
        except (RuntimeError, ValueError) as error:
            raise RemoteProtocolError(f"a compressed array that is none: {error}") from None
    return made
