"""A TIFF file that gets page after page, all or nothing at each commit."""

from __future__ import annotations

import io
import json
import os
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import quoteattr

import numpy as np

from camagick.tools import redo
from camagick.tools.commitfile import CommitFile
from camagick.tools.filelock import WriterLock
from camagick.tools.tiffnote import library, note_of, tag

if TYPE_CHECKING:
    from collections.abc import Mapping

    from camagick.tools.record import Stamp

#: Types of numbers in OME-TIFF.
_OME_TYPES = {
    "uint8": "uint8", "int8": "int8", "uint16": "uint16", "int16": "int16", "uint32": "uint32",
    "int32": "int32", "float32": "float", "float64": "double", "complex64": "complex",
    "complex128": "double-complex",
}  # fmt: skip


class _Stream(io.RawIOBase):
    """A `CommitFile` as tifffile wants it."""

    def __init__(self, image: CommitFile) -> None:
        self._image = image

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if whence == os.SEEK_CUR:
            offset, whence = offset + self._image.tell(), os.SEEK_SET
        return self._image.seek(offset, whence)

    def tell(self) -> int:
        return self._image.tell()

    def readinto(self, buffer: Any) -> int:
        here = self._image.tell()
        there = self._image.seek(0, os.SEEK_END)
        self._image.seek(here)
        target = memoryview(buffer).cast("B")[: max(0, there - here)]
        return self._image.readinto(target) if len(target) else 0

    def write(self, data: Any) -> int:
        return self._image.write(data)


