"""HDF5 files that stay open while they are written, and that others can read meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from camagick.tools import redo
from camagick.tools.commitfile import CommitFile
from camagick.tools.filelock import WriterLock
from camagick.tools.frames import Unfit
from camagick.tools.h5array import H5Array, create, opened
from camagick.tools.storedfile import StoredFile, make_folders

if TYPE_CHECKING:
    import numpy as np

    from camagick.tools.layout import Frame, Layout, StoreError


class H5File(StoredFile[H5Array, WriterLock]):
    """One open HDF5 file; see `StoredFile`."""

    noun = "data set"

    def __init__(self, path: str, timeout: float, layout: Layout) -> None:
        super().__init__(path, timeout, layout, _lock)

    def _open(self) -> None:
        redo.replay(self._lock.fd)
        self._image = CommitFile(self._lock.fd)
        self.handle = _handle(self._image, new=self._lock.size == 0)

    @property
    def held(self) -> int:
        """Bytes in memory that only a flush gives back."""
        return self._image.held

    def _is_group(self, name: str) -> bool:
        import h5py

        return self.handle.get(name, getclass=True) is h5py.Group

    def _look(self, name: str) -> H5Array | None:
        import h5py

        kind = self.handle.get(name, getclass=True)
        if kind is None:
            return None
        if kind is not h5py.Dataset:
            raise Unfit("there is a group of that name")
        return H5Array(opened(self.handle, name), self._image)

    def _make(self, frame: Frame, value: np.ndarray[Any, Any]) -> H5Array:
        if frame.name in self._arrays:
            del self._arrays[frame.name], self.handle[frame.name]
        create(self.handle, frame.name, value, self._layout)
        array = H5Array(opened(self.handle, frame.name), self._image)
        array.describe(frame.attributes())
        return array

    def write(self, frame: Frame) -> int | None:
        number = super().write(frame)
        if self._image.error is not None:
            raise self._failure(self._image.error) from self._image.error
        return number

    def _commit(self) -> None:
        import h5py

        self._commit_arrays()
        h5py.h5f.flush(self.handle.id)
        self._image.commit()

    def _let_go(self) -> None:
        self.handle.close()
        if not self._dirty:
            self._image.commit()

    def _failure(self, error: BaseException, what: str = "") -> StoreError:
        # Of a full disk, HDF5 knows nothing, and falls over something else.
        failed = self._image.error if hasattr(self, "_image") else None
        return super()._failure(failed, "") if failed else super()._failure(error, what)


def _lock(path: str, timeout: float) -> WriterLock:
    make_folders(path)
    return WriterLock(path, timeout)


def _handle(image: CommitFile, *, new: bool) -> Any:
    import h5py

    # The oldest format: a file in a newer one is marked while it is open, and no reader gets in
    # (nor anybody after a crash). Locks are ours (see WriterLock), HDF5's would shut readers out.
    handle = h5py.File(image, "w" if new else "r+", locking=False, libver=("earliest", "v108"))
    handle.flush()
    image.commit()
    return handle
