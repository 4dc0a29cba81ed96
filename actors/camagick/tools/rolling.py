"""A file that is written in parts: each one by itself a whole file, and one that joins them."""

from __future__ import annotations

import os
import re
import time
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from camagick.tools import joined
from camagick.tools.layout import Frame, StoreError
from camagick.tools.storedfile import FAILURES, reason

if TYPE_CHECKING:
    from collections.abc import Callable

    from camagick.tools.h5file import H5File
    from camagick.tools.layout import Layout

#: How many earlier parts may hold what was not acknowledged when a process was killed.
_LOOK_BACK = 64
_BYTES = {"B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
          "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}  # fmt: skip
_SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86400}


class Roll(NamedTuple):
    """When the next part begins; what is infinite never makes it begin.

    Attributes
    ----------
    size
        Bytes of a part.
    seconds
        Since it was begun.
    frames
        In one of its data sets.
    """

    size: float = float("inf")
    seconds: float = float("inf")
    frames: float = float("inf")


def parse_roll(text: str) -> Roll | None:
    """Return what ``roll=`` asks for: sizes (1GB), times (10min), numbers (1000), or several.

    Nothing is None.

    Raises
    ------
    ValueError
        When it is something else.
    """
    if text in ("", "0", "None", "False"):
        return None
    roll = Roll()
    for word in re.split(r"[,|]", text):
        found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", word)
        number, unit = (float(found[1]), found[2]) if found else (0.0, "")
        if number and unit in _BYTES:
            roll = roll._replace(size=number * _BYTES[unit])
        elif number and unit in _SECONDS:
            roll = roll._replace(seconds=number * _SECONDS[unit])
        elif number >= 1 and not unit and number.is_integer():
            roll = roll._replace(frames=number)
        else:
            raise ValueError(
                f"roll={text!r}: a size (500MB, 1GB), a time (30s, 10min, 1h), a number of frames"
                " (1000), or several (1GB,10min)"
            )
    return roll


