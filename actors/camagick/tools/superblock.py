"""The first bytes of an HDF5 file, by which its format is known."""

from __future__ import annotations

import os

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
#: Where the marks are.
_MARKS = 11


def is_new_format(fd: int) -> bool:
    """Tell whether an open file is of the format of HDF5 1.10, which SWMR readers can open."""
    head = os.pread(fd, len(_SIGNATURE) + 1, 0)
    return head.startswith(_SIGNATURE) and head[len(_SIGNATURE) :] >= b"\x03"


def is_marked(fd: int) -> bool:
    """Tell whether an open file of that format is marked as open for writing."""
    return is_new_format(fd) and os.pread(fd, 1, _MARKS) not in (b"", b"\0")
