"""Zarr stores on the local disk that one program writes and others read."""

from __future__ import annotations

import json
import os
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from camagick.tools.filelock import FolderLock
from camagick.tools.filestore import Frame, Names, StoreError
from camagick.tools.h5data import Unfit, as_frame
from camagick.tools.zarray import ZArray, create

if TYPE_CHECKING:
    import numpy as np

#: How many arrays of a store are kept open at a time; each has a chunk in memory.
OPEN_ARRAYS = 256

_FAILURES = (Unfit, OSError, ValueError, TypeError, KeyError, RuntimeError)


class ZFile:
    """One open store. What the disk shows is as of the last `flush`, array by array.

    Parameters
    ----------
    path
        Its folder; it and those above it are made where they do not exist.
    timeout
        How many seconds to wait for another program that writes it.
    compressors
        What zarr is told to pack with: 'auto', or None.

    Attributes
    ----------
    name_of
        Gives the name of a tag's array.

    Raises
    ------
    StoreError
        When it cannot be opened for writing.
    """

    held = 0  # a chunk for each array, whatever was written

    def __init__(self, path: str, timeout: float, compressors: Any = "auto") -> None:
        import zarr

        self.path = path
        self._compressors = compressors
        self.name_of = Names(self._is_group)
        self._arrays: OrderedDict[str, ZArray] = OrderedDict()
        try:
            os.makedirs(path, exist_ok=True)
            self._lock = FolderLock(path, timeout)
        except BlockingIOError:
            raise StoreError(f"{path}: another program writes it (waited {timeout:g} s)") from None
        except OSError as error:
            raise StoreError(f"{path}: {_reason(error)}") from None
        try:
            self._check_kind()
            self._store = zarr.storage.LocalStore(path)
            zarr.open_group(self._store, mode="a", zarr_format=3)
        except _FAILURES as error:
            self._lock.release()
            raise StoreError(f"{path}: {_reason(error)}") from None

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

    def write(self, frame: Frame) -> int | None:
        """Append a frame that is not there yet.

        Returns
        -------
        int or None
            The number it has. Where it was stored before this process was started: the same, or
            `UNKNOWN` if that is too long ago, or None if it was left out then.

        Raises
        ------
        StoreError
            When it cannot be written.
        """
        try:
            value = as_frame(frame.value)
            array = self._find(frame.name)
            if array is None:
                array = self._make(frame, value)
            elif frame.stamp is not None and array.record.has(frame.stamp):
                return array.record.frame(frame.stamp)
            if not array.fits(value):
                kind = "text" if value.dtype.kind == "O" else str(value.dtype)
                raise Unfit(
                    f"it has {array.described}, and does not take a frame of shape"
                    f" {value.shape}, {kind}"
                )
            return array.append(value, frame.stamp)
        except _FAILURES as error:
            raise StoreError(f"{self.path}: array {frame.name}: {_reason(error)}") from error

    def _find(self, name: str) -> ZArray | None:
        import zarr

        array = self._arrays.get(name)
        if array is not None:
            self._arrays.move_to_end(name)
            return array
        kind = self._kind(name)
        if kind == "":
            return None
        if kind != "array":
            raise Unfit("there is a group of that name")
        found = zarr.open_array(self._store, path=name.strip("/"), mode="r+")
        return self._keep(name, ZArray(found, self._folder(name)))

    def _make(self, frame: Frame, value: np.ndarray[Any, Any]) -> ZArray:
        above = frame.name.rpartition("/")[0]
        while above:
            if self._kind(above) == "array":
                raise Unfit(f"{above} is an array, and cannot hold others")
            above = above.rpartition("/")[0]
        made = create(self._store, frame.name, value, self._compressors, frame.attributes)
        return self._keep(frame.name, ZArray(made, self._folder(frame.name)))

    def _keep(self, name: str, array: ZArray) -> ZArray:
        self._arrays[name] = array
        if len(self._arrays) > OPEN_ARRAYS:
            self._arrays.popitem(last=False)[1].commit()
        return array

    def flush(self) -> None:
        """Commit every array, each one also if another fails.

        Raises
        ------
        StoreError
            When one fails; it stays as of its last commit.
        """
        if self._arrays and self._lock.gone:
            raise StoreError(f"{self.path}: it was deleted while it was being written")
        failed: StoreError | None = None
        for name, array in self._arrays.items():
            try:
                array.commit()
            except _FAILURES as error:
                if failed is None:
                    failed = StoreError(f"{self.path}: array {name}: {_reason(error)}")
                    failed.__cause__ = error
        if failed is not None:
            raise failed

    def close(self) -> None:
        """Commit, and let others write."""
        try:
            self.flush()
        finally:
            self._arrays.clear()
            self._lock.release()


def _reason(error: BaseException) -> str:
    """Return one line for what zarr, or the system below it, says."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(error).split()) or type(error).__name__
