"""Zarr stores on the local disk that one program writes and others read."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from camagick.tools.filelock import FolderLock
from camagick.tools.frames import Unfit
from camagick.tools.storedfile import StoredFile
from camagick.tools.zarray import ZArray, create

if TYPE_CHECKING:
    import numpy as np

    from camagick.tools.layout import Frame, Layout

#: From so many arrays on, they are committed by several threads: mostly, the disk is waited for.
_MANY = 4
_THREADS = 4


class ZFile(StoredFile[ZArray, FolderLock]):
    """One open store; see `StoredFile`. It is committed array by array."""

    def __init__(self, path: str, timeout: float, layout: Layout) -> None:
        super().__init__(path, timeout, layout, _lock)

    def _open(self) -> None:
        import zarr

        self._pool: ThreadPoolExecutor | None = None

        self._check_kind()
        self._store = zarr.storage.LocalStore(self.path)
        zarr.open_group(self._store, mode="a", zarr_format=3)

    def _check_kind(self) -> None:
        """Refuse a folder that is something else: it would be littered with ours."""
        names = [name for name in os.listdir(self.path) if not name.endswith(".partial")]
        if names and not self._is_group("/"):
            raise Unfit("it is a folder, but no group of Zarr's format 3")

    def _kind(self, name: str) -> str:
        """Return what is there under a name: 'group', 'array', or '' for nothing."""
        try:
            with open(os.path.join(self._folder(name), "zarr.json"), "rb") as stream:
                return str(json.load(stream)["node_type"])
        except (FileNotFoundError, NotADirectoryError):
            return ""

    def _is_group(self, name: str) -> bool:
        return self._kind(name) == "group"

    def _folder(self, name: str) -> str:
        return os.path.join(self.path, name.strip("/"))

    def _look(self, name: str) -> ZArray | None:
        import zarr

        kind = self._kind(name)
        if kind == "":
            return None
        if kind != "array":
            raise Unfit("there is a group of that name")
        found = zarr.open_array(self._store, path=name.strip("/"), mode="r+")
        return ZArray(found, self._folder(name))

    def _make(self, frame: Frame, value: np.ndarray[Any, Any]) -> ZArray:
        above = frame.name.rpartition("/")[0]
        while above:
            if self._kind(above) == "array":
                raise Unfit(f"{above} is an array, and cannot hold others")
            above = above.rpartition("/")[0]
        made = create(self._store, frame, value, self._layout)
        return ZArray(made, self._folder(frame.name))

    def _commit(self) -> None:
        if len(self._arrays) < _MANY:
            self._commit_arrays()
        else:
            self._pool = self._pool or ThreadPoolExecutor(_THREADS, "commit")
            self._commit_arrays(self._pool.map)

    def _let_go(self) -> None:
        if self._pool is not None:
            self._pool.shutdown()


def _lock(path: str, timeout: float) -> FolderLock:
    os.makedirs(path, exist_ok=True)
    return FolderLock(path, timeout)
