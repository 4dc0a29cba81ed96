"""From a stream of bytes to values under tags: lines of columns, JSON lines, frames, npy."""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from camagick.errors import BadOption, CamagickError
from camagick.tools.numbers import is_integer

if TYPE_CHECKING:
    from collections.abc import Callable

    from camagick.tools.reservoir import Reservoir

    Empty = Callable[[Sequence[int], Any], np.ndarray]

FORMATS = ("text", "json", "lines", "raw", "npy")
#: A line may be so long, in bytes; what goes on longer is no text.
LINE_BYTES = 1 << 26
#: An array in npy may be so large.
NPY_BYTES = 1 << 32
_NPY_HEAD_BYTES = 65536
_SHOWN = 60
_KINDS = "biufc"


class Unreadable(CamagickError):
    """An item is not what it should be; `fatal`: and nobody knows where the next one begins."""

    def __init__(self, text: str, *, fatal: bool = False) -> None:
        super().__init__(text)
        self.fatal = fatal


class Frame(NamedTuple):
    """An array that still lies in the reservoir.

    Attributes
    ----------
    ring, start
        Where.
    dtype, shape
        Of what type and shape it is.
    fortran
        Its first index changes fastest.
    """

    ring: Reservoir
    start: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    fortran: bool = False

    def read(self, empty: Empty) -> np.ndarray:
        """Return it in the machine's byte order, in an array from `empty`."""
        native = self.dtype.newbyteorder("=")
        make, shape = (np.empty, self.shape[::-1]) if self.fortran else (empty, self.shape)
        array = np.asarray(make(shape, native))
        if array.nbytes:
            self.ring.copy_to(self.start, memoryview(array.reshape(-1).view(np.uint8)))
        if self.dtype != native:
            array.byteswap(inplace=True)
        return np.ascontiguousarray(array.transpose()) if self.fortran else array


class Decoder(Protocol):
    """What one format is.

    Attributes
    ----------
    noun
        What an item is called in messages.
    most
        Bytes of the largest item.
    """

    noun: str
    most: int

    def find(self, ring: Reservoir, start: int, *, ended: bool) -> int | None:
        """Return the position behind the item at `start`; None while it is not complete."""

    def decode(self, ring: Reservoir, start: int, stop: int) -> Mapping[str, Any] | None:
        """Return the values of an item, `Frame` for arrays; None for one without any."""

    def restart(self) -> None:
        """Begin with another stream of the same kind."""

    def remember(self) -> Mapping[str, Any]:
        """Return what has to be known of what was read so far."""

    def recall(self, known: Mapping[str, Any]) -> None:
        """Take that over."""


class Lines:
    """The text of each line, under one tag."""

    noun = "line"
    most = LINE_BYTES

    def __init__(self, tag: str = "text", skip: int = 0) -> None:
        self._tag, self._skip = tag, skip
        self._lines = 0
        self._searched = 0, 0  # from where, to where there is no end of a line

    def find(self, ring: Reservoir, start: int, *, ended: bool) -> int | None:
        end = ring.end
        # A long line comes in pieces: each is looked through once.
        known, until = self._searched
        at = ring.find(b"\n", until if known == start and until <= end else start, end)
        self._searched = start, end
        if at >= 0:
            return at + 1
        return end if ended and end > start else None

    def decode(self, ring: Reservoir, start: int, stop: int) -> Mapping[str, Any] | None:
        self._lines += 1
        if self._lines <= self._skip:
            return None
        content = ring.copy(start, stop).removesuffix(b"\n").removesuffix(b"\r")
        try:
            text = content.decode("utf-8")
        except UnicodeDecodeError:
            raise Unreadable(f"is no text: {shown(content)}") from None
        return self.line(text)

    def line(self, text: str) -> Mapping[str, Any] | None:
        """Return the values of a line."""
        return {self._tag: text}

    def restart(self) -> None:
        self._lines, self._searched = 0, (0, 0)

    def remember(self) -> Mapping[str, Any]:
        return {"lines": self._lines}

    def recall(self, known: Mapping[str, Any]) -> None:
        self._lines = int(known["lines"])


