"""HDF5 files that stay open while they are written, and that others can read meanwhile."""

from __future__ import annotations

import contextlib
import os
import re
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, NamedTuple

from camagick.tools.filelock import WriterLock
from camagick.tools.h5data import Frames, Unfit, as_frame, choose, create
from camagick.tools.url import below

if TYPE_CHECKING:
    from collections.abc import Mapping

    from camagick.tools.frameindex import Mode

#: How many data sets of a file are kept open at a time.
OPEN_DATASETS = 256


class StoreError(Exception):
    """A file cannot be opened or written; the message names it."""


class Frame(NamedTuple):
    """What is to be written where.

    Attributes
    ----------
    name
        Path of the data set in its file.
    value
        The frame.
    number
        Frame number asked for; None appends.
    attributes
        What is known about the values, written when the data set is made.
    """

    name: str
    value: Any
    number: int | None
    attributes: Mapping[str, Any]


class H5File:
    """One open file.

    Parameters
    ----------
    path
        Name of the file; it and its folder are made where they do not exist.
    timeout
        How many seconds to wait for another program that writes it.

    Raises
    ------
    StoreError
        When it cannot be opened for writing.
    """

    def __init__(self, path: str, timeout: float) -> None:
        self.path = path
        self._names: dict[tuple[str, str], str] = {}
        self._frames: OrderedDict[str, Frames] = OrderedDict()
        try:
            os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
            self._lock = WriterLock(path, timeout)
        except BlockingIOError:
            raise StoreError(f"{path}: another program writes it (waited {timeout:g} s)") from None
        except OSError as error:
            raise StoreError(f"{path}: {reason(error)}") from None
        try:
            self.handle = _open(path, new=self._lock.size == 0)
        except (OSError, ValueError) as error:
            self._lock.release()
            raise StoreError(f"{path}: {reason(error)}") from None

    def name_of(self, inner: str, tag: str) -> str:
        """Return the path of a tag's data set: in `inner` where that is a group, else `inner`."""
        name = self._names.get((inner, tag))
        if name is None:
            name = below(inner, tag) if inner.endswith("/") or self._is_group(inner) else inner
            if len(self._names) > 4096:
                self._names.clear()  # context values that change for ever
            self._names[inner, tag] = name
        return name

    def _is_group(self, name: str) -> bool:
        import h5py

        return self.handle.get(name, getclass=True) is h5py.Group

    def write(self, frame: Frame, mode: Mode, compression: str) -> int:
        """Write a frame and return the number it got.

        Raises
        ------
        Refused
            When `mode` does not permit the frame number.
        StoreError
            When it cannot be written.
        """
        try:
            array = as_frame(frame.value)
            frames = self._find(frame.name)
            slot = choose(frames, array, mode, frame.number)
            if frames is None or not frames.fits(array):
                frames = self._make(frame, array, compression, replace=frames is not None)
            frames.write(slot, array)
        except (Unfit, OSError, ValueError, TypeError, KeyError, RuntimeError) as error:
            raise self._failure(error, f"data set {frame.name}: ") from error
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
            # What cannot be written must be an error here: closing would only mumble about it.
            self._frames.popitem(last=False)[1].flush()
        return frames

    def flush(self) -> None:
        """Let other programs see what was written."""
        if self._lock.deleted:
            raise StoreError(f"{self.path}: it was deleted while it was being written")
        try:
            self.handle.flush()
        except (OSError, RuntimeError) as error:
            raise self._failure(error) from error

    def close(self) -> None:
        """Write what is not yet written, and close."""
        try:
            self.flush()
            self._let_go()
        except StoreError:
            with contextlib.suppress(OSError, RuntimeError):
                self._let_go()
            raise
        except (OSError, RuntimeError) as error:
            raise self._failure(error) from error
        finally:
            self._lock.release()

    def _let_go(self) -> None:
        self._frames.clear()
        self.handle.close()

    def _failure(self, error: Exception, what: str = "") -> StoreError:
        if "errno = " in str(error):  # not HDF5 refused, but the system below it
            self._abandon()
        return StoreError(f"{self.path}: {what}{reason(error)}")

    def _abandon(self) -> None:
        """Leave the file as it is on the disk.

        HDF5 goes on trying to write what it could not write, and crashes when closing fails for
        that. So its descriptor now leads nowhere. The file is given the length that HDF5 has
        noted in it, or it would not open any more; that takes no space on a full disk.
        """
        with contextlib.suppress(OSError, RuntimeError):
            self._lock.lengthen(self.handle.id.get_filesize())
        nowhere = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        os.dup2(nowhere, self.handle.id.get_vfd_handle(), inheritable=False)
        os.close(nowhere)


def _open(path: str, *, new: bool) -> Any:
    import h5py

    # The oldest format: a file in a newer one is marked while it is open, and no reader gets in
    # (nor anybody after a crash). Locks are ours (see WriterLock), HDF5's would shut readers out.
    handle = h5py.File(path, "w" if new else "r+", locking=False, libver=("earliest", "v108"))
    # Descriptions of the data reach the file at flush only, all together; a reader that comes
    # in between finds them as they were then. (Fails harmlessly where HDF5 knows better.)
    with contextlib.suppress(Exception):
        config = handle.id.get_mdc_config()
        config.evictions_enabled = False
        config.incr_mode = config.flash_incr_mode = config.decr_mode = 0
        handle.id.set_mdc_config(config)
    handle.flush()
    return handle


def reason(error: BaseException) -> str:
    """Return one line for what HDF5, or the system below it, says."""
    text = str(error)
    found = re.search(r"error message = '([^']*)'", text)
    if found:
        return found.group(1)
    if "signature not found" in text:
        return "it is no HDF5 file"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return text or type(error).__name__
