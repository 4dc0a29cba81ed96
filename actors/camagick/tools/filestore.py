"""The files that a sink writes at present, and when what it wrote is in them."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Protocol

from camagick.tools.layout import Frame, StoreError
from camagick.tools.ticker import Ticker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


class Stored(Protocol):
    """An open file, or several that are one to its user; see `StoredFile`."""

    @property
    def path(self) -> str:
        """Name of the file that was written last."""

    @property
    def held(self) -> int:
        """Bytes in memory that only a flush gives back."""

    def name_of(self, inner: str, tag: str) -> str:
        """Return the name of a tag's array."""

    def begin(self) -> None:
        """Get ready for another iteration."""

    def write(self, frame: Frame) -> int | None:
        """Write a frame that is not there yet."""

    def flush(self) -> None:
        """Commit what was written."""

    def close(self) -> None:
        """Commit, and close."""


#: How many files are kept open at a time.
OPEN_FILES = 8
#: Bytes of overwritten data that are kept in memory at most before they are committed.
HELD = 2**26


class FileStore:
    """The last few files that were written; they stay open.

    Parameters
    ----------
    make
        Opens the file of a name; raises `StoreError`.
    flush
        Seconds after which data is in its file at the latest; 0: at the end of each turn.
    """

    def __init__(self, make: Callable[[str], Stored], flush: float) -> None:
        self._make, self._flush = make, flush
        self._files: OrderedDict[str, Stored] = OrderedDict()
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
            for file in self._files.values():
                file.begin()
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

    def file(self, path: str) -> Stored:
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
