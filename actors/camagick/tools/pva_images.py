"""Images of areaDetector (NTNDArray), between PV Access and numpy."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from camagick.tools.pva_codecs import Packed, checked

if TYPE_CHECKING:
    from collections.abc import Iterable

#: ``ColorMode`` of areaDetector: where colours stand, counted from the fastest dimension.
_COLOR_AXIS = {2: 0, 3: 1, 4: 2}

#: What ``codec.parameters`` says about the elements of compressed data.
_SCALAR_TYPES: dict[int, type[np.generic]] = {
    0: np.bool_, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.int64, 5: np.uint8, 6: np.uint16,
    7: np.uint32, 8: np.uint64, 9: np.float32, 10: np.float64,
}  # fmt: skip

_NUMBERS = {np.dtype(kind): number for number, kind in _SCALAR_TYPES.items()}


def image(value: Any, at: str = "") -> tuple[Any, dict[str, Any]]:
    """Return an image, and what only images have.

    Parameters
    ----------
    value
        The structure.
    at
        Path of the image in it, with its dot; '' where it is the whole.

    Returns
    -------
    value : numpy.ndarray or Packed
        Shape (rows, columns), or (rows, columns, colours); memory of p4p, not copied.
    attributes : dict
        uniqueId, ColorMode.

    Raises
    ------
    ValueError
        When dimensions and data do not belong together, or the compression is not known here.
    """
    data = value.get(f"{at}value")
    data = np.empty(0, np.uint8) if data is None else data
    shape = tuple(int(one.get("size")) for one in reversed(value.get(f"{at}dimension") or ()))
    attributes: dict[str, Any] = {"uniqueId": int(value.get(f"{at}uniqueId", 0))}
    mode = _color_mode(value.get(f"{at}attribute") or ()) if len(shape) == 3 else None
    if mode is not None:
        attributes["ColorMode"] = mode
    axis = 2 - _COLOR_AXIS.get(mode or 0, 0)
    codec = str(value.get(f"{at}codec.name", "") or "")
    if codec and codec != "none":
        return _packed(value, at, checked(codec), data, shape, axis), attributes
    shape = shape or data.shape
    if math.prod(shape) != data.size:
        raise ValueError(f"has {data.size} elements, its dimensions say {shape}")
    return colours_last(data.reshape(shape), axis), attributes


def colours_last(array: np.ndarray, axis: int) -> np.ndarray:
    """Return a view of an image with its colours in the last dimension, where they belong."""
    return np.moveaxis(array, axis, 2) if array.ndim == 3 and axis != 2 else array


def _packed(
    value: Any, at: str, codec: str, data: np.ndarray, shape: tuple[int, ...], axis: int
) -> Packed:
    parameter = value.get(f"{at}codec.parameters")
    size = int(value.get(f"{at}uncompressedSize", 0))
    kind = _SCALAR_TYPES.get(parameter) if isinstance(parameter, int) else None
    if kind is None:  # told by none: of what size the elements are is all that is left
        each = size // max(1, math.prod(shape))
        sizes: dict[int, type[np.generic]] = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}
        if data.dtype.itemsize != 1:
            kind = _SCALAR_TYPES[_NUMBERS[data.dtype]]
        elif each in sizes:
            kind = sizes[each]
        else:
            raise ValueError(f"is compressed ({codec}), but does not say of what type it is")
    dtype = np.dtype(kind)
    wanted = math.prod(shape) * dtype.itemsize
    if size not in (0, wanted):
        raise ValueError(f"has {size} bytes uncompressed, {shape} of {dtype} would be {wanted}")
    compressed = int(value.get(f"{at}compressedSize", 0))
    raw = data.view(np.uint8)
    return Packed(codec, raw[:compressed] if compressed else raw, shape, dtype, axis)


def _color_mode(attributes: Iterable[Any]) -> int | None:
    for attribute in attributes:
        if attribute.get("name") == "ColorMode":
            mode = attribute.get("value")
            return int(mode) if isinstance(mode, int | float) else None
    return None
