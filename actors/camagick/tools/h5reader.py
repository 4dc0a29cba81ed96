"""HDF5 files, read while others may write them."""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
from typing import TYPE_CHECKING, Any

import numpy as np

from camagick.tools.arrayfile import ArrayFile, Missing, ReadError, StoredArray, native, texts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from camagick.tools.arrayfile import Empty

#: What h5py raises where a file is broken, or just being changed.
FAILURES = (OSError, KeyError, RuntimeError, ValueError, TypeError)
#: Filters that HDF5 and h5py bring along.
_OWN_FILTERS = frozenset({1, 2, 3, 4, 5, 6, 32000})
#: Bytes of chunks that HDF5 keeps unpacked.
_CACHE = 2**23


class H5Dataset(StoredArray):
    """One data set.

    Parameters
    ----------
    dataset
        The open h5py data set.
    where
        Its file and path, for messages.
    """

    def __init__(self, dataset: Any, where: str) -> None:
        import h5py

        self._dataset, self._where = dataset, where
        self.shape = tuple(dataset.shape or ())
        self.chunk = dataset.chunks[0] if dataset.chunks else 1
        kind = dataset.dtype
        if dataset.shape is None:
            raise ReadError(f"{where}: it is empty, and has no shape")
        if h5py.check_string_dtype(kind) is not None:
            kind = np.dtype("U")
        elif kind.kind not in "biufc":
            raise ReadError(f"{where}: values of type {kind} cannot be handed on")
        self.dtype = native(kind)
        self._enum = h5py.check_enum_dtype(dataset.dtype)
        _unpacking(dataset)

    @property
    def attributes(self) -> Mapping[str, Any]:
        found = _attributes(self._dataset)
        if self._enum and set(self._enum.values()) == set(range(len(self._enum))):
            found.setdefault("enum_strings", sorted(self._enum, key=self._enum.__getitem__))
        return found

    def read(self, index: tuple[int | slice, ...], empty: Empty) -> Any:
        try:
            if self.is_text:
                return texts(self._dataset.asstr(errors="replace")[index])
            if self._dataset.dtype != self.dtype or not index:
                return np.asarray(self._dataset[index]).astype(self.dtype, copy=False)
            made = empty(_shape(index), self.dtype)
            if made.size:
                self._dataset.read_direct(made, source_sel=index)
        except FAILURES as error:
            raise ReadError(f"{self._where}: {reason(error)}") from error
        return made


def _unpacking(dataset: Any) -> None:
    """Load what is needed to read a data set, where h5py alone cannot."""
    made = dataset.id.get_create_plist()
    packers = {made.get_filter(number)[0] for number in range(made.get_nfilters())}
    if not packers <= _OWN_FILTERS:
        with contextlib.suppress(ImportError):  # HDF5 will say what is missing
            importlib.import_module("hdf5plugin")


def _shape(index: tuple[int | slice, ...]) -> tuple[int, ...]:
    cuts = [cut for cut in index if isinstance(cut, slice)]
    return tuple(len(range(cut.start, cut.stop, cut.step)) for cut in cuts)


def _attributes(thing: Any) -> dict[str, Any]:
    found = {}
    for key in thing.attrs:
        try:
            found[key] = thing.attrs[key]
        except FAILURES:
            continue  # of a type that h5py has nothing for
    return found


class H5Reader(ArrayFile):
    """An HDF5 file that is open for reading; see `ArrayFile`.

    Whoever writes it as caspy does, or as HDF5 does in its single-writer-multiple-readers mode, is
    not disturbed.
    """

    noun = "data set"

    def __init__(self, path: str) -> None:
        import h5py

        super().__init__(path)
        if os.path.isdir(path):
            raise ReadError(f"{path}: it is a folder, and no HDF5 file")
        try:
            self._seen = _seen(path)
            self._file = _opened(h5py, path)
        except FileNotFoundError:
            raise Missing(f"{path}: there is no such file") from None
        except FAILURES as error:
            raise ReadError(f"{path}: {reason(error)}") from error

    def look(self, name: str) -> StoredArray | None:
        import h5py

        where = f"{self.path}: {self.noun} {name}"
        try:
            found = self._file.get(name)
        except FAILURES as error:
            raise ReadError(f"{where}: {reason(error)}") from error
        return H5Dataset(found, where) if isinstance(found, h5py.Dataset) else None

    def keys(self, group: str) -> list[str] | None:
        import h5py

        try:
            found = self._file.get(group or "/")
            return sorted(found) if isinstance(found, h5py.Group) else None
        except FAILURES as error:
            raise ReadError(f"{self.path}: {group}: {reason(error)}") from error

    def group_attributes(self, group: str) -> Mapping[str, Any]:
        return _attributes(self._file[group])

    def changed(self) -> bool:
        try:
            return _seen(self.path) != self._seen
        except OSError:
            return True

    def close(self) -> None:
        self._file.close()


def _seen(path: str) -> tuple[int, int, int]:
    found = os.stat(path)
    return found.st_ino, found.st_size, found.st_mtime_ns


def _opened(h5py: Any, path: str) -> Any:
    try:
        return h5py.File(path, "r", rdcc_nbytes=_CACHE)
    except OSError as error:
        if "SWMR" not in str(error):
            raise
    return h5py.File(path, "r", rdcc_nbytes=_CACHE, swmr=True)


def reason(error: BaseException) -> str:
    """Return one line for what h5py, or the system below it, says."""
    text = " ".join(str(error).split()).strip("'\"")
    if "plugin" in text:
        return "a library that unpacks it is missing: pip install '.[compression]'"
    if "signature not found" in text:
        return "it is no HDF5 file, or was left by a killed program"
    number = error.errno if isinstance(error, OSError) else None
    if number in (errno.EAGAIN, errno.EACCES) and "lock" in text:
        return "another program has locked it"
    if number:
        return os.strerror(number)
    return text or type(error).__name__
