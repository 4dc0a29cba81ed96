"""In which order parts of an HDF5 file are overwritten, so that readers find a sound one meanwhile.

First the superblock (with the length of the file), then what leads to data, the upper nodes of a
tree before the lower ones, last of all what says how much data there is: the headers of data sets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Piece = tuple[int, "bytes | bytearray"]

#: What leads to data: of the old format, and of the one that SWMR readers know.
_LEADING = (b"SNOD", b"HEAP", b"GCOL", b"EA", b"FA", b"BT", b"FR", b"FH", b"OCHK")
_HEADER = b"OHDR"


def in_order(pieces: Iterable[tuple[int, bytearray]]) -> list[Piece]:
    """Return pieces (where, what) of a file in the order in which they are to be written."""
    return sorted((part for piece in pieces for part in _parts(*piece)), key=_rank)


def _parts(start: int, data: bytearray) -> Iterator[Piece]:
    """Cut a piece where headers of objects begin and end: they come after what is beside them.

    What looks like a header by chance is cut off, too: that does no harm.
    """
    at, found = 0, data.find(_HEADER)
    while found >= 0:
        end = min(found + _size(data, found), len(data))
        if found > at:
            yield start + at, data[at:found]
        yield start + found, data[found:end]
        at, found = end, data.find(_HEADER, end)
    if at == 0:
        yield start, data
    elif at < len(data):
        yield start + at, data[at:]


def _size(data: bytearray, at: int) -> int:
    """Return how long the header is that begins there: its first part, with the checksum."""
    flags = data[at + 5] if at + 5 < len(data) else 0
    width = 1 << (flags & 3)
    prefix = 6 + 16 * bool(flags & 0x20) + 4 * bool(flags & 0x10)
    content = int.from_bytes(data[at + prefix : at + prefix + width], "little")
    return prefix + width + content + 4


def _rank(piece: Piece) -> tuple[int, int]:
    start, data = piece
    if start == 0:
        return 0, 0
    if data.startswith(b"TREE"):
        return 1, -int.from_bytes(data[5:6], "little")  # its level
    if data.startswith(_LEADING):
        return 2, 0
    return (4, 0) if data.startswith(_HEADER) else (3, 0)
