"""What describes an image beside its pixels, as PVs."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from camagick.tools.ca_declared import Declared
from camagick.tools.ca_values import Form

#: As areaDetector has them, in the order of their numbers.
_DATA_TYPES = (
    "Int8", "UInt8", "Int16", "UInt16", "Int32", "UInt32", "Int64", "UInt64", "Float32", "Float64",
)  # fmt: skip
_COLOURS = ("Mono", "Bayer", "RGB1", "RGB2", "RGB3", "YUV444", "YUV422", "YUV421")
#: More dimensions than any image has.
_DIMENSIONS = 10


class Companion(NamedTuple):
    """A PV beside an image.

    Attributes
    ----------
    name, value
        Its name and value.
    labels
        Where it is an enum.
    """

    name: str
    value: Any
    labels: tuple[str, ...] = ()

    @property
    def declared(self) -> Declared:
        """What the PV has to be."""
        if self.labels:
            return Declared(Form("ENUM", 1), self.value, "int64", (), self.labels)
        if np.ndim(self.value):
            form = Form("LONG", _DIMENSIONS)
            return Declared(form, self.value, "int32", np.shape(self.value))
        return Declared(Form("LONG", 1), self.value, "int32")


def shape_companion(name: str, value: Any) -> list[Companion]:
    """Return ``NAME_shape``: the dimensions, the slowest first, as numpy has them."""
    return [Companion(f"{name}_shape", np.array(np.shape(value), dtype=np.int32))]


def image_companions(name: str, value: Any, number: int) -> list[Companion]:
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
    kinds = [name.lower() for name in _DATA_TYPES]
    dtype = np.asarray(value).dtype.newbyteorder("=").name
    kind = kinds.index(dtype) if dtype in kinds else len(kinds) - 1
    found = {
        "NDimensions_RBV": len(shape),
        "Dimensions_RBV": np.array(sizes, dtype=np.int32),
        **{f"ArraySize{axis}_RBV": (*sizes, 0, 0, 0)[axis] for axis in range(3)},
        "ArraySize_RBV": int(np.size(value)),
        "UniqueId_RBV": number & 0x7FFFFFFF,
    }
    return [
        *(Companion(f"{name}:{key}", one) for key, one in found.items()),
        Companion(f"{name}:ColorMode_RBV", _colour(shape), _COLOURS),
        Companion(f"{name}:DataType_RBV", kind, _DATA_TYPES),
    ]


def _colour(shape: tuple[int, ...]) -> int:
    if len(shape) != 3 or 3 not in shape:
        return _COLOURS.index("Mono")
    # Which one depends on where the colours stand: last, in the middle, or first.
    return _COLOURS.index(("RGB3", "RGB2", "RGB1")[max(n for n in range(3) if shape[n] == 3)])
