"""A file that joins the data sets of other files: HDF5's virtual data sets."""

from __future__ import annotations

import io
import logging
import os
from typing import TYPE_CHECKING, Any, NamedTuple

from camagick.tools import nexus
from camagick.tools.h5array import write_attributes
from camagick.tools.h5file import ROLLED
from camagick.tools.layout import Beside, Frame
from camagick.tools.record import ATTRIBUTE, Record
from camagick.tools.replacing import replace
from camagick.tools.stamps import SEVERITY, TIMESTAMP

if TYPE_CHECKING:
    from collections.abc import Sequence

    from camagick.tools.layout import Layout

log = logging.getLogger(__name__)


class Array(NamedTuple):
    """A data set of a part: its shape, its type, what stands where nothing is, its attributes."""

    shape: tuple[int, ...]
    dtype: Any
    fill: Any
    attributes: dict[str, Any]


class Part(NamedTuple):
    """What is in a part.

    Attributes
    ----------
    path
        Its name.
    arrays
        Its data sets.
    begun
        When it was begun (ISO 8601).
    grows
        Whether it is being written: what joins it has all that will be in it, too.
    """

    path: str
    arrays: dict[str, Array]
    begun: str
    grows: bool = False


def is_joined(path: str) -> bool:
    """Tell whether a file is one that `write` has made."""
    import h5py

    try:
        with h5py.File(path, "r", locking=False) as file:
            return ROLLED in file.attrs
    except OSError:
        return False


def look(path: str) -> Part:
    """Return what is in a part."""
    import h5py

    arrays: dict[str, Array] = {}

    def note(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.maxshape and item.maxshape[0] is None:
            known = {key: item.attrs[key] for key in item.attrs if key != ATTRIBUTE}
            fill = item.fillvalue if item.dtype.kind in "iuf" else None
            arrays["/" + name] = Array(item.shape, item.dtype, fill, known)

    with h5py.File(path, "r", locking=False) as file:
        file.visititems(note)
        return Part(path, arrays, str(file.attrs.get("start_time", "")))


def records(path: str) -> tuple[str, dict[str, Record]]:
    """Return the name of a part, and the record of each of its data sets."""
    import h5py

    found: dict[str, Record] = {}

    def note(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and ATTRIBUTE in item.attrs:
            found["/" + name] = Record.parse(item.attrs[ATTRIBUTE])

    with h5py.File(path, "r", locking=False) as file:
        file.visititems(note)
    return path, found


def write(path: str, parts: Sequence[Part], layout: Layout) -> None:
    """Make the file that joins `parts`, in the place of an older one, in one step."""
    import h5py

    image = io.BytesIO()  # HDF5 itself had better not meet a full disk
    with h5py.File(image, "w", libver=("earliest", "v110")) as file:
        write_attributes(file, {**layout.origin(), ROLLED: len(parts)})
        for name in dict.fromkeys(name for part in parts for name in part.arrays):
            _join(file, name, [(part, part.arrays[name]) for part in parts if name in part.arrays])
        if layout.nexus:
            _announce(file, layout, parts)
    replace(path, image.getbuffer())


def _join(file: Any, name: str, there: list[tuple[Part, Array]]) -> None:
    """Make one virtual data set of those that have the same frames."""
    import h5py

    first = there[0][1]
    frame = first.shape[1:]
    alike = [(p, a) for p, a in there if (a.shape[1:], a.dtype) == (frame, first.dtype)]
    for part, array in there:
        if (part, array) not in alike and not part.grows:
            log.warning(
                'msg="has other frames than the parts before, and is not joined" file=%s'
                ' dataset="%s"', part.path, name,
            )  # fmt: skip
    length = sum(array.shape[0] for _, array in alike)
    endless = (None, *frame) if alike[-1][0].grows else None
    plan = h5py.VirtualLayout((length, *frame), first.dtype, maxshape=endless)
    start, end = 0, h5py.h5s.UNLIMITED
    for part, array in alike:
        source = (os.path.basename(part.path), name, array.shape, array.dtype)
        if part.grows:
            plan[start:end] = h5py.VirtualSource(*source, maxshape=endless)[0:end]
        elif array.shape[0]:
            plan[start : start + array.shape[0]] = h5py.VirtualSource(*source)
        start += array.shape[0]
    made = file.create_virtual_dataset(name, plan, fillvalue=first.fill)
    for key, value in first.attributes.items():
        made.attrs[key] = value


def _announce(file: Any, layout: Layout, parts: Sequence[Part]) -> None:
    dimensions = {name: len(array.shape) for part in parts for name, array in part.arrays.items()}
    for name in sorted(dimensions):
        if name.endswith((TIMESTAMP, SEVERITY)):
            continue
        timed = f"{name}{TIMESTAMP}" in dimensions
        beside = (Beside(TIMESTAMP, None, {}, 0),) if timed else ()
        frame = Frame(name, None, None, layout.origin, None, beside)
        nexus.announce(file, frame, dimensions[name])
