"""What sinks to growing arrays in files have in common: paths, commits, attributes, errors."""

from __future__ import annotations

import contextlib
import importlib
import logging
import time
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from camagick.errors import BadOption, CamagickError, MissingExtra
from camagick.options import truth
from camagick.processor import ProcessorBase, Role
from camagick.tools.filestore import FileStore, Stored
from camagick.tools.frameindex import Refused, frame_number, parse_mode
from camagick.tools.frames import parse_chunks
from camagick.tools.layout import Frame, Layout, StoreError
from camagick.tools.origin import Origin
from camagick.tools.record import UNKNOWN, Stamp
from camagick.tools.stamps import SEVERITY, TIMESTAMP, stamps
from camagick.tools.url import ArrayUrl, BadUrl

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from camagick.data import Data

log = logging.getLogger(__name__)


class StorageError(CamagickError):
    """Data cannot be written; the message names the file and the array in it."""


class RefusedIndexError(CamagickError):
    """A frame number that the mode does not permit."""


class Place(NamedTuple):
    """Where the frames of a tag go: a file, and an array in it."""

    path: str
    name: str


class StoreSink(ProcessorBase):
    """Stores one frame of each tag in each iteration, and hands on where it went.

    A subclass calls `prepare` in its constructor, and implements `open_file` and `packing`.

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

    def prepare(self, path: str, mode: str, index: Any, strict: Any, **options: Any) -> None:
        """Take the options that all have.

        Parameters
        ----------
        path
            ``FILE#ARRAY``, with fields.
        mode
            What may happen to frames that are there, see `frameindex.parse_mode`.
        index
            Name of the context value that is the number of the frame; '' appends.
        strict
            Whether a number that the mode does not permit ends the run.
        **options
            timeout: seconds to wait for another program that writes the file; flush: seconds after
            which data is in the file at the latest; chunks: see `frames.parse_chunks`; stamp:
            whether times and severities are stored, too.

        Raises
        ------
        BadOption
            For those that make no sense.
        """
        try:
            self._url = ArrayUrl(str(path))
            self.layout = Layout(parse_mode(str(mode)), parse_chunks(options["chunks"]), None)
        except ValueError as error:
            raise BadOption(f"{self.name}: {error}") from None
        self.timeout = self.seconds("timeout", options["timeout"])
        self._store = FileStore(self.open_file, self.seconds("flush", options["flush"]))
        self._stamped = truth("stamp", options["stamp"])
        self._index = str(index or "").removeprefix("@")
        if "index" in self._url.fields and not self._index:
            raise BadOption(
                f"{self.name}: {path!r} has {{index}}: say which value that is, index=NAME"
            )
        self._strict = truth("strict", strict)
        self._known: tuple[list[str], dict[str, Place]] = [], {}
        self._failed = False
        self._origin = Origin(self._run)

    @property
    def url(self) -> str:
        """What the user has given for the file, with its fields."""
        return self._url.outer.text

    def _run(self) -> tuple[str, str]:
        return self.placement.run, self.placement.run_dir

    def open_file(self, path: str) -> Stored:
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
        self._origin = Origin(self._run)
        self.layout = self.layout._replace(packed=self.packing(), origin=self._origin.full)
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
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except (BadUrl, StoreError) as error:
            self._failed = True
            raise StorageError(f"{self.name}: {error}") from error

    def _places(self, data: Data, fields: Mapping[str, Any]) -> dict[str, Place]:
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
            places[tag] = Place(path, name)
        if self._stamped:
            self._check_stamps(taken)
        if self._url.fields <= {"tag"}:
            self._known = tags, places
        return places

    def _check_stamps(self, taken: dict[tuple[str, str], str]) -> None:
        for (key, name), tag in taken.items():
            for suffix in (TIMESTAMP, SEVERITY):
                other = taken.get((key, name + suffix))
                if other is not None:
                    raise StoreError(
                        f"{self.noun} {name}{suffix} would take both {other} and, with stamp=1,"
                        f" what belongs to {tag}: --rename one of them"
                    )

    def process(self, data: Data, context: Data) -> dict[str, str]:
        """Write one frame of each tag, and return where each one went."""
        if not data:
            return {}
        try:
            number = self._number(context)
        except Refused as refusal:
            self._refuse(refusal, ",".join(data))
            return {}
        texts: dict[str, str] = {}
        now = time.time()
        with self._failures(), self._store.turn():
            for tag, place in self._places(data, {**context, "index": number}).items():
                file = self._store.file(place.path)
                try:
                    written = file.write(self._frame(data, tag, place, number, now))
                except Refused as refusal:
                    self._refuse(refusal, tag, place)
                    continue
                if written is not None:
                    texts[tag] = self._text(file.path, place, written)
        return texts

    def _frame(self, data: Data, tag: str, place: Place, number: int | None, now: float) -> Frame:
        known = partial(self._describe, data, tag)
        beside = stamps(data.attributes(tag), now) if self._stamped else ()
        return Frame(place.name, data[tag], number, known, self._stamp, beside)

    def _number(self, context: Data) -> int | None:
        if not self._index:
            return None
        if self._index not in context:
            raise Refused("No frame index in the context", self._index)
        return frame_number(context[self._index])

    def _refuse(self, refusal: Refused, tag: str, place: Place | None = None) -> None:
        """Raise, or say, that a frame is left out, as `strict` wants it."""
        noun = self.noun.replace(" ", "")
        if self._strict:
            where = ""
            if place is not None:
                where = f" file={place.path} frames={refusal.frames} {noun}={place.name}"
            raise RefusedIndexError(
                f"{self.name}: {refusal.why}: index={refusal.index}{where} tag={tag}"
                " (strict=0 goes on)"
            )
        where = ""
        if place is not None:
            where = f' file={place.path} frames={refusal.frames} {noun}="{place.name}"'
        log = logging.getLogger(type(self).__module__)
        log.error('msg="%s" index=%s%s', refusal.why, refusal.index, where)
        log.error('msg="Ignoring frame index error as instructed" tag=%s', tag)

    @property
    def _stamp(self) -> Stamp | None:
        """Which iteration this is, for the record; None in one process, where nothing is redone."""
        run = self.placement.run
        return Stamp(run, self.placement.number, self.seq) if run else None

    def _describe(self, data: Data, tag: str) -> dict[str, Any]:
        """Return what is known about the values of a tag."""
        return {**data.attributes(tag), **self._origin.short()}

    def _text(self, path: str, place: Place, written: int) -> str:
        """Return where a frame went.

        The text that people know has './' before a bare name when frames are appended, and not when
        they are numbered; scripts may look for either.
        """
        bare = "./" if not self._index and "/" not in path else ""
        number = "" if written == UNKNOWN else f"[{written}]"
        return f"{bare}{path}#{place.name.lstrip('/')}{number}"
