"""Compressed images of areaDetector's plugin NDPluginCodec, and how they become arrays."""

from __future__ import annotations

import importlib
import importlib.util
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

_LIBRARY = "imagecodecs"
CODECS = ("blosc", "bslz4", "jpeg", "lz4", "lz4hdf5", "zlib")


class Packed(NamedTuple):
    """A compressed image, kept so until it is wanted.

    Attributes
    ----------
    codec
        One of `CODECS`.
    data : numpy.ndarray
        Its bytes, (n,) uint8.
    shape, dtype
        What it will be, the colours where they were sent.
    axis
        Which of three dimensions has the colours; they become the last.
    """

    codec: str
    data: np.ndarray
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    axis: int = 2

    @property
    def nbytes(self) -> int:
        """How much memory it takes while it is packed."""
        return int(self.data.nbytes)

    def unpacked(self, empty: Callable[[Any, Any], np.ndarray] = np.empty) -> np.ndarray:
        """Return the image, in an array that `empty` has made.

        Raises
        ------
        ValueError
            When the bytes are not what they should be.
        """
        made = empty(self.shape, self.dtype)
        into = made.reshape(-1).view(np.uint8)
        try:
            if self.codec == "bslz4":
                _bslz4(self.data, into, self.dtype.itemsize)
            elif self.codec == "jpeg":
                _jpeg(self.data, made)
            else:
                _flat(self.codec, self.data, into)
        except Exception as error:  # each decoder has errors of its own
            raise ValueError(f"cannot be decompressed ({self.codec}): {error}") from error
        return np.moveaxis(made, self.axis, 2) if made.ndim == 3 and self.axis != 2 else made


def checked(codec: str) -> str:
    """Return a codec's name if it can be undone here.

    Raises
    ------
    ValueError
        When it is unknown, or its library is not installed.
    """
    if codec not in CODECS:
        raise ValueError(f"is compressed with {codec!r}; known are {', '.join(CODECS)}")
    if importlib.util.find_spec(_LIBRARY) is None:
        raise ValueError(
            f"is compressed ({codec}), and {_LIBRARY} is not installed: pip install {_LIBRARY}"
        )
    return codec


def _library() -> Any:
    return importlib.import_module(_LIBRARY)


def _flat(codec: str, data: np.ndarray, into: np.ndarray) -> None:
    name = {"lz4hdf5": "lz4h5"}.get(codec, codec)
    made = getattr(_library(), f"{name}_decode")(data, out=into)
    if len(made) != len(into):
        raise ValueError(f"{len(made)} bytes, not {len(into)}")


def _jpeg(data: np.ndarray, into: np.ndarray) -> None:
    made = _library().jpeg_decode(data)
    if math.prod(made.shape) != into.size:
        raise ValueError(f"an image of {made.shape}, not {into.shape}")
    into[...] = made.reshape(into.shape)


def _bslz4(data: np.ndarray, into: np.ndarray, itemsize: int) -> None:
    """Undo what `bshuf_compress_lz4` does with its own choice of blocks."""
    library = _library()
    block = max(8192 // itemsize // 8 * 8, 128)  # elements; the rule of the bitshuffle library
    elements = into.size // itemsize
    shuffled = np.empty(into.size, np.uint8)
    blocks = [block] * (elements // block)
    if rest := elements % block // 8 * 8:
        blocks.append(rest)
    place = there = 0
    for count in blocks:
        size = int.from_bytes(data[place : place + 4].tobytes(), "big")
        place += 4
        target = shuffled[there : there + count * itemsize]
        made = library.lz4_decode(data[place : place + size], out=target)
        if len(made) != len(target):
            raise ValueError(f"a block of {len(made)} bytes, not {len(target)}")
        place += size
        there += len(target)
    shuffled[there:] = data[place : place + len(shuffled) - there]  # less than eight elements
    kind = f"u{itemsize}"  # arrays say by their type how large their elements are
    library.bitshuffle_decode(shuffled.view(kind), blocksize=block, out=into.view(kind))
