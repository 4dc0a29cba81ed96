"""HDF5 files that stay open while they are written, and that others can read meanwhile."""

from __future__ import annotations

import os
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from camagick.tools import redo
from camagick.tools.commitfile import CommitFile
from camagick.tools.filelock import WriterLock
from camagick.tools.filestore import Frame, Names, StoreError
from camagick.tools.h5data import Frames, Unfit, as_frame, choose, create
from camagick.tools.record import UNKNOWN

if TYPE_CHECKING:
    from camagick.tools.frameindex import Mode

#: How many data sets of a file are kept open at a time.
OPEN_DATASETS = 256

#: What h5py raises, and we do.
_FAILURES = (Unfit, OSError, ValueError, TypeError, KeyError, RuntimeError)


class H5File:
    """One open file. What the disk has is as of the last `flush`, whatever happens.

    Parameters
    ----------
    path
        Name of the file; it and its folder are made where they do not exist.
    timeout
        How many seconds to wait for another program that writes it.

    Attributes
    ----------
    name_of
        Gives the name of a tag's array.

    Raises
    ------
    StoreError
        When it cannot be opened for writing.
    """

    def __init__(self, path: str, timeout: float) -> None:
        self.path = path
        self.name_of = Names(self._is_group)
        self._frames: OrderedDict[str, Frames] = OrderedDict()
        self._noted: dict[str, Frames] = {}
        self._dirty = False
        try:
            os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
            self._lock = WriterLock(path, timeout)
        except BlockingIOError:
            raise StoreError(f"{path}: another program writes it (waited {timeout:g} s)") from None
        except OSError as error:
            raise StoreError(f"{path}: {reason(error)}") from None
        try:
            redo.replay(self._lock.fd)
            self._image = CommitFile(self._lock.fd)
            self.handle = _open(self._image, new=self._lock.size == 0)
        except (OSError, ValueError) as error:
            self._lock.release()
            raise StoreError(f"{path}: {reason(error)}") from None

    @property
    def held(self) -> int:
        """Bytes in memory that wait for a flush."""
        return self._image.held

    def _is_group(self, name: str) -> bool:
        import h5py

        return self.handle.get(name, getclass=True) is h5py.Group

    def write(self, frame: Frame, mode: Mode, compression: str) -> int | None:
        """Write a frame that is not there yet.

        Returns
        -------
        int or None
            The number it has. Where it was stored before this process was started: the same, or
            `UNKNOWN` if that is too long ago, or None if it was left out then.

        Raises
        ------
        Refused
            When `mode` does not permit the frame number.
        StoreError
            When it cannot be written.
        """
        try:
            frames = self._find(frame.name)
            if frames is not None and frame.stamp is not None and frames.record.has(frame.stamp):
                known = frames.record.frame(frame.stamp)
                return known if known != UNKNOWN or frame.number is None else frame.number
            written = self._write(frame, frames, mode, compression)
        except _FAILURES as error:
            raise self._failure(error, f"data set {frame.name}: ") from error
        if self._image.error is not None:
            raise self._failure(self._image.error) from self._image.error
        return written

    def _write(self, frame: Frame, frames: Frames | None, mode: Mode, compression: str) -> int:
        array = as_frame(frame.value)
        slot = choose(frames, array, mode, frame.number)
        self._dirty = True
        if frames is None or not frames.fits(array):
            frames = self._make(frame, array, compression, replace=frames is not None)
        frames.write(slot, array)
        if frame.stamp is not None:
            frames.record.note(frame.stamp, slot.frame)
            self._noted[frame.name] = frames
        return slot.frame

    def _find(self, name: str) -> Frames | None:
        """Return the data set of that name, None where there is none yet."""
        import h5py

        frames = self._frames.get(name)
        if frames is not None:
            self._frames.move_to_end(name)
            return frames
        found = self.handle.get(name)
        if found is None:
            return None
        if not isinstance(found, h5py.Dataset):
            raise Unfit("there is a group of that name")
        return self._keep(name, Frames(found))

    def _make(self, frame: Frame, array: Any, compression: str, *, replace: bool) -> Frames:
        if replace:
            self._frames.pop(frame.name, None)
            del self.handle[frame.name]
        frames = create(self.handle, frame.name, array, compression)
        frames.describe(frame.attributes)
        return self._keep(frame.name, frames)

    def _keep(self, name: str, frames: Frames) -> Frames:
        self._frames[name] = frames
        if len(self._frames) > OPEN_DATASETS:
            gone, oldest = self._frames.popitem(last=False)
            self._noted.pop(gone, None)
            # What cannot be written must be an error here: closing would only mumble about it.
            oldest.flush()
        return frames

    def flush(self) -> None:
        """Commit what was written: it survives a kill, and other programs see it.

        Raises
        ------
        StoreError
            When that fails, now or before; the file stays as of the last time it did not.
        """
        if not self._dirty:
            return
        if self._lock.deleted:
            raise StoreError(f"{self.path}: it was deleted while it was being written")
        try:
            for frames in self._noted.values():
                frames.record.save()
            self._noted.clear()
            self.handle.flush()
            self._image.commit()
        except _FAILURES as error:
            raise self._failure(error) from error
        self._dirty = False

    def close(self) -> None:
        """Commit, and close."""
        try:
            self.flush()
        finally:
            try:
                self._let_go()
            finally:
                self._lock.release()

    def _let_go(self) -> None:
        self._frames.clear()
        self._noted.clear()
        try:
            self.handle.close()
            if not self._dirty:
                self._image.commit()
        except _FAILURES as error:
            raise self._failure(error) from error

    def _failure(self, error: BaseException, what: str = "") -> StoreError:
        failed = self._image.error
        return StoreError(f"{self.path}: {reason(failed) if failed else what + reason(error)}")


def _open(image: CommitFile, *, new: bool) -> Any:
    import h5py

    # The oldest format: a file in a newer one is marked while it is open, and no reader gets in
    # (nor anybody after a crash). Locks are ours (see WriterLock), HDF5's would shut readers out.
    handle = h5py.File(image, "w" if new else "r+", locking=False, libver=("earliest", "v108"))
    handle.flush()
    image.commit()
    return handle


def reason(error: BaseException) -> str:
    """Return one line for what HDF5, or the system below it, says."""
    text = str(error)
    if "signature not found" in text:
        return "it is no HDF5 file"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return text or type(error).__name__
