"""The first bytes of an HDF5 file in the format of 1.10, the one that SWMR readers open.

HDF5 marks such a file while a program has it open for writing, and a mark that a killed program
has left shuts everybody out. Our files change at commits only (see `commitfile`), so that they need
no mark: it is taken off before it gets to the disk.
"""

from __future__ import annotations

import os
import struct

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
#: Where version, marks and checksum are; and how many bytes there are, with addresses of 8 bytes.
_VERSION, _MARKS, _CHECKSUM, SIZE = 8, 11, 44, 48
_MASK = 0xFFFFFFFF


def is_new_format(fd: int) -> bool:
    """Tell whether an open file has a superblock that can be marked: that of version 3."""
    head = os.pread(fd, _VERSION + 1, 0)
    return head.startswith(_SIGNATURE) and head[_VERSION:] >= b"\x03"


def unmarked(data: memoryview) -> memoryview:
    """Return what is written to the begin of a file without the marks of an open file."""
    head = bytes(data[:SIZE])
    new = len(head) == SIZE and head.startswith(_SIGNATURE) and head[_VERSION] >= 3
    # Addresses of another size: no file of ours.
    if not new or not head[_MARKS] or head[9:11] != b"\x08\x08":
        return data
    head = head[:_MARKS] + b"\0" + head[_MARKS + 1 : _CHECKSUM]
    return memoryview(head + struct.pack("<I", checksum(head)) + bytes(data[SIZE:]))


def checksum(data: bytes) -> int:
    """Return the checksum that HDF5 has for what describes data: lookup3 by Bob Jenkins."""
    a = b = c = (0xDEADBEEF + len(data)) & _MASK
    while len(data) > 12:
        one, two, three = struct.unpack("<III", data[:12])
        a, b, c = _mix((a + one) & _MASK, (b + two) & _MASK, (c + three) & _MASK)
        data = data[12:]
    if not data:
        return c
    one, two, three = struct.unpack("<III", data.ljust(12, b"\0"))
    return _final((a + one) & _MASK, (b + two) & _MASK, (c + three) & _MASK)


def _turn(number: int, bits: int) -> int:
    return ((number << bits) | (number >> (32 - bits))) & _MASK


def _mix(a: int, b: int, c: int) -> tuple[int, int, int]:
    for bits in (4, 6, 8, 16, 19, 4):
        a = (a - c) & _MASK ^ _turn(c, bits)
        c = (c + b) & _MASK
        a, b, c = b, c, a
    return a, b, c


def _final(a: int, b: int, c: int) -> int:
    for bits in (14, 11, 25, 16, 4, 14, 24):
        c = ((c ^ b) - _turn(b, bits)) & _MASK
        a, b, c = b, c, a
    return b  # the one that was changed last
