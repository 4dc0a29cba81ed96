"""Zarr stores, of both formats, read while others may write them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from camagick.tools.arrayfile import ArrayFile, Missing, ReadError, StoredArray, native, texts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from camagick.tools.arrayfile import Empty

#: What zarr and its codecs raise where a store is broken.
FAILURES = (OSError, KeyError, RuntimeError, ValueError, TypeError)


class ZarrArray(StoredArray):
    """One array.

    Parameters
    ----------
    array
        The open zarr array.
    where
        Its store and path, for messages.
    """

    def __init__(self, array: Any, where: str) -> None:
        self._array, self._where = array, where
        self.shape = tuple(array.shape)
        self.chunk = (array.shards or array.chunks)[0] if array.shape else 1
        kind = np.dtype(array.dtype)
        if kind.kind in "SUTO":
            kind = np.dtype("U")
        elif kind.kind not in "biufc":
            raise ReadError(f"{where}: values of type {kind} cannot be handed on")
        self.dtype = native(kind)

    @property
    def attributes(self) -> Mapping[str, Any]:
        return dict(self._array.attrs)

    def read(self, index: tuple[int | slice, ...], empty: Empty) -> Any:
        try:
            found = np.asarray(self._array[index])
        except FAILURES as error:
            raise ReadError(f"{self._where}: {reason(error)}") from error
        if self.is_text:
            return texts(found)
        made = empty(found.shape, self.dtype)
        made[...] = found
        return made


class ZarrReader(ArrayFile):
    """A Zarr store that is open for reading; see `ArrayFile`.

    It may be a folder, or an address that fsspec understands (``s3://...``).
    """

    def __init__(self, path: str) -> None:
        import zarr

        super().__init__(path)
        if "://" not in path and not os.path.exists(path):
            raise Missing(f"{path}: there is no such store")
        try:
            self._root: Any = zarr.open(path, mode="r")
        except FileNotFoundError:
            raise ReadError(f"{path}: it is no Zarr store") from None
        except FAILURES as error:
            raise ReadError(f"{path}: {reason(error)}") from error

    def _node(self, name: str) -> Any:
        import zarr

        inner = name.strip("/")
        if not inner:
            return self._root
        if isinstance(self._root, zarr.Array):
            return None
        try:
            return self._root[inner]
        except KeyError:
            return None
        except FAILURES as error:
            raise ReadError(f"{self.path}: {self.noun} {name}: {reason(error)}") from error

    def look(self, name: str) -> StoredArray | None:
        import zarr

        found = self._node(name)
        where = f"{self.path}: {self.noun} {name}"
        return ZarrArray(found, where) if isinstance(found, zarr.Array) else None

    def keys(self, group: str) -> list[str] | None:
        import zarr

        found = self._node(group)
        return sorted(found.keys()) if isinstance(found, zarr.Group) else None

    def group_attributes(self, group: str) -> Mapping[str, Any]:
        return dict(self._node(group).attrs)

    def close(self) -> None:
        self._root = None


def reason(error: BaseException) -> str:
    """Return one line for what zarr, or the system below it, says."""
    text = " ".join(str(error).split())
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return text or type(error).__name__
