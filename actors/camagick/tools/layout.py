"""What files of growing arrays are told: which frames, where to, in which form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from camagick.tools.url import below

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np

    from camagick.tools.frameindex import Mode
    from camagick.tools.record import Stamp


class StoreError(Exception):
    """A file cannot be opened or written; the message names it."""


class Beside(NamedTuple):
    """A number that is stored beside a frame, in an array of its own.

    Attributes
    ----------
    suffix
        What its name has behind that of the frame's array.
    value
        The number; None where nothing is known. An array is made with the first one that is known.
    attributes
        Of the array.
    fill
        What stands for frames from before, and where nothing is known.
    """

    suffix: str
    value: np.generic | None
    attributes: Mapping[str, Any]
    fill: float


class Frame(NamedTuple):
    """What is to be written where.

    Attributes
    ----------
    name
        Path of the data set, or array, in its file.
    value
        The frame.
    number
        Frame number asked for; None appends.
    attributes
        Tells what is known about the values; written when the array is made.
    stamp
        Which iteration it is from; None where nobody will ask.
    beside
        What is stored beside it: of the same number, and in the same commit.
    """

    name: str
    value: Any
    number: int | None
    attributes: Callable[[], Mapping[str, Any]]
    stamp: Stamp | None = None
    beside: tuple[Beside, ...] = ()


class Names:
    """The names of arrays in one file, found once for each tag.

    Parameters
    ----------
    is_group
        Tells whether there is a group of a name in the file.
    """

    def __init__(self, is_group: Callable[[str], bool]) -> None:
        self._is_group = is_group
        self._known: dict[tuple[str, str], str] = {}

    def __call__(self, inner: str, tag: str) -> str:
        """Return the path of a tag's array: in `inner` where that is a group, else `inner`."""
        name = self._known.get((inner, tag))
        if name is None:
            name = below(inner, tag) if inner.endswith("/") or self._is_group(inner) else inner
            if len(self._known) > 4096:
                self._known.clear()  # context values that change for ever
            self._known[inner, tag] = name
        return name


class Layout(NamedTuple):
    """How arrays are made.

    Attributes
    ----------
    mode
        What may happen to frames that are there.
    chunks
        As `frames.chunk_shape` takes it.
    packed
        What the library of the format is told about compression.
    origin
        Tells who writes: attributes of new files and groups.
    ragged
        Whether rows (arrays of one axis) may differ in length.
    shard, zarr_format
        Frames in a file of a Zarr array (0: a chunk each), and which format it has.
    swmr, nexus
        Whether HDF5's SWMR readers shall be able to follow, and programs to plot it.
    """

    mode: Mode
    chunks: tuple[int, ...]
    packed: Any
    origin: Callable[[], Mapping[str, Any]] = dict
    ragged: bool = False
    shard: int = 0
    zarr_format: Literal[2, 3] = 3
    swmr: bool = False
    nexus: bool = False
