"""What describes an image beside its pixels, as PVs."""

from __future__ import annotations

from typing import Any

import numpy as np

#: In the order of areaDetector's DataType_RBV.
_DATA_TYPES = (
    "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64",
)  # fmt: skip
_MONO, _RGB1, _RGB2, _RGB3 = 0, 2, 3, 4


def companions(name: str, value: Any) -> list[tuple[str, Any]]:
    """Return ``NAME_shape``: the dimensions, the slowest first, as numpy has them."""
    return [(f"{name}_shape", np.array(np.shape(value), dtype=np.int32))]


def image_companions(name: str, value: Any, number: int) -> list[tuple[str, Any]]:
    """Return the PVs that areaDetector has beside ``ArrayData``, without those for setting.

    Parameters
    ----------
    name
        Of the image.
    value
        The image: (height, width), (height, width, 3) in colour, or any other of two dimensions
        or more.
    number
        Of the image, for ``UniqueId_RBV``.
    """
    shape = np.shape(value)
    sizes = shape[::-1]  # areaDetector counts dimensions from the fastest
    dtype = np.asarray(value).dtype.newbyteorder("=").name
    found: dict[str, Any] = {
        "NDimensions_RBV": np.int32(len(shape)),
        "Dimensions_RBV": np.array(sizes, dtype=np.int32),
        **{f"ArraySize{axis}_RBV": np.int32((*sizes, 0, 0, 0)[axis]) for axis in range(3)},
        "ArraySize_RBV": np.int32(np.size(value)),
        "ColorMode_RBV": np.int32(_colour(shape)),
        "DataType_RBV": np.int32(_DATA_TYPES.index(dtype) if dtype in _DATA_TYPES else 9),
        "UniqueId_RBV": np.int32(number & 0x7FFFFFFF),
    }
    return [(f"{name}:{key}", one) for key, one in found.items()]


def _colour(shape: tuple[int, ...]) -> int:
    if len(shape) != 3 or 3 not in shape:
        return _MONO
    return (_RGB3, _RGB2, _RGB1)[max(axis for axis in range(3) if shape[axis] == 3)]
