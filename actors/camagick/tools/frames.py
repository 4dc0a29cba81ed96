"""Values as they are stored, and the chunks in which files keep them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: Size of a chunk in bytes: what is read, written and compressed in one go.
CHUNK = 2**20
#: Scalars: a chunk of 1 MiB would be mostly empty in a scan of ten points.
CHUNK_FRAMES = 4096
#: What changes from frame to frame does not describe the data set.
_MOMENTARY = frozenset({"timestamp", "time", "severity", "status", "alarm", "seq"})


class Unfit(Exception):
    """A value cannot be stored, or not in the array that is there."""


def as_frame(value: Any, *, ragged: bool = False) -> np.ndarray[Any, Any]:
    """Return a value as the array that is stored for it, in native byte order.

    Numbers are not copied. Texts become arrays of `str` objects. With `ragged`, an array of one
    axis becomes a row: an array without axes that holds it as an object, since its length is its
    own.

    Raises
    ------
    Unfit
        When no file format has anything for it.
    """
    try:
        array = np.asarray(value)
    except ValueError:
        raise Unfit("rows of different lengths in one frame") from None
    if array.dtype.kind in "biufc":
        native = array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))
        return _as_row(native) if ragged and native.ndim == 1 else native
    if array.dtype.kind in "SUT":
        return _as_text(array)
    if array.dtype.kind == "O" and all(isinstance(item, str) for item in array.flat):
        return _as_text(array)
    known = type(value).__name__ if array.dtype.kind == "O" else str(array.dtype)
    raise Unfit(f"HDF5 and Zarr have no type for {known}")


def _as_row(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    if array.dtype.kind not in "iuf":
        raise Unfit(f"ragged=1 has no rows of {array.dtype}")
    row = np.empty((), object)
    row[()] = array.copy()  # it is kept until its chunk is written
    return row


def row_type(array: np.ndarray[Any, Any]) -> np.dtype[Any] | None:
    """Return the type of the numbers in a row (see `as_frame`); None for what is no row."""
    content = array[()] if array.ndim == 0 and array.dtype.kind == "O" else None
    return content.dtype if isinstance(content, np.ndarray) else None


def _as_text(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    if array.dtype.kind == "S":
        array = np.char.decode(array, "utf-8", "surrogateescape")
    return array.astype(object)


def type_name(array: np.ndarray[Any, Any]) -> str:
    """Return what the numbers in a frame are called in messages."""
    row = row_type(array)
    if row is not None:
        return f"a row of {row}"
    return "text" if array.dtype.kind == "O" else str(array.dtype)


def parse_chunks(text: Any) -> tuple[int, ...]:
    """Return what ``chunks=`` asks for: the frames in a chunk, then its lengths in a frame.

    'auto' is an empty tuple.

    Raises
    ------
    ValueError
        When it is something else.
    """
    words = str(text).strip()
    if words in ("auto", ""):
        return ()
    try:
        chunks = tuple(int(word) for word in words.split(","))
    except ValueError:
        chunks = (0,)
    if min(chunks) < 1:
        raise ValueError(
            f"chunks={text!r}: auto, the number of frames in a chunk (16), or with its lengths in"
            " a frame behind it (1,512,512)"
        )
    return chunks


def chunk_shape(frame: np.ndarray[Any, Any], wanted: tuple[int, ...] = ()) -> tuple[int, ...]:
    """Return the shape of the chunks for frames like `frame`.

    That is `wanted`; where that says nothing, whole frames, as many as make 1 MiB, at least one.

    Raises
    ------
    Unfit
        When `wanted` is for frames of another number of axes.
    """
    if len(wanted) > 1:
        if len(wanted) != frame.ndim + 1:
            raise Unfit(f"chunks={wanted} do not suit a frame of shape {frame.shape}")
        lengths = [min(*pair) for pair in zip(wanted[1:], frame.shape, strict=True)]
    else:
        lengths = list(frame.shape)
    itemsize = 16 if frame.dtype.kind == "O" else frame.itemsize
    room = max(1, CHUNK // max(1, frame.size * itemsize))
    return (wanted[0] if wanted else min(CHUNK_FRAMES, room), *(max(1, one) for one in lengths))


def describing(attributes: Mapping[str, Any]) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
    """Return the attributes that hold for all frames and can be stored, as arrays."""
    for key, value in attributes.items():
        if key in _MOMENTARY or value is None or key == "":
            continue
        try:
            yield key, as_frame(value)
        except Unfit:
            continue  # a description is a courtesy, the data is what counts
