"""Zarr stores that one program writes and others read."""

from __future__ import annotations

import json
import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from camagick.tools.filelock import FolderLock
from camagick.tools.frames import Unfit
from camagick.tools.storedfile import StoredFile
from camagick.tools.zarray import ZArray, create
from camagick.tools.zplace import is_url, local, place_of

if TYPE_CHECKING:
    import numpy as np

    from camagick.tools.layout import Frame, Layout

#: From so many arrays on, they are committed by several threads: mostly, the disk is waited for.
_MANY = 4
_THREADS = 4
#: What says what a name stands for, and the file that says it, in both formats.
_NODES = (("zarr.json", ""), (".zarray", "array"), (".zgroup", "group"))
_CONSOLIDATED = "consolidated_metadata"


class NoLock:
    """What is there instead of a lock where there are none."""

    deleted = False

    def release(self) -> None:
        """Do nothing."""


class ZFile(StoredFile[ZArray, "FolderLock | NoLock"]):
    """One open store; see `StoredFile`. It is committed array by array."""

    def __init__(self, path: str, timeout: float, layout: Layout) -> None:
        super().__init__(path, timeout, layout, _lock)

    def _open(self) -> None:
        import zarr

        self._pool: ThreadPoolExecutor | None = None
        self._place = place_of(self.path)
        self._store = self._place.store
        new = self._check_kind()
        group = zarr.open_group(self._store, mode="a", zarr_format=self._layout.zarr_format)
        if new:
            group.attrs.update(dict(self._layout.origin()))
        else:
            self._forget_consolidated()

    def _check_kind(self) -> bool:
        """Refuse a folder that is something else: it would be littered with ours.

        Returns
        -------
        bool
            Whether there is nothing yet.
        """
        wanted = self._layout.zarr_format
        found = self._kind("/")
        if found:
            there = 3 if self._place.read("zarr.json") is not None else 2
            if found == "array":
                raise Unfit("it is a single array, and no group")
            if there != wanted:
                raise Unfit(f"it is a store of Zarr's format {there}: write format={there}")
            return False
        # A killed writer may have left what zarr writes before it says what there is.
        if any(name != ".zattrs" and not _is_rest(name) for name in self._place.names("")):
            raise Unfit(f"it is a folder, but no group of Zarr's format {wanted}")
        return True

    def _kind(self, name: str) -> str:
        """Return what is there under a name: 'group', 'array', or '' for nothing."""
        for file, kind in _NODES:
            content = self._place.read(f"{name}/{file}".strip("/"))
            if content is not None:
                return kind or str(json.loads(content)["node_type"])
        return ""

    def _is_group(self, name: str) -> bool:
        return self._kind(name) == "group"

    def _look(self, name: str) -> ZArray | None:
        import zarr

        kind = self._kind(name)
        if kind == "":
            return None
        if kind != "array":
            raise Unfit("there is a group of that name")
        key = name.strip("/")
        return ZArray(zarr.open_array(self._store, path=key, mode="r+"), self._place, key)

    def _make(self, frame: Frame, value: np.ndarray[Any, Any], fill: float | None) -> ZArray:
        import zarr

        above = first = frame.name.rpartition("/")[0]
        new = above != "" and not self._kind(above)
        while above:
            if self._kind(above) == "array":
                raise Unfit(f"{above} is an array, and cannot hold others")
            above = above.rpartition("/")[0]
        made = create(self._store, frame, value, self._layout, fill)
        if new:
            group = zarr.open_group(self._store, path=first.strip("/"), mode="r+")
            group.attrs.update(dict(self._layout.origin()))
        return ZArray(made, self._place, frame.name.strip("/"))

    def _commit(self) -> None:
        if len(self._arrays) < _MANY:
            self._commit_arrays()
        else:
            self._pool = self._pool or ThreadPoolExecutor(_THREADS, "commit")
            self._commit_arrays(self._pool.map)

    def _let_go(self) -> None:
        import zarr

        if self._pool is not None:
            self._pool.shutdown()
        if self._dirty or self._lock.deleted:
            return  # it has failed, and readers had better look at each array
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # every program knows it, but the specification
            zarr.consolidate_metadata(self._store, zarr_format=self._layout.zarr_format)

    def _forget_consolidated(self) -> None:
        """Remove the copy of all metadata: readers would believe it while arrays grow."""
        if self._layout.zarr_format == 2:
            if self._place.read(".zmetadata") is not None:
                self._place.remove(".zmetadata")
            return
        known = json.loads(self._place.read("zarr.json") or b"{}")
        if known.pop(_CONSOLIDATED, None) is not None:
            self._place.replace("zarr.json", json.dumps(known, indent=2).encode())


def _is_rest(name: str) -> bool:
    """Tell whether a file is what is left of one that was just being written."""
    return name.endswith(".partial")


def _lock(path: str, timeout: float) -> FolderLock | NoLock:
    if is_url(path):
        return NoLock()
    os.makedirs(local(path), exist_ok=True)
    return FolderLock(local(path), timeout)
