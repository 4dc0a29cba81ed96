"""The files that a sink writes at present, and when what it wrote is in them."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Protocol, TypeVar

from camagick.tools.ticker import Ticker
from camagick.tools.url import below

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from camagick.tools.record import Stamp

#: How many files are kept open at a time.
OPEN_FILES = 8
#: Bytes of overwritten data that are kept in memory at most before they are committed.
HELD = 2**26


class StoreError(Exception):
    """A file cannot be opened or written; the message names it."""


class Frame(NamedTuple):
    """What is to be written where.

    Attributes
    ----------
    name
        Path of the data set, or array, in its file.
    value
        The frame.
    number
        Frame number asked for; None appends.
    attributes
        What is known about the values, written when the data set is made.
    stamp
        Which iteration it is from; None where nobody will ask.
    """

    name: str
    value: Any
    number: int | None
    attributes: Mapping[str, Any]
    stamp: Stamp | None = None


class Names:
    """The names of arrays in one file, found once for each tag.

    Parameters
    ----------
    is_group
        Tells whether there is a group of a name in the file.
    """

    def __init__(self, is_group: Callable[[str], bool]) -> None:
        self._is_group = is_group
        self._known: dict[tuple[str, str], str] = {}

    def __call__(self, inner: str, tag: str) -> str:
        """Return the path of a tag's array: in `inner` where that is a group, else `inner`."""
        name = self._known.get((inner, tag))
        if name is None:
            name = below(inner, tag) if inner.endswith("/") or self._is_group(inner) else inner
            if len(self._known) > 4096:
                self._known.clear()  # context values that change for ever
            self._known[inner, tag] = name
        return name


class StoredFile(Protocol):
    """An open file of whatever format."""

    @property
    def held(self) -> int:
        """Bytes in memory that wait for a flush."""

    def flush(self) -> None:
        """Commit what was written; raises `StoreError`."""

    def close(self) -> None:
        """Commit, and close; raises `StoreError`."""


File = TypeVar("File", bound=StoredFile)


class FileStore(Generic[File]):
    """The last few files that were written; they stay open.

    Parameters
    ----------
    make
        Opens the file of a name; raises `StoreError`.
    flush
        Seconds after which data is in its file at the latest; 0: at the end of each turn.
    """

    def __init__(self, make: Callable[[str], File], flush: float) -> None:
        self._make, self._flush = make, flush
        self._files: OrderedDict[str, File] = OrderedDict()
        self._keys: dict[str, str] = {}
        self._flushed = -float("inf")
        self._dirty = False
        # The thread that flushes and the one that writes take turns.
        self._guard = threading.Lock()
        self._ticker: Ticker | None = None

    def start(self) -> None:
        """Begin to flush now and then, so that the last frame before a pause is seen too."""
        if self._flush:
            self._ticker = Ticker(self._flush, self._tick, "flush")

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Write in the body of this; what is due is flushed at its end.

        Raises
        ------
        StoreError
            When it, or an earlier flush, fails.
        """
        with self._guard:
            self._check(self._ticker)
            yield
            self._dirty = True
            # Frames that come slowly are seen one by one; fast ones as often as is asked for.
            late = time.monotonic() - self._flushed >= self._flush
            if late or sum(file.held for file in self._files.values()) > HELD:
                self._flush_all()

    def commit(self) -> None:
        """Make safe what was written; other programs see it then.

        Raises
        ------
        StoreError
            When that fails for a file. All the others are safe.
        """
        with self._guard:
            self._check(self._ticker)
            self._flush_all()

    def _tick(self) -> None:
        with self._guard:
            if self._dirty:
                self._flush_all()

    def _flush_all(self) -> None:
        self._flushed, self._dirty = time.monotonic(), False
        _all(file.flush for file in self._files.values())

    @staticmethod
    def _check(ticker: Ticker | None) -> None:
        if ticker is not None and ticker.error is not None:
            raise ticker.error

    def key(self, path: str) -> str:
        """Return what tells files apart: two names of one file must not be two open files."""
        if path not in self._keys:
            if len(self._keys) > 4096:
                self._keys.clear()  # context values that change for ever
            self._keys[path] = os.path.realpath(path)
        return self._keys[path]

    def file(self, path: str) -> File:
        """Return the open file of that name."""
        key = self.key(path)
        if key not in self._files:
            while len(self._files) >= OPEN_FILES:
                self._files.popitem(last=False)[1].close()
            self._files[key] = self._make(path)
        self._files.move_to_end(key)
        return self._files[key]

    def close(self) -> None:
        """Write what is not yet written, and close all files, each one also if another failed."""
        ticker, self._ticker = self._ticker, None
        if ticker is not None:
            ticker.stop()
        files = list(self._files.values())
        self._files.clear()
        _all(file.close for file in files)
        self._check(ticker)


def _all(actions: Iterable[Callable[[], None]]) -> None:
    errors: list[StoreError] = []
    for action in actions:
        try:
            action()
        except StoreError as error:
            errors.append(error)
    if errors:
        raise errors[0]