class JsonLines(Lines):
    """An object in each line: its keys are tags, lists are arrays, objects in it are flattened.

    Parameters
    ----------
    keys
        The only ones to take, which must be there; empty for all.
    """

    def __init__(self, keys: Sequence[str] = (), skip: int = 0) -> None:
        super().__init__(skip=skip)
        self._keys = tuple(keys)

    def line(self, text: str) -> Mapping[str, Any] | None:
        if not text.strip():
            return None
        found: dict[str, Any] = {}
        try:
            known = json.loads(text)
            if isinstance(known, dict):
                _flatten(known, "", found, text)
        except (ValueError, RecursionError):
            raise Unreadable(f"is no JSON: {shown(text)}") from None
        if not isinstance(known, dict):
            raise Unreadable(f"is no JSON object of the form {{...}}: {shown(text)}")
        if self._keys:
            missing = [key for key in self._keys if key not in found]
            if missing:
                raise Unreadable(f"has no {missing[0]!r}: {shown(text)}")
            found = {key: found[key] for key in self._keys}
        return found or None


def _flatten(known: dict[str, Any], before: str, found: dict[str, Any], text: str) -> None:
    for key, value in known.items():
        tag = f"{before}{key}"
        if isinstance(value, dict):
            _flatten(value, f"{tag}_", found, text)
        elif value is not None:
            if not tag or tag in found:
                raise Unreadable(f"has {tag!r} twice, or a key without a name: {shown(text)}")
            found[tag] = _array(value, tag) if isinstance(value, list) else value


def _array(value: list[Any], tag: str) -> np.ndarray:
    try:
        array = np.array(value)
    except (ValueError, OverflowError):
        raise Unreadable(f"{tag}: rows of different lengths, or too large a number") from None
    mixed = array.dtype.kind == "U" and not all(isinstance(v, str) for v in _items(value))
    if array.dtype.kind not in "biufU" or mixed:
        raise Unreadable(f"{tag}: a list of what is neither all numbers nor all text")
    return array


def _items(value: Any) -> list[Any]:
    return [one for part in value for one in _items(part)] if isinstance(value, list) else [value]


class Raw:
    """Frames of one dtype and shape, one behind the other, in C order.

    Parameters
    ----------
    tag, dtype, shape
        What they are.
    skip
        Bytes before the first.
    """

    noun = "frame"

    def __init__(self, tag: str, dtype: np.dtype[Any], shape: tuple[int, ...], skip: int) -> None:
        self._tag, self._dtype, self._shape, self._skip = tag, dtype, shape, skip
        self._size = dtype.itemsize * math.prod(shape)
        self._skipped = not skip
        self.most = max(self._size, skip)

    def find(self, ring: Reservoir, start: int, *, ended: bool) -> int | None:
        size = self._size if self._skipped else self._skip
        have = ring.end - start
        if have < size:
            if ended and have:
                raise Unreadable(f"ends after {have} bytes of {size}", fatal=True)
            return None
        return start + size

    def decode(self, ring: Reservoir, start: int, stop: int) -> Mapping[str, Any] | None:
        if not self._skipped:
            self._skipped = True
            return None
        return {self._tag: Frame(ring, start, self._dtype, self._shape)}

    def restart(self) -> None:
        self._skipped = not self._skip

    def remember(self) -> Mapping[str, Any]:
        return {"skipped": self._skipped}

    def recall(self, known: Mapping[str, Any]) -> None:
        self._skipped = bool(known["skipped"])