class TiffStack:
    """One file of many pages, one a frame.

    Parameters
    ----------
    path
        Its name; it must be in a folder that is there.
    timeout
        Seconds to wait for another program that writes it.
    ome
        Whether it is an OME-TIFF: its first page tells, in XML, what all pages are.
    big
        Whether it may grow beyond 4 GiB (BigTIFF). A file that is there stays what it is.
    compression
        As tifffile takes it.

    Attributes
    ----------
    count
        How many pages there are.

    Raises
    ------
    BlockingIOError
        When another program writes it.
    OSError, ValueError
        When it cannot be written, or is no TIFF file.
    """

    def __init__(
        self, path: str, timeout: float, *, ome: bool, big: bool, compression: str | None
    ) -> None:
        self._ome, self._compression = ome, compression
        self._lock = WriterLock(path, timeout)
        try:
            redo.replay(self._lock.fd)
            self._image = CommitFile(self._lock.fd)
            self._stream = _Stream(self._image)
            self.count = 0
            self._last: dict[str, Any] = {}
            self._first: dict[str, Any] = {}
            self._xml = (0, 0)  # where the description is, and how much room it has
            if self._lock.size:
                self._take_over()
            self._writer = self._start(big)
        except BaseException:
            self._lock.release()
            raise

    def _start(self, big: bool) -> Any:
        new = not self._lock.size
        self._stream.seek(0)  # what tifffile takes for the beginning
        writer = library().TiffWriter(
            self._stream, bigtiff=big, append=False if new else "force", shaped=False
        )
        if new:
            self._image.commit()
        return writer

    def _take_over(self) -> None:
        """See what is there."""
        self._stream.seek(0)
        with library().TiffFile(self._stream) as tiff:
            self.count = len(tiff.pages)
            if not self.count:
                return
            self._first, self._last = dict(note_of(tiff.pages[0])), dict(note_of(tiff.pages[-1]))
            if "page" not in self._last:
                raise ValueError("it is there already, and was written by somebody else")
            text = tiff.pages[0].tags[270]
            is_xml = str(text.value).lstrip().startswith("<?xml")
            if is_xml != self._ome:
                raise ValueError(f"it is there already, {'with' if is_xml else 'without'} ome=1")
            self._kind = np.dtype(tiff.pages[0].dtype)
            self._xml = (text.valueoffset, text.count)

    def number(self, stamp: Stamp | None) -> int | None:
        """Return the page of an iteration that is there already, None for a new one.

        -1 stands for one that is there, nobody knows where.
        """
        last = self._last
        if stamp is None or (last.get("run"), last.get("actor")) != (stamp.run, stamp.actor):
            return None
        if stamp.seq > last["seq"]:
            return None
        return self.count - 1 if stamp.seq == last["seq"] else -1

    def write(
        self, frame: np.ndarray[Any, Any], stamp: Stamp | None, known: Mapping[str, Any]
    ) -> int:
        """Add a page, and return its number.

        Raises
        ------
        ValueError
            When the frame does not suit the pages that are there.
        OSError
            When that is not possible.
        """
        number = self.count
        if number and (list(frame.shape) != self._first.get("shape") or frame.dtype != self._kind):
            raise ValueError(
                f"it has images of shape {tuple(self._first.get('shape', ()))}, {self._kind}, and"
                f" takes none of {frame.shape}, {frame.dtype}"
            )
        note = tag(frame.shape, stamp, number, known.get("timestamp"))
        page = frame.reshape(-1, frame.shape[-1] if frame.ndim else 1)
        self._writer.write(
            page, photometric="minisblack", metadata=None, software="caspy", extratags=[note],
            description=None if number else self._text(page, known),
            compression=self._compression,
        )  # fmt: skip
        if self._image.error is not None:
            raise self._image.error
        if not number:
            self._kind = frame.dtype
            self._first = json.loads(note[3])
            self._find_text()
        self.count += 1
        if stamp is not None:
            self._last = {"run": stamp.run, "actor": stamp.actor, "seq": stamp.seq}
        return number

    def _text(self, page: np.ndarray[Any, Any], known: Mapping[str, Any]) -> str:
        if self._ome:
            return _xml(str(known.get("tag", "")), page.shape, page.dtype, 1)
        plain = {k: v for k, v in known.items() if _is_plain(v) and k not in ("tag", "timestamp")}
        return json.dumps({"tag": known.get("tag", ""), **plain})

    def _find_text(self) -> None:
        here = self._stream.tell()
        self._stream.seek(0)
        with library().TiffFile(self._stream) as tiff:
            found = tiff.pages[0].tags[270]
            self._xml = (found.valueoffset, found.count)
        self._stream.seek(here)

    def commit(self) -> None:
        """Bring the file on the disk to what was written, all or nothing.

        Raises
        ------
        OSError
            When that is not possible.
        """
        if self._lock.deleted:
            raise OSError("it was deleted while it was being written")
        if self._ome and self.count:
            self._count_in_xml()
        self._image.commit()

    def _count_in_xml(self) -> None:
        where, room = self._xml
        here = self._stream.tell()
        self._stream.seek(where)
        text = self._stream.read(room) or b""
        before, _, rest = text.partition(b'SizeT="')
        digits = b"%010d" % self.count
        if rest[:10] != digits:
            self._stream.seek(where + len(before) + len(b'SizeT="'))
            self._stream.write(digits)
        self._stream.seek(here)

    def close(self) -> None:
        """Commit, and let others write."""
        try:
            if self._image.error is None:
                self.commit()
        finally:
            self._lock.release()


def _is_plain(value: Any) -> bool:
    return isinstance(value, (str, int, float, bool)) or (
        isinstance(value, (list, tuple)) and all(_is_plain(one) for one in value)
    )


def _xml(name: str, shape: tuple[int, ...], dtype: np.dtype[Any], count: int) -> str:
    """Return the description of an OME-TIFF with `count` images; the number has a fixed width."""
    kind = _OME_TYPES.get(str(dtype))
    if kind is None:
        raise ValueError(f"OME-TIFF has no type for {dtype}: there are {', '.join(_OME_TYPES)}")
    space = "http://www.openmicroscopy.org/Schemas/OME/2016-06"
    text = (
        '<?xml version="1.0" encoding="UTF-8"?>'
        f'<OME xmlns="{space}" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
        f' xsi:schemaLocation="{space} {space}/ome.xsd" Creator="caspy">'
        f'<Image ID="Image:0" Name={quoteattr(name or "image")}>'
        f'<Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="{kind}" BigEndian="false"'
        f' SizeX="{shape[1]}" SizeY="{shape[0]}" SizeZ="1" SizeC="1" SizeT="{count:010d}">'
        '<Channel ID="Channel:0:0" SamplesPerPixel="1"/><TiffData/></Pixels></Image></OME>'
    )
    return text.encode("ascii", "xmlcharrefreplace").decode()
