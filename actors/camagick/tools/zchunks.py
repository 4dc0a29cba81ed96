"""How the chunks of a Zarr array get into their files."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from camagick.tools.redo import write_all
from camagick.tools.replacing import open_for_writing, replace

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
        self._canvas = canvas_of(array)

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
        fd = open_for_writing(self._path_of(chunk))
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


def canvas_of(array: Any) -> Any:
    """Return the same array, with as many frames as there could be."""
    import zarr

    inner = array.async_array
    metadata = array.metadata.update_shape((_ANY, *array.shape[1:]))
    return zarr.Array(zarr.AsyncArray(metadata, inner.store_path, inner.config))


def chunks_of(array: Any, folder: str | None) -> Chunks:
    """Return the fastest way to write the chunks of an open array.

    `folder` is where it lies; None where that is no local folder.
    """
    plain = array.dtype.kind in "biufc" and sys.byteorder == "little"
    whole = array.shards is None and array.chunks[1:] == array.shape[1:] and all(array.shape[1:])
    packer = _packer(array.metadata.to_dict()) if plain and whole else None
    if folder is None or packer is None:
        return ByZarr(array)
    rest = (0,) * (len(array.shape) - 1)

    def path_of(chunk: int) -> str:
        return os.path.join(folder, array.metadata.encode_chunk_key((chunk, *rest)))

    return Packed(path_of, packer) if callable(packer) else AsBytes(path_of)


def _packer(known: dict[str, Any]) -> Callable[[Rows], Any] | Literal["none"] | None:
    """Return what compresses a chunk; 'none' where nothing does, None where only zarr can tell."""
    import numcodecs

    if known["zarr_format"] == 2:
        native = known["dtype"][:1] in ("<", "|") and known["order"] == "C"
        if not native or known["filters"]:
            return None
        codec = known["compressor"]
        if codec is None:
            return "none"
        # Of blosc, zarr knows the size of the numbers; bytes are all the same.
        return numcodecs.get_codec(codec).encode if codec["id"] == "zstd" else None
    names = [one["name"] for one in known["codecs"]]
    options = [one.get("configuration", {}) for one in known["codecs"]]
    if options[0].get("endian", "little") != "little" or names[0] != "bytes":
        return None
    if names == ["bytes"]:
        return "none"
    return numcodecs.Zstd(**options[1]).encode if names == ["bytes", "zstd"] else None
