"""What sinks to growing arrays in files have in common: paths, commits, attributes, errors."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar

import camagick
from camagick.errors import BadOption, CamagickError, MissingExtra
from camagick.processor import ProcessorBase, Role
from camagick.tools.filestore import FileStore, StoreError
from camagick.tools.record import UNKNOWN, Stamp
from camagick.tools.url import ArrayUrl, BadUrl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from camagick.data import Data

log = logging.getLogger(__name__)


class StorageError(CamagickError):
    """Data cannot be written; the message names the file and the array in it."""


class StoreSink(ProcessorBase):
    """Stores one frame of each tag in each iteration, and hands on where it went.

    A subclass calls `prepare` in its constructor, and implements `process` with `storing`, `places`
    and `text`.

    Attributes
    ----------
    noun
        What an array in a file is called, for messages.
    """

    role: Role = "sink"
    # What it hands on are texts; the units are those of the data.
    keeps_attributes: ClassVar[bool] = False
    stateful: ClassVar[bool] = True
    commits: ClassVar[bool] = True
    noun: ClassVar[str] = "array"

    def prepare(self, path: str, flush: float, open_file: Callable[[str], Any]) -> None:
        """Take the options that all have.

        Parameters
        ----------
        path
            ``FILE#ARRAY``, with fields.
        flush
            Seconds after which data is in the file at the latest.
        open_file
            Opens a file of that name for writing.

        Raises
        ------
        BadOption
            For those that make no sense.
        """
        try:
            self._url = ArrayUrl(str(path))
        except ValueError as error:
            raise BadOption(f"{self.name}: {error}") from None
        self._store = FileStore(open_file, self.seconds("flush", flush))
        self._failed = False
        self._started = ""

    def seconds(self, option: str, value: Any) -> float:
        """Return an option that is a time.

        Raises
        ------
        BadOption
            Where it is none.
        """
        try:
            seconds = float(value)
        except (TypeError, ValueError):
            seconds = -1.0
        if not 0 <= seconds < float("inf"):
            raise BadOption(f"{self.name}: {option}={value!r}: seconds, 0 or more")
        return seconds

    async def startup(self) -> None:
        """Load the library. The first file is opened with the first data, which may name it."""
        for library in self.requires:
            try:
                importlib.import_module(library)
            except ImportError:
                raise MissingExtra(self.name, library, self.extra) from None
        self._started = datetime.now().astimezone().isoformat(timespec="seconds")
        self._store.start()

    async def shutdown(self) -> None:
        """Write what is not yet written, and let others write."""
        try:
            self._store.close()
        except StoreError as error:
            if not self._failed:
                raise StorageError(f"{self.name}: {error}") from error
            # The run ends for this already: said once is enough.
            log.debug('msg="closing failed too" reason="%s"', error)

    def commit(self) -> None:
        """Bring every file on the disk to what was handed over, each one all or nothing."""
        with self._failures():
            self._store.commit()

    @contextlib.contextmanager
    def storing(self) -> Iterator[FileStore[Any]]:
        """Give the open files for as long as one iteration is written."""
        with self._failures(), self._store.turn():
            yield self._store

    @contextlib.contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except (BadUrl, StoreError) as error:
            self._failed = True
            raise StorageError(f"{self.name}: {error}") from error

    def places(self, data: Data, fields: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
        """Return file and array of each tag; `fields` are what the path may name."""
        places: dict[str, tuple[str, str]] = {}
        taken: dict[tuple[str, str], str] = {}
        for tag in data:
            path, inner = self._url.at({**fields, "tag": tag})
            name = self._store.file(path).name_of(inner, tag)
            other = taken.setdefault((self._store.key(path), name), tag)
            if other != tag:
                raise StoreError(
                    f"{path}: {self.noun} {name} would take both {other} and {tag}:"
                    " write {tag} in the path"
                )
            places[tag] = path, name
        return places

    @property
    def stamp(self) -> Stamp | None:
        """Which iteration this is, for the record; None in one process, where nothing is redone."""
        run = self.placement.run
        return Stamp(run, self.placement.number, self.seq) if run else None

    def describe(self, data: Data, tag: str) -> dict[str, Any]:
        """Return what is known about the values of a tag."""
        known = {**data.attributes(tag), "start_time": self._started}
        known["program"] = f"caspy {camagick.__version__}"
        if self.placement.run:
            known["run_id"] = self.placement.run
        return known

    @staticmethod
    def text(path: str, name: str, written: int, *, mark: bool = True) -> str:
        """Return where a frame went.

        The text that people know has './' before a bare name (`mark`) when frames are appended, and
        not when they are numbered; scripts may look for either.
        """
        bare = "./" if mark and os.path.dirname(path) == "" else ""
        frame = "" if written == UNKNOWN else f"[{written}]"
        return f"{bare}{path}#{name.lstrip('/')}{frame}"
