"""A data set of an HDF5 file that grows frame by frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from camagick.tools.frameindex import Mode, Slot, place
from camagick.tools.h5record import H5Record

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Size of a chunk in bytes: what is read, written and compressed in one go.
CHUNK = 2**20
#: Scalars: a chunk of 1 MiB would be mostly empty in a scan of ten points.
CHUNK_FRAMES = 4096
#: What changes from frame to frame does not describe the data set.
MOMENTARY = frozenset({"timestamp", "time", "severity", "status", "alarm", "seq"})


class Unfit(Exception):
    """A value cannot be stored, or not in the data set that is there."""


def as_frame(value: Any) -> np.ndarray[Any, Any]:
    """Return a value as the array that is stored for it, in native byte order.

    Texts become arrays of `str` objects.

    Raises
    ------
    Unfit
        When HDF5 has nothing for it.
    """
    try:
        array = np.asarray(value)
    except ValueError:
        raise Unfit("rows of different lengths") from None
    if array.dtype.kind in "SUT":
        return _as_text(array)
    if array.dtype.kind == "O" and all(isinstance(item, str) for item in array.flat):
        return _as_text(array)
    if array.dtype.kind in "OMm":
        raise Unfit(f"HDF5 has no type for {_type_of(value, array)}")
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def _as_text(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    if array.dtype.kind == "S":
        array = np.char.decode(array, "utf-8", "surrogateescape")
    return array.astype(object)


def _type_of(value: Any, array: np.ndarray[Any, Any]) -> str:
    return type(value).__name__ if array.dtype.kind == "O" else str(array.dtype)


def chunk_shape(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """Return the shape of the chunks for frames of `shape`: about 1 MiB, at least one frame."""
    size = max(1, int(np.prod(shape, dtype=np.int64)) * itemsize)
    frames = min(CHUNK_FRAMES, max(1, CHUNK // size))
    return (frames, *(max(1, length) for length in shape))


class Frames:
    """One data set: an array of frames that grows on its first axis.

    Parameters
    ----------
    dataset
        The open h5py data set.

    Attributes
    ----------
    record
        What is stored here already.
    """

    def __init__(self, dataset: Any) -> None:
        import h5py

        self._dataset = dataset
        self.record = H5Record(dataset)
        # Asking HDF5 takes longer than writing a number, and nobody else changes them.
        self._shape: tuple[int, ...] = dataset.shape or ()
        self._dtype = dataset.dtype
        self._grows = bool(self._shape) and dataset.maxshape[0] is None
        self._text = h5py.check_string_dtype(dataset.dtype) is not None

    def __len__(self) -> int:
        return self._shape[0] if self._shape else 0

    @property
    def described(self) -> str:
        """Shape of the frames and their type, for messages."""
        kind = "text" if self._text else str(self._dtype)
        shape = self._shape
        return f"frames of shape {shape[1:]}, {kind}" if shape else f"a single value, {kind}"

    def fits(self, array: np.ndarray[Any, Any]) -> bool:
        """Tell whether frames like `array` can be stored here without loss."""
        if not self._grows or self._shape[1:] != array.shape:
            return False
        if self._text or array.dtype.kind == "O":
            return self._text and array.dtype.kind == "O"
        return bool(np.can_cast(array.dtype, self._dtype, "safe"))

    def write(self, slot: Slot, array: np.ndarray[Any, Any]) -> None:
        """Put an array into its slot."""
        if slot.clear:
            self._resize(0)
        if slot.length != len(self):
            self._resize(slot.length)
        if array.size:
            self._dataset[slot.frame] = array[()] if array.ndim == 0 else array

    def _resize(self, length: int) -> None:
        self._dataset.resize(length, axis=0)
        self._shape = (length, *self._shape[1:])

    def describe(self, attributes: Mapping[str, Any]) -> None:
        """Write attributes: those that HDF5 can store, and that hold for all frames."""
        for key, value in attributes.items():
            if key in MOMENTARY or value is None or key == "":
                continue
            try:
                array = as_frame(value)
                alone = array.dtype.kind == "O" and array.ndim == 0
                self._dataset.attrs[key] = value if alone else array
            except (Unfit, TypeError, ValueError):
                continue  # a description is a courtesy, the data is what counts

    def flush(self) -> None:
        """Hand everything to the file."""
        self.record.save()
        self._dataset.flush()


def create(
    handle: Any, name: str, array: np.ndarray[Any, Any], compression: str = "none"
) -> Frames:
    """Make an empty data set for frames like `array`, with the groups above it.

    `handle` is the open h5py file, `name` the path in it, `compression` 'none', 'gzip' or 'lzf'.
    """
    import h5py

    text = array.dtype.kind == "O"
    # Texts live outside of the chunks, where no filter reaches them.
    packed = {} if text or compression == "none" else {"compression": compression, "shuffle": True}
    dataset = handle.create_dataset(
        name,
        shape=(0, *array.shape),
        # An axis of length 0 has no chunks, so it must be one that could grow.
        maxshape=(None, *(length or None for length in array.shape)),
        dtype=h5py.string_dtype("utf-8") if text else array.dtype,
        chunks=chunk_shape(array.shape, 16 if text else array.dtype.itemsize),
        **packed,
    )
    return Frames(dataset)


def choose(
    frames: Frames | None, array: np.ndarray[Any, Any], mode: Mode, frame: int | None
) -> Slot:
    """Return where a frame goes, in the data set that is there or (None) in a new one.

    Raises
    ------
    Unfit
        When the data set holds other frames, and `mode` does not replace it.
    Refused
        When `mode` does not permit the frame number.
    """
    if frames is not None and not frames.fits(array):
        if not mode.replaces:
            kind = "text" if array.dtype.kind == "O" else str(array.dtype)
            raise Unfit(
                f"it has {frames.described}, and does not take a frame of shape {array.shape},"
                f" {kind} (mode=O replaces it)"
            )
        frames = None
    return place(mode, frame, len(frames) if frames is not None else 0)
