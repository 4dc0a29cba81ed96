"""HDF5 files that stay open while they are written, and that others can read meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from camagick.tools import nexus, redo
from camagick.tools.commitfile import CommitFile
from camagick.tools.filelock import WriterLock
from camagick.tools.frames import Unfit
from camagick.tools.h5array import H5Array, create, opened, write_attributes
from camagick.tools.storedfile import StoredFile, make_folders
from camagick.tools.superblock import is_marked, is_new_format

if TYPE_CHECKING:
    import numpy as np

    from camagick.tools.layout import Frame, Layout, StoreError

#: Attribute of a file that only joins others.
ROLLED = "caspy_roll"


class H5File(StoredFile[H5Array, WriterLock]):
    """One open HDF5 file; see `StoredFile`."""

    noun = "data set"

    def __init__(self, path: str, timeout: float, layout: Layout) -> None:
        super().__init__(path, timeout, layout, _lock)

    def _open(self) -> None:
        fd, swmr = self._lock.fd, self._layout.swmr
        redo.replay(fd)
        if is_marked(fd):
            raise Unfit(
                "another program has it open for writing, or was killed at that"
                f" (then: h5clear -s {self.path})"
            )
        self._image = CommitFile(fd)
        new = self._lock.size == 0
        if swmr and not new and not is_new_format(fd):
            raise Unfit("it was made without swmr=1, and a SWMR reader cannot open it")
        self.handle = _handle(self._image, new=new, late=swmr if new else is_new_format(fd))
        if ROLLED in self.handle.attrs:
            self.handle.close()
            raise Unfit("it joins the files of roll=, and takes no frames: write another file")
        if new:
            write_attributes(self.handle, self._layout.origin())
            self._dirty = True

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

    def _make(self, frame: Frame, value: np.ndarray[Any, Any], fill: float | None) -> H5Array:
        if frame.name in self._arrays:
            del self._arrays[frame.name], self.handle[frame.name]
        above = frame.name.rpartition("/")[0]
        new = above != "" and above not in self.handle
        create(self.handle, frame.name, value, self._layout, fill)
        if new:
            write_attributes(self.handle[above], self._layout.origin())
        dataset = opened(self.handle, frame.name)
        write_attributes(dataset, frame.attributes())
        if self._layout.nexus and fill is None:  # what stands beside it is an axis
            nexus.announce(self.handle, frame)
        return H5Array(dataset, self._image)

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


def _handle(image: CommitFile, *, new: bool, late: bool) -> Any:
    import h5py

    # The oldest format, which everybody reads; or, for SWMR readers, that of HDF5 1.10, where all
    # that describes the data has checksums. HDF5 marks a file of the latter kind while it is open,
    # and nobody else gets in, but not through a file object. Locks are ours (see WriterLock),
    # HDF5's would shut readers out.
    versions = ("v110", "latest") if late else ("earliest", "v108")
    handle = h5py.File(image, "w" if new else "r+", locking=False, libver=versions)
    handle.flush()
    image.commit()
    return handle
