"""What was recorded in a file under several tags: all of it, or one frame of each at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from camagick.tools.arrayfile import TIMES, Missing, ReadError, described, plain_attribute
from camagick.tools.frameseries import FrameSeries
from camagick.tools.innerpath import Inner, join
from camagick.tools.replaytime import UNITS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from camagick.tools.arrayfile import ArrayFile, Empty


class Piece(NamedTuple):
    """A value of a tag, and what is known about it."""

    tag: str
    value: Any
    attributes: Mapping[str, Any]


def selections(reader: ArrayFile, base: Inner, wanted: Mapping[str, Inner]) -> dict[str, Inner]:
    """Return what is read for each tag, with absolute paths.

    Parameters
    ----------
    reader
        The open file.
    base
        The group that `wanted` is in; without those, what to read: an array, or all of a group.
    wanted
        Paths of tags.

    Raises
    ------
    Missing
        Where there is nothing.
    """
    group = join("", base.path)
    if wanted:
        return {tag: one._replace(path=join(group, one.path)) for tag, one in wanted.items()}
    base = base._replace(path=group)
    if base.what or reader.look(group) is not None:
        return {base.name or base.what or _stem(reader.path): base}
    names = reader.members(group)
    if names is None:
        reader.array(group)  # which says what there is
    found = {name: Inner(join(group, name), dims=base.dims) for name in names or ()}
    arrays = {name: inner for name, inner in found.items() if reader.look(inner.path) is not None}
    if not arrays:
        raise Missing(
            f"{reader.path}: there is no {reader.noun} in {group}, which has"
            f" {', '.join(names or ()) or 'nothing'}: say what to read, TAG=PATH"
        )
    return arrays


def whole(
    reader: ArrayFile, base: Inner, wanted: Mapping[str, Inner], empty: Empty
) -> Iterator[Piece]:
    """Read all that is selected; for the parameters see `selections`.

    Raises
    ------
    ReadError
        When something cannot be read.
    """
    for tag, inner in selections(reader, base, wanted).items():
        if inner.what:
            yield Piece(tag, _about(reader, inner), {})
        else:
            series = FrameSeries(reader.array(inner.path), inner)
            yield Piece(tag, series.whole(empty), _known(reader, inner, series))


def _about(reader: ArrayFile, inner: Inner) -> Any:
    """Return the shape, the names, or the attribute that is asked for."""
    if inner.what == "shape":
        return np.array(reader.array(inner.path).shape, dtype=np.int64)
    names = reader.keys(inner.path)
    if inner.what == "keys":
        if names is None:
            raise Missing(f"{reader.path}: no group {inner.path}")
        return np.array(names, dtype=str)
    raw = (
        reader.array(inner.path).attributes
        if names is None
        else reader.group_attributes(inner.path)
    )
    value = plain_attribute(raw[inner.key]) if inner.key in raw else None
    if value is None:
        there = ", ".join(raw) or "none"
        raise Missing(f"{reader.path}: {inner.path} has no attribute {inner.key!r}: {there}")
    return np.array(value) if isinstance(value, list) else value


def _known(reader: ArrayFile, inner: Inner, series: FrameSeries) -> dict[str, Any]:
    known = described(series.array.attributes)
    known.setdefault("source", f"{reader.path}#{inner.path.lstrip('/')}")
    return known


class Recording:
    """The frames of an open file.

    Parameters
    ----------
    reader, base, wanted
        See `selections`. Single values are the same in each frame.
    times
        Path of the times of all frames; where it is empty, those of `TIMES` beside each array.

    Raises
    ------
    ReadError
        Where something is not there, or nothing has frames.
    """

    def __init__(
        self, reader: ArrayFile, base: Inner, wanted: Mapping[str, Inner], times: Inner
    ) -> None:
        self._reader = reader
        self._series: dict[str, FrameSeries] = {}
        self._times: dict[str, FrameSeries] = {}
        self._known: dict[str, dict[str, Any]] = {}
        self._paths: dict[str, str] = {}
        self._fixed: list[Piece] = []
        chosen = selections(reader, base, wanted)
        for tag, inner in chosen.items():
            self._add(tag, inner)
        if not self._series:
            one = next(iter(chosen.values()))
            raise ReadError(f"{reader.path}: {one.path} is a single value: it has no frames")
        self._common = None
        if times.path:
            group = join("", base.path)
            if not wanted and reader.keys(group) is None:
                group = group.rpartition("/")[0]  # the array's own
            path = join(group, times.path)
            self._common = FrameSeries(reader.array(path), times)
            self._paths[TIMES] = path
        self._count = min(len(series) for series in self._series.values())

    def _add(self, tag: str, inner: Inner) -> None:
        if inner.what:
            self._fixed.append(Piece(tag, _about(self._reader, inner), {}))
            return
        series = FrameSeries(self._reader.array(inner.path), inner)
        known = _known(self._reader, inner, series)
        if series.is_constant:
            self._fixed.append(Piece(tag, series.whole(np.empty), known))
            return
        self._series[tag], self._known[tag], self._paths[tag] = series, known, inner.path
        beside = self._reader.look(inner.path + TIMES)
        if beside is not None and len(beside.shape) == 1 and not isinstance(_first(inner), int):
            self._times[tag] = FrameSeries(beside, Inner("", dims=inner.dims[:1]))

    def __len__(self) -> int:
        return self._count

    def check(self) -> None:
        """Fail unless all have the same number of frames.

        Raises
        ------
        ReadError
            Where they have not.
        """
        lengths = {self._paths[tag]: len(series) for tag, series in self._series.items()}
        if len(set(lengths.values())) > 1:
            told = ", ".join(f"{path} has {count}" for path, count in lengths.items())
            raise ReadError(
                f"{self._reader.path}: different numbers of frames: {told};"
                f" choose the same range of each, such as [0:{self._count}]"
            )

    def rest(self) -> dict[str, int]:
        """Return, for each tag, how many frames it has more than the others."""
        more = {tag: len(series) - self._count for tag, series in self._series.items()}
        return {tag: count for tag, count in more.items() if count}

    def frame(self, number: int, empty: Empty) -> list[Piece]:
        """Return one frame of each tag.

        Raises
        ------
        ReadError
            When it cannot be read.
        """
        made = []
        for tag, series in self._series.items():
            known: Mapping[str, Any] = self._known[tag]
            when = self._time(tag, number)
            if when is not None:
                known = {**known, "timestamp": when}
            made.append(Piece(tag, series.frame(number, empty), known))
        return [*made, *self._fixed]

    def time(self, number: int) -> float:
        """Return when a frame was recorded, in seconds.

        Raises
        ------
        ReadError
            Where nobody knows.
        """
        for tag in self._series:
            when = self._time(tag, number)
            if when is not None:
                return when
        path = self._paths[next(iter(self._series))]
        raise ReadError(
            f"{self._reader.path}: no times for frame {number}: neither {path}{TIMES}, nor"
            " timestamps=PATH"
        )

    def _time(self, tag: str, number: int) -> float | None:
        series = self._times.get(tag) if self._common is None else self._common
        if series is None or number >= len(series) or series.array.is_text:
            return None
        units = str(series.array.attributes.get("units", "s"))
        return float(np.ravel(series.frame(number, np.empty))[0]) * UNITS.get(units, 1.0)


def _stem(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2].partition(".")[0]


def _first(inner: Inner) -> Any:
    return inner.dims[0] if inner.dims else None