class RolledFile:
    """The parts of a file, of which the last one is open: ``run-00001.h5``, ``run-00002.h5``, ...

    The file of the name itself joins them, without their data (see `joined`). It is written anew
    when a part ends, and when there is something new in the one that is being written.

    Parameters
    ----------
    path
        Its name.
    make
        Opens a part for writing.
    roll
        When the next part begins.
    layout
        How arrays are made.
    again
        Whether this process takes the place of one that was killed: what it is given may be in an
        earlier part.

    Attributes
    ----------
    path
        Name of the part to which a frame went last.

    Raises
    ------
    StoreError
        When it cannot be opened for writing.
    """

    def __init__(
        self, path: str, make: Callable[[str], H5File], roll: Roll, layout: Layout, *, again: bool
    ) -> None:
        self._whole, self._make, self._roll, self._layout = path, make, roll, layout
        self._again = again
        if os.path.exists(path) and not joined.is_joined(path):
            raise StoreError(
                f"{path}: it is there, and was not made by roll=, which would replace it: take"
                " another name, or leave roll= out"
            )
        numbers = part_numbers(path)
        self._number = numbers[-1] if numbers else 1
        self._known: set[str] = set()  # what of this part is joined, and what is not yet
        self._new: set[str] = set()
        self._part: H5File | None = None  # while there is trouble with the next one
        part = self._part = self._open()
        try:
            self._parts = [self._content(number) for number in numbers if number < self._number]
            count = _LOOK_BACK if again else 0
            self._before = [joined.records(part.path) for part in self._parts[-count:] if count]
            own = self._content(self._number)
        except FAILURES as error:
            part.close()
            raise StoreError(f"{path}: {reason(error)}") from error
        self._frames = max([shape[0] for shape, *_ in own.arrays.values()], default=0)
        self._since = _begun(own.begun)
        self.path = part.path
        self._new.update(own.arrays)
        if self._parts or self._new:
            self._join()
        self.begin()

    @property
    def held(self) -> int:
        """Bytes in memory that only a flush gives back."""
        return 0 if self._part is None else self._part.held

    def name_of(self, inner: str, tag: str) -> str:
        """Return the name of a tag's array."""
        return self._current().name_of(inner, tag)

    def begin(self) -> None:
        """Take the next part if it is time, before an iteration.

        Raises
        ------
        StoreError
            When this part cannot be closed, or the next one not be opened.
        """
        roll = self._roll
        due = self._frames and (
            self._frames >= roll.frames or time.time() - self._since >= roll.seconds
        )
        if self._frames and roll.size < float("inf") and self._part is not None:
            due = due or os.path.getsize(self._part.path) >= roll.size
        if due or self._part is None:
            self._next()

    def write(self, frame: Frame) -> int | None:
        """Write a frame that is not there yet, see `StoredFile.write`."""
        for path, records in self._before:
            record = records.get(frame.name)
            if frame.stamp is not None and record is not None and record.has(frame.stamp):
                self.path = path
                return record.frame(frame.stamp)
        part = self._current()
        self.path = part.path
        number = part.write(frame)
        if number is not None:
            self._frames = max(self._frames, number + 1)
        if frame.name not in self._known:
            self._new.add(frame.name)
        return number

    def flush(self) -> None:
        """Commit what was written, and join it where it is the first of its name."""
        if self._part is None:
            return
        self._part.flush()
        if self._new:
            try:
                self._join()
            except FAILURES as error:
                raise StoreError(f"{self._whole}: {reason(error)}") from error

    def close(self) -> None:
        """Commit, close, and join all parts."""
        if self._part is not None:
            self._finish()

    def _current(self) -> H5File:
        if self._part is None:
            self._next()
        assert self._part is not None  # noqa: S101 - or the line above has failed
        return self._part

    def _open(self) -> H5File:
        """Open the last part; somebody else may have begun another one while it was waited for."""
        while True:
            part = self._make(part_name(self._whole, self._number))
            if not os.path.exists(part_name(self._whole, self._number + 1)):
                return part
            part.close()
            self._number += 1

    def _next(self) -> None:
        if self._part is not None:
            self._finish()
            self._number += 1
        self._part = self._make(part_name(self._whole, self._number))
        self._frames, self._since = 0, time.time()
        self._new, self._known = set(), set()

    def _finish(self) -> None:
        """Close the part, and join what there is."""
        part, self._part = self._part, None
        assert part is not None  # noqa: S101 - by those who call this
        part.close()
        try:
            if self._again:  # the part in which this process began
                self._again = False
                self._before.append(joined.records(part.path))
            self._parts.append(self._content(self._number))
            self._join()
        except FAILURES as error:
            raise StoreError(f"{self._whole}: {reason(error)}") from error

    def _content(self, number: int) -> joined.Part:
        path = part_name(self._whole, number)
        if number == self._number and os.path.getsize(path) == 0:
            return joined.Part(path, {}, "")
        return joined.look(path)

    def _join(self) -> None:
        """Join all parts, and the one that is being written as it will be."""
        growing = []
        if self._part is not None:
            growing = [self._content(self._number)._replace(grows=True)]
        joined.write(self._whole, [*self._parts, *growing], self._layout)
        self._known |= self._new
        self._new = set()


def part_name(path: str, number: int) -> str:
    """Return the name of a part: ``run-00001.h5`` of ``run.h5``."""
    stem, suffix = os.path.splitext(path)
    return f"{stem}-{number:05d}{suffix}"


def part_numbers(path: str) -> list[int]:
    """Return the numbers of the parts that are there."""
    folder, name = os.path.split(path)
    stem, suffix = os.path.splitext(name)
    pattern = re.compile(re.escape(stem) + r"-(\d{5,})" + re.escape(suffix))
    try:
        names = os.listdir(folder or ".")
    except FileNotFoundError:
        return []
    return sorted(int(found[1]) for one in names if (found := pattern.fullmatch(one)))


def _begun(text: str) -> float:
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return time.time()
