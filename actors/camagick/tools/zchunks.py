"""How the chunks of a Zarr array get into their files."""

from __future__ import annotations

import contextlib
import os
import sys
import uuid
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from camagick.tools.redo import write_all

if TYPE_CHECKING:
    from collections.abc import Callable

    Rows = np.ndarray[Any, Any]

#: Frames that an array could have; only what it says in its `zarr.json` exists.
_ANY = 2**40


class Chunks(Protocol):
    """Brings chunks into the store."""

    def put(self, chunk: int, rows: Rows, first: int, last: int) -> None:
        """Put rows `first` to `last` of a chunk; `rows` are all of the chunk."""


class ByZarr:
    """Lets zarr do it, whatever the codecs are. It replaces files, each in one step."""

    def __init__(self, array: Any) -> None:
        import zarr

        inner = array.async_array
        metadata = array.metadata.update_shape((_ANY, *array.shape[1:]))
        self._canvas = zarr.Array(zarr.AsyncArray(metadata, inner.store_path, inner.config))

    def put(self, chunk: int, rows: Rows, first: int, last: int) -> None:
        # A whole chunk, always: so what a killed predecessor left there is not read.
        self._canvas[chunk * len(rows) : (chunk + 1) * len(rows)] = rows


class AsBytes:
    """Writes the bytes of the numbers, which are a chunk without compression.

    Rows are added to a file that is there already: nobody looks behind the end of the array.

    Parameters
    ----------
    path_of
        Gives the file of a chunk.
    """

    def __init__(self, path_of: Callable[[int], str]) -> None:
        self._path_of = path_of

    def put(self, chunk: int, rows: Rows, first: int, last: int) -> None:
        fd = _open(self._path_of(chunk))
        try:
            if os.fstat(fd).st_size != rows.nbytes:
                os.ftruncate(fd, rows.nbytes)
                first = 0
            part = rows[first:last].reshape(-1).view(np.uint8).data
            write_all(fd, part, first * rows.strides[0])
        finally:
            os.close(fd)


class Packed:
    """Compresses whole chunks, in this thread; the file of one is replaced in one step.

    Parameters
    ----------
    path_of
        Gives the file of a chunk.
    pack
        Compresses an array.
    """

    def __init__(self, path_of: Callable[[int], str], pack: Callable[[Rows], Any]) -> None:
        self._path_of, self._pack = path_of, pack

    def put(self, chunk: int, rows: Rows, first: int, last: int) -> None:
        replace(self._path_of(chunk), self._pack(rows))


def chunks_of(array: Any, folder: str) -> Chunks:
    """Return the fastest way to write the chunks of an open array that lies in `folder`."""
    known = array.metadata.to_dict()
    codecs = [(one["name"], one.get("configuration", {})) for one in known["codecs"]]
    names = [name for name, _ in codecs]
    plain = array.dtype.kind in "biufc" and sys.byteorder == "little"
    whole = array.shards is None and array.chunks[1:] == array.shape[1:] and all(array.shape[1:])
    endian = codecs[0][1].get("endian", "little")
    if not plain or not whole or endian != "little" or names not in (["bytes"], ["bytes", "zstd"]):
        return ByZarr(array)
    rest = (0,) * (len(array.shape) - 1)

    def path_of(chunk: int) -> str:
        return os.path.join(folder, array.metadata.encode_chunk_key((chunk, *rest)))

    if len(names) == 1:
        return AsBytes(path_of)
    from numcodecs import Zstd

    return Packed(path_of, Zstd(**codecs[1][1]).encode)


def replace(path: str, content: Any) -> None:
    """Write a file in the place of the one that is there, in one step."""
    partial = f"{path}.{uuid.uuid4().hex}.partial"
    try:
        fd = _open(partial)
        try:
            data = memoryview(content).cast("B")
            # With its blocks there, ext4 does not write a file out when it is renamed.
            os.posix_fallocate(fd, 0, len(data))
            write_all(fd, data, 0)
        finally:
            os.close(fd)
        os.replace(partial, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(partial)
        raise


def _open(path: str) -> int:
    """Open a file for writing; it and its folder are made where they do not exist."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
    try:
        return os.open(path, flags, 0o666)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return os.open(path, flags, 0o666)
