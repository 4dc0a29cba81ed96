"""What sinks to growing arrays in files have in common: paths, commits, attributes, errors."""

from __future__ import annotations

import contextlib
import importlib
import logging
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import camagick
from camagick.errors import BadOption, CamagickError, MissingExtra
from camagick.processor import ProcessorBase, Role
from camagick.tools.filestore import FileStore
from camagick.tools.frames import parse_chunks
from camagick.tools.layout import Frame, Layout, StoreError
from camagick.tools.record import UNKNOWN, Stamp
from camagick.tools.url import ArrayUrl, BadUrl

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from camagick.data import Data
    from camagick.tools.frameindex import Mode
    from camagick.tools.storedfile import StoredFile

log = logging.getLogger(__name__)


class StorageError(CamagickError):
    """Data cannot be written; the message names the file and the array in it."""


class Place(NamedTuple):
    """Where the frames of a tag go: a file, an array in it, and both as a text for people."""

    path: str
    name: str
    text: str


class StoreSink(ProcessorBase):
    """Stores one frame of each tag in each iteration, and hands on where it went.

    A subclass calls `prepare` in its constructor, and implements `open_file` and `packing`, and
    `process` with `storing`, `places`, `frame` and `text`.

    Attributes
    ----------
    noun
        What an array in a file is called, for messages.
    timeout, layout
        Options: how long to wait for another writer, how arrays are made.
    """

    role: Role = "sink"
    # What it hands on are texts; the units are those of the data.
    keeps_attributes: ClassVar[bool] = False
    stateful: ClassVar[bool] = True
    commits: ClassVar[bool] = True
    noun: ClassVar[str] = "array"

    def prepare(self, path: str, mode: Mode, timeout: float, flush: float, chunks: str) -> None:
        """Take the options that all have.

        Parameters
        ----------
        path
            ``FILE#ARRAY``, with fields.
        mode
            What may happen to frames that are there.
        timeout
            Seconds to wait for another program that writes the file.
        flush
            Seconds after which data is in the file at the latest.
        chunks
            See `frames.parse_chunks`.

        Raises
        ------
        BadOption
            For those that make no sense.
        """
        try:
            self._url = ArrayUrl(str(path))
            self.layout = Layout(mode, parse_chunks(chunks), None)
        except ValueError as error:
            raise BadOption(f"{self.name}: {error}") from None
        self.timeout = self.seconds("timeout", timeout)
        self._store = FileStore(self.open_file, self.seconds("flush", flush))
        self._known: tuple[list[str], dict[str, Place]] = [], {}
        self._failed = False
        self._started = ""

    def open_file(self, path: str) -> StoredFile[Any, Any]:
        """Open a file for writing."""
        raise NotImplementedError

    def packing(self) -> Any:
        """Return what the library of the format is told about compression."""
        raise NotImplementedError

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
        self.layout = self.layout._replace(packed=self.packing())
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
    def storing(self) -> Iterator[None]:
        """Write frames for as long as one iteration takes."""
        with self._failures(), self._store.turn():
            yield

    @contextlib.contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except (BadUrl, StoreError) as error:
            self._failed = True
            raise StorageError(f"{self.name}: {error}") from error

    def places(self, data: Data, fields: Mapping[str, Any]) -> dict[str, Place]:
        """Return where each tag goes; `fields` are what the path may name."""
        tags = list(data)
        if tags == self._known[0]:
            return self._known[1]
        places: dict[str, Place] = {}
        taken: dict[tuple[str, str], str] = {}
        for tag in tags:
            path, inner = self._url.at({**fields, "tag": tag})
            name = self._store.file(path).name_of(inner, tag)
            other = taken.setdefault((self._store.key(path), name), tag)
            if other != tag:
                raise StoreError(
                    f"{path}: {self.noun} {name} would take both {other} and {tag}:"
                    " write {tag} in the path"
                )
            places[tag] = Place(path, name, f"{path}#{name.lstrip('/')}")
        if self._url.fields <= {"tag"}:
            self._known = tags, places
        return places

    def frame(self, data: Data, tag: str, place: Place, number: int | None = None) -> int | None:
        """Write the frame of a tag; return its number, see `StoredFile.write`."""
        known = partial(self._describe, data, tag)
        frame = Frame(place.name, data[tag], number, known, self._stamp)
        return self._store.file(place.path).write(frame)

    @property
    def _stamp(self) -> Stamp | None:
        """Which iteration this is, for the record; None in one process, where nothing is redone."""
        run = self.placement.run
        return Stamp(run, self.placement.number, self.seq) if run else None

    def _describe(self, data: Data, tag: str) -> dict[str, Any]:
        """Return what is known about the values of a tag."""
        known = {**data.attributes(tag), "start_time": self._started}
        known["program"] = f"caspy {camagick.__version__}"
        if self.placement.run:
            known["run_id"] = self.placement.run
        return known

    @staticmethod
    def text(place: Place, written: int, *, mark: bool = True) -> str:
        """Return where a frame went.

        The text that people know has './' before a bare name (`mark`) when frames are appended, and
        not when they are numbered; scripts may look for either.
        """
        bare = "./" if mark and "/" not in place.path else ""
        return f"{bare}{place.text}" if written == UNKNOWN else f"{bare}{place.text}[{written}]"
