"""TIFF files, of one or many pages, and series of them in a folder."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from camagick.tools.arrayfile import TIMES, ArrayFile, Missing, ReadError, StoredArray, native
from camagick.tools.fileseries import IMAGE, is_pattern, matching
from camagick.tools.tiffnote import described, library, note_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from camagick.tools.arrayfile import Empty


class Frames(StoredArray):
    """Images of one shape, one behind the other.

    A subclass gives `count` and `image`.

    Parameters
    ----------
    first
        The first image.
    count
        How many there are.
    known
        What is known about them.
    """

    def __init__(self, first: np.ndarray[Any, Any], count: int, known: Mapping[str, Any]) -> None:
        self.shape = (count, *first.shape)
        self.dtype = native(first.dtype)
        self._known = known

    @property
    def attributes(self) -> Mapping[str, Any]:
        return self._known

    def image(self, number: int) -> np.ndarray[Any, Any]:
        """Return one of them."""
        raise NotImplementedError

    def time(self, number: int) -> float | None:
        """Return when it was taken, in seconds; None where nobody knows."""
        raise NotImplementedError

    def read(self, index: tuple[int | slice, ...], empty: Empty) -> Any:
        first, *rest = index
        if isinstance(first, int):
            return self._into(self._checked(first)[tuple(rest)], empty)
        numbers = range(self.shape[0])[first]
        if not numbers:
            return np.empty((0, *self.shape[1:]), self.dtype)[(slice(None), *rest)]
        one = self._checked(numbers[0])[tuple(rest)]
        made = empty((len(numbers), *one.shape), self.dtype)
        made[0] = one
        for at, number in enumerate(numbers[1:], 1):
            made[at] = self._checked(number)[tuple(rest)]
        return made

    def _into(self, part: np.ndarray[Any, Any], empty: Empty) -> np.ndarray[Any, Any]:
        made = empty(part.shape, self.dtype)
        made[...] = part
        return made

    def _checked(self, number: int) -> np.ndarray[Any, Any]:
        image = self.image(number)
        if image.shape != self.shape[1:] or native(image.dtype) != self.dtype:
            raise ReadError(
                f"image {number} has shape {image.shape}, {image.dtype}, and not"
                f" {self.shape[1:]}, {self.dtype} as the first one"
            )
        return image


class Pages(Frames):
    """The pages of one file that are images of one shape.

    Parameters
    ----------
    tiff
        The open file.
    series
        The pages, as tifffile finds them together.
    single
        Whether it is one image, whatever its shape.
    where
        For messages.
    """

    def __init__(self, series: Any, known: Mapping[str, Any], where: str, *, single: bool) -> None:
        self._series, self._where = series, where
        self._note = note_of(series.pages[0])
        shape = tuple(series.shape)
        self._each = 0 if single or not shape or len(series.pages) % shape[0] else 1
        if "page" in self._note:
            self._each, count = 1, len(series.pages)
        else:
            count = shape[0] if self._each else 1
            self._each *= len(series.pages) // max(1, count)
        super().__init__(self.image(0), count, known)

    def image(self, number: int) -> np.ndarray[Any, Any]:
        with failing(f"{self._where}: page {number}"):
            if not self._each:
                found = self._series.asarray()
                return np.asarray(found.reshape(self._note.get("shape", found.shape)))
            first = number * self._each
            pages = [self._series.pages[at].asarray() for at in range(first, first + self._each)]
            if "page" in self._note:
                return np.asarray(pages[0]).reshape(self._note["shape"])
            return np.asarray(pages).reshape(self._series.shape[1:])

    def time(self, number: int) -> float | None:
        page = self._series.pages[number * (self._each or 1)]
        return note_of(page if hasattr(page, "tags") else page.aspage()).get("timestamp")


class Files(Frames):
    """Files with one image each.

    Parameters
    ----------
    paths
        Their names, in order.
    """

    def __init__(self, paths: list[str]) -> None:
        self._paths = paths
        with opened(paths[0]) as tiff:
            known = _known(tiff)
        super().__init__(self.image(0), len(paths), known)

    def image(self, number: int) -> np.ndarray[Any, Any]:
        path = self._paths[number]
        with opened(path) as tiff, failing(path):
            found = tiff.series[0].asarray()
            shape = note_of(tiff.pages[0]).get("shape")
            return np.asarray(found if shape is None else found.reshape(shape))

    def time(self, number: int) -> float | None:
        with opened(self._paths[number]) as tiff:
            return note_of(tiff.pages[0]).get("timestamp")


class Times(StoredArray):
    """When the images were taken."""

    def __init__(self, frames: Frames) -> None:
        self._frames = frames
        self.shape, self.dtype = frames.shape[:1], np.dtype(float)

    @property
    def attributes(self) -> Mapping[str, Any]:
        return {}

    def read(self, index: tuple[int | slice, ...], empty: Empty) -> Any:
        [wanted] = index
        chosen = np.arange(self.shape[0])[wanted]
        found = [self._frames.time(int(number)) for number in np.ravel(chosen)]
        times = np.array([np.nan if time is None else time for time in found])
        return times.reshape(chosen.shape)


class TiffReader(ArrayFile):
    """A TIFF file, or a series of files, that is open for reading; see `ArrayFile`.

    Parameters
    ----------
    path
        Name of a file, or of many: ``img-{seq:05d}.tif``, ``{tag}-{seq}.tif``, ``img-*.tif``.
    each
        Whether it is read image by image: a file with a single image is then a series of one.
    """

    noun = "image"

    def __init__(self, path: str, *, each: bool) -> None:
        super().__init__(path)
        self._tiff: Any = None
        self._seen: Any = None
        self._arrays: dict[str, StoredArray] = {}
        if is_pattern(path):
            self._arrays = {tag: Files(paths) for tag, paths in matching(path).items()}
        else:
            self._open(path, each=each)
        for name, found in list(self._arrays.items()):
            if isinstance(found, Frames) and found.time(0) is not None:
                self._arrays[name + TIMES] = Times(found)

    def _open(self, path: str, *, each: bool) -> None:
        self._seen = _stat(path)
        with failing(path):
            self._tiff = library().TiffFile(path)
            for number, series in enumerate(self._tiff.series):
                name = f"{IMAGE}{number or ''}"
                single = len(series.pages) == 1 and "page" not in note_of(series.pages[0])
                where = f"{path}#{name}"
                pages = Pages(series, _known(self._tiff), where, single=single)
                # An image by itself has no axis of frames, unless frames are asked for.
                self._arrays[name] = Alone(pages) if single and not each else pages

    def look(self, name: str) -> StoredArray | None:
        plain = name.strip("/")
        if plain.isdigit() and plain not in self._arrays:
            plain = f"{IMAGE}{int(plain) or ''}"
        return self._arrays.get(plain)

    def keys(self, group: str) -> list[str] | None:
        return list(self._arrays) if not group.strip("/") else None

    def group_attributes(self, group: str) -> Mapping[str, Any]:
        return {}

    def changed(self) -> bool:
        if self._seen is None:
            return True
        try:
            return bool(_stat(self.path) != self._seen)
        except ReadError:
            return True

    def close(self) -> None:
        if self._tiff is not None:
            self._tiff.close()


class Alone(StoredArray):
    """The only image of a file."""

    def __init__(self, frames: Frames) -> None:
        self._frames = frames
        self.shape, self.dtype = frames.shape[1:], frames.dtype

    @property
    def attributes(self) -> Mapping[str, Any]:
        when = self._frames.time(0)
        return {**self._frames.attributes, **({} if when is None else {"timestamp": when})}

    def read(self, index: tuple[int | slice, ...], empty: Empty) -> Any:
        return self._frames.read((0, *index), empty)


def _known(tiff: Any) -> dict[str, Any]:
    page = tiff.pages[0]
    return described(page.description) if page.description else {}


def _stat(path: str) -> tuple[int, int, int]:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        raise Missing(f"{path}: there is no such file") from None
    except OSError as error:
        raise ReadError(f"{path}: {error.strerror}") from error
    return found.st_ino, found.st_size, found.st_mtime_ns


@contextmanager
def failing(where: str) -> Iterator[None]:
    """Say in one line what tifffile, or the system below it, says."""
    try:
        yield
    except ReadError:
        raise
    except Exception as error:
        text = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise ReadError(f"{where}: {text or type(error).__name__}") from error


@contextmanager
def opened(path: str) -> Iterator[Any]:
    """Open a file for as long as it takes."""
    with failing(path):
        tiff = library().TiffFile(path)
    with tiff:
        yield tiff
