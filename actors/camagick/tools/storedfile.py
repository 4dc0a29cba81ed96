"""One open file of growing arrays, whatever its format."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import numpy as np

from camagick.tools.frameindex import Mode, place
from camagick.tools.frames import Unfit, as_frame
from camagick.tools.layout import Frame, Layout, Names, StoreError
from camagick.tools.record import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Callable

    from camagick.tools.frameindex import Slot
    from camagick.tools.growing import Growing
    from camagick.tools.layout import Beside

#: For what stands beside a frame: it goes where the frame went.
ANYWHERE = Mode("o", gaps=True)
#: What the libraries raise, and we do.
FAILURES = (Unfit, OSError, ValueError, TypeError, KeyError, RuntimeError)


class Lock(Protocol):
    """What keeps other writers out."""

    @property
    def deleted(self) -> bool:
        """Whether what is written is lost, because the file has no name any more."""

    def release(self) -> None:
        """Let other writers in."""


Array = TypeVar("Array", bound="Growing")
Held = TypeVar("Held", bound=Lock)


class StoredFile(ABC, Generic[Array, Held]):
    """One open file. What the disk has is as of the last `flush`, whatever happens.

    Parameters
    ----------
    path
        Its name; the folders above it are made where they do not exist.
    timeout
        How many seconds to wait for another program that writes it.
    layout
        How arrays are made.
    lock
        Makes its lock, from a path and a time in seconds.

    Raises
    ------
    StoreError
        When it cannot be opened for writing.
    """

    noun = "array"
    #: How many arrays are kept open at a time; each may have a chunk in memory.
    OPEN = 256

    def __init__(
        self, path: str, timeout: float, layout: Layout, lock: Callable[[str, float], Held]
    ) -> None:
        self.path, self._layout = path, layout
        self._names = Names(self._is_group)
        self._arrays: OrderedDict[str, Array] = OrderedDict()
        self._dirty = False
        try:
            self._lock = lock(path, timeout)
        except BlockingIOError:
            raise StoreError(f"{path}: another program writes it (waited {timeout:g} s)") from None
        except OSError as error:
            raise self._failure(error) from None
        try:
            self._open()
        except FAILURES as error:
            self._lock.release()
            raise self._failure(error) from None

    @property
    def held(self) -> int:
        """Bytes in memory that only a flush gives back."""
        return 0

    @abstractmethod
    def _open(self) -> None:
        """Open it, with the lock held."""

    @abstractmethod
    def _is_group(self, name: str) -> bool:
        """Tell whether there is a group of that name."""

    @abstractmethod
    def _look(self, name: str) -> Array | None:
        """Open the array of that name, None where there is none yet."""

    @abstractmethod
    def _make(self, frame: Frame, value: np.ndarray[Any, Any], fill: float | None) -> Array:
        """Make an array for frames like this one, in the place of what may be there.

        `fill` stands where nothing was written; None: zeros.
        """

    @abstractmethod
    def _commit(self) -> None:
        """Bring the disk to what was written."""

    @abstractmethod
    def _let_go(self) -> None:
        """Close it, after the last commit or after a failure."""

    def name_of(self, inner: str, tag: str) -> str:
        """Return the name of a tag's array."""
        return self._names(inner, tag)

    def begin(self) -> None:
        """Get ready for another iteration."""

    def write(self, frame: Frame) -> int | None:
        """Write a frame that is not there yet.

        Returns
        -------
        int or None
            The number it has. Where it was stored before this process was started: the same, or
            `UNKNOWN` if that is too long ago, or None if it was left out then.

        Raises
        ------
        Refused
            When the mode does not permit the frame number.
        StoreError
            When it cannot be written.
        """
        try:
            array = self._find(frame.name)
            if array is not None and frame.stamp is not None and array.record.has(frame.stamp):
                known = array.record.frame(frame.stamp)
                if known is None or (known == UNKNOWN and frame.number is None):
                    return known
                slot = place(ANYWHERE, frame.number if known == UNKNOWN else known, len(array))
            else:
                slot = self._write(frame, array)
            for beside in frame.beside:
                self._write_beside(frame, beside, slot)
        except FAILURES as error:
            raise self._failure(error, f"{self.noun} {frame.name}: ") from error
        return slot.frame

    def _write(self, frame: Frame, array: Array | None) -> Slot:
        value, mode = as_frame(frame.value, ragged=self._layout.ragged), self._layout.mode
        slot: Slot | None = None
        if array is not None:
            slot = array.choose(value, mode, frame.number)
        if slot is None:
            # In the place of another one: what stands beside that goes with it.
            slot = place(mode, frame.number, 0)._replace(clear=array is not None)
            self._dirty = True
            array = self._keep(frame.name, self._make(frame, value, None))
        self._dirty = True
        assert array is not None  # noqa: S101 - just made, where there was none
        array.write(slot, value, frame.stamp)
        return slot

    def _write_beside(self, frame: Frame, beside: Beside, slot: Slot) -> None:
        """Write what stands beside a frame; it has its own record of what is there already."""
        name = frame.name + beside.suffix
        array = self._find(name)
        if array is None:
            if beside.value is None:
                return
            self._dirty = True
            made = Frame(name, beside.value, None, lambda: beside.attributes)
            array = self._keep(name, self._make(made, np.asarray(beside.value), beside.fill))
        elif frame.stamp is not None and array.record.has(frame.stamp):
            return
        value = np.asarray(beside.fill if beside.value is None else beside.value)
        if beside.value is not None and not array.fits(value):
            raise Unfit(f"{name} is there, and has {array.described}")
        self._dirty = True
        array.write(slot, value, frame.stamp)

    def _find(self, name: str) -> Array | None:
        array = self._arrays.get(name)
        if array is not None:
            self._arrays.move_to_end(name)
            return array
        found = self._look(name)
        return None if found is None else self._keep(name, found)

    def _keep(self, name: str, array: Array) -> Array:
        self._arrays[name] = array
        if len(self._arrays) > self.OPEN:
            # What cannot be written must be an error here: HDF5 would only mumble about it.
            self._arrays.popitem(last=False)[1].commit()
        return array

    def flush(self) -> None:
        """Commit what was written: it survives a kill, and other programs see it.

        Raises
        ------
        StoreError
            When that fails, now or before; what failed stays as of the last time it did not.
        """
        if not self._dirty:
            return
        if self._lock.deleted:
            raise StoreError(f"{self.path}: it was deleted while it was being written")
        try:
            self._commit()
        except FAILURES as error:
            raise self._failure(error) from error
        self._dirty = False

    def _commit_arrays(self, side_by_side: Any = map) -> None:
        """Let every array hand over what it has, each one also if another fails."""
        outcomes = list(side_by_side(_commit, self._arrays.values()))
        for name, error in zip(self._arrays, outcomes, strict=True):
            if error is not None:
                raise self._failure(error, f"{self.noun} {name}: ") from error

    def close(self) -> None:
        """Commit, and close."""
        try:
            self.flush()
        finally:
            self._arrays.clear()
            try:
                self._let_go()
            except FAILURES as error:
                raise self._failure(error) from error
            finally:
                self._lock.release()

    def _failure(self, error: BaseException, what: str = "") -> StoreError:
        return StoreError(f"{self.path}: {what}{reason(error)}")


def _commit(array: Growing) -> Exception | None:
    try:
        array.commit()
    except FAILURES as error:
        return error
    return None


def make_folders(path: str) -> None:
    """Make the folders above a file."""
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)


def reason(error: BaseException) -> str:
    """Return one line for what a library, or the system below it, says."""
    text = " ".join(str(error).split())
    if "signature not found" in text:
        return "it is no HDF5 file"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return text or type(error).__name__