class Npy:
    """Arrays as `numpy.save` writes them, one behind the other; each may have another shape."""

    noun = "array"
    most = NPY_BYTES

    def __init__(self, tag: str) -> None:
        self._tag = tag
        self._head: tuple[int, int, tuple[int, ...], bool, np.dtype[Any]] | None = None

    def find(self, ring: Reservoir, start: int, *, ended: bool) -> int | None:
        if self._head is None or self._head[0] != start:
            self._head = self._read_head(ring, start, ended=ended)
        have = ring.end - start
        if self._head is not None:
            _, offset, shape, _, dtype = self._head
            size = offset + dtype.itemsize * math.prod(shape)
            if size > self.most:
                raise Unreadable(f"is said to have {size} bytes: too many", fatal=True)
            if have >= size:
                return start + size
        if ended and have:
            raise Unreadable(f"ends after {have} bytes", fatal=True)
        return None

    def _read_head(self, ring: Reservoir, start: int, *, ended: bool) -> Any:
        from numpy.lib import format as npy

        content = ring.copy(start, min(ring.end, start + _NPY_HEAD_BYTES))
        magic = npy.MAGIC_PREFIX
        if content[: len(magic)] != magic[: len(content)]:
            raise Unreadable(f"does not begin as npy does: {shown(content)}", fatal=True)
        if len(content) < 12:
            return None
        major = content[6]
        size = 10 + int.from_bytes(content[8:10], "little") if major == 1 else (
            12 + int.from_bytes(content[8:12], "little")
        )  # fmt: skip
        if len(content) < size <= _NPY_HEAD_BYTES:
            return None
        read = {1: npy.read_array_header_1_0, 2: npy.read_array_header_2_0}.get(major)
        stream = io.BytesIO(content[8:size])
        try:
            if read is None or size > _NPY_HEAD_BYTES:
                raise ValueError(f"version {major}, header of {size} bytes")
            shape, fortran, dtype = read(stream)
        except ValueError as error:
            text = " ".join(str(error).split())
            raise Unreadable(f"has a header that nobody understands: {text}", fatal=True) from None
        if dtype.kind not in f"{_KINDS}USmM":
            raise Unreadable(f"has dtype {dtype}; numbers, text and times can be read", fatal=True)
        return start, size, shape, fortran, dtype

    def decode(self, ring: Reservoir, start: int, stop: int) -> Mapping[str, Any] | None:
        if self._head is None:
            raise RuntimeError("decode without find")
        _, offset, shape, fortran, dtype = self._head
        return {self._tag: Frame(ring, start + offset, dtype, shape, fortran)}

    def restart(self) -> None:
        self._head = None

    def remember(self) -> Mapping[str, Any]:
        return {}

    def recall(self, known: Mapping[str, Any]) -> None:
        pass


def shown(content: str | bytes) -> str:
    """Return the beginning of a line as one can print it."""
    if isinstance(content, bytes):
        content = content[:_SHOWN * 4].decode("utf-8", "backslashreplace")
    text = re.sub(r"\s+", " ", content)
    text = "".join(one if one.isprintable() else f"\\x{ord(one):02x}" for one in text[:_SHOWN * 2])
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}...")


def checked_dtype(text: str, *, words: bool = False) -> np.dtype[Any] | None:
    """Return a dtype of numbers; None for ``str`` where words are welcome.

    Raises
    ------
    BadOption
        For anything else.
    """
    if words and text == "str":
        return None
    try:
        dtype = np.dtype(text)
    except (TypeError, ValueError, SyntaxError):
        dtype = np.dtype(object)
    if dtype.kind not in _KINDS or dtype.names or dtype.subdtype:
        raise BadOption(f"dtype={text} is no type of numbers as float64, uint16, >i4")
    return dtype


def checked_shape(shape: Any) -> tuple[int, ...]:
    """Return a shape of at least one element.

    Raises
    ------
    BadOption
        For anything else.
    """
    sizes = tuple(shape) if isinstance(shape, (tuple, list)) else (shape,)
    if not all(is_integer(size, 1) for size in sizes):
        raise BadOption(f"shape={shape!r} is no shape such as shape=64,32")
    return tuple(int(size) for size in sizes)
