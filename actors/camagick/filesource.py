"""What sources of stored arrays have in common: paths, frames, pace, growing files, the end."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import time
from typing import TYPE_CHECKING, Any, ClassVar

from camagick.data import Data
from camagick.errors import BadOption, CamagickError, MissingExtra
from camagick.options import truth
from camagick.processor import EndOfData, ProcessorBase, Role
from camagick.tools.arrayfile import ArrayFile, Missing, ReadError
from camagick.tools.innerpath import BadInner, parse_inner
from camagick.tools.numbers import is_real
from camagick.tools.progress import Progress
from camagick.tools.recording import Piece, Recording, whole
from camagick.tools.replaytime import ReplayTime
from camagick.tools.url import BadUrl, Template

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

log = logging.getLogger(__name__)

#: Seconds between two looks at a file that may grow, or come into being.
_POLL = 0.05
#: Seconds for which a file may be unreadable that was readable before.
_PATIENCE = 2.0
#: How often to try again where a file is being changed in the very moment.
_TRIES = 20


class ReplayError(CamagickError):
    """Data cannot be read; the message names the file and the array in it."""


class FileSource(ProcessorBase):
    """Hands on what is stored in a file: all at once, or frame by frame.

    A subclass calls `prepare` in its constructor and implements `open_file`.
    """

    role: Role = "source"
    stateful: ClassVar[bool] = True

    def prepare(self, path: str, tags: Mapping[str, Any], **options: Any) -> None:
        """Take the options that all have.

        Parameters
        ----------
        path
            ``FILE`` or ``FILE#PATH``.
        tags
            What to read for each tag, see `innerpath`.
        **options
            `each`, `Hz`, `realtime`, `timestamps`, `follow`, `idle`, `wait`, `repeat`, `progress`.

        Raises
        ------
        BadOption
            For those that make no sense.
        """
        outer, _, inner = str(path).partition("#")
        self._each, self._follow = (
            truth("each", options["each"]),
            truth("follow", options["follow"]),
        )
        self._repeat = None if options["repeat"] is None else truth("repeat", options["repeat"])
        self._idle, self._wait = (self._seconds(name, options[name]) for name in ("idle", "wait"))
        hz, speed = (self._seconds(name, options[name]) for name in ("Hz", "realtime"))
        try:
            self._file = Template(outer)
            self._wanted = {str(tag): parse_inner(str(text)) for tag, text in tags.items()}
            self._inner = parse_inner(inner)
            self._times = parse_inner(str(options["timestamps"] or ""))
        except (BadUrl, BadInner) as error:
            raise BadOption(f"{self.name}: {error}") from None
        self._check(outer, hz, speed)
        self._path = self._file.text if self._file.fields else self._file.fill({})
        self._pace = ReplayTime(hz, speed)
        wanted = options["progress"]
        self._progress = Progress(outer, None if wanted is None else truth("progress", wanted))
        self._recording: Recording | None = None
        self._reader: ArrayFile | None = None
        self._handed = 0
        self._grew_at = 0.0
        self._count = -1  # nobody knows
        self._number: int | None = 0

    def _check(self, outer: str, hz: float, speed: float) -> None:
        if not outer.strip():
            raise BadOption(f"{self.name}: name a file, and what to read of it: img=/entry/data")
        if self._wanted and self._inner.what + "".join(map(str, self._inner.dims)):
            raise BadOption(f"{self.name}: in front of tags, the path names a group, and no more")
        if hz and speed:
            raise BadOption(f"{self.name}: give one of Hz= and realtime=")
        frames = [n for n, v in (("Hz", hz), ("realtime", speed), ("follow", self._follow)) if v]
        if frames and not self._each:
            raise BadOption(f"{self.name}: {frames[0]}= is for frames: add each=1")
        if self._follow and self._repeat:
            raise BadOption(f"{self.name}: give one of follow= and repeat=")
        if self._each and self._file.fields - self.own_fields:
            raise BadOption(f"{self.name}: {outer!r}: with each=1 the file stays the same")

    #: Fields in the name of the file that are no values of the context.
    own_fields: ClassVar[frozenset[str]] = frozenset()

    def open_file(self, path: str) -> ArrayFile:
        """Open a file for reading.

        Raises
        ------
        ReadError
            When that is not possible.
        """
        raise NotImplementedError

    def _seconds(self, option: str, value: Any) -> float:
        number = value if is_real(value) or isinstance(value, bool) else -1.0
        if not 0 <= number < float("inf"):
            raise BadOption(f"{self.name}: {option}={value!r}: a number, 0 or more")
        return float(number)

    async def startup(self) -> None:
        """Load the library, and open the file, where it is known and there."""
        for library in self.requires:
            try:
                importlib.import_module(library)
            except ImportError:
                raise MissingExtra(self.name, library, self.extra) from None
        # Where another process goes on, it is told which frame is the next with its first call.
        self._number = None if self.placement.incarnation > 1 else 0
        if self._repeat is None:
            self._repeat = not (self._each or self.placement.alone)
        self._grew_at = time.monotonic()
        if self._each:
            self._look_again()
            self._progress.start()

    async def shutdown(self) -> None:
        """Close the file."""
        self._progress.stop()
        self._close()

    def _close(self) -> None:
        reader, self._reader, self._recording = self._reader, None, None
        if reader is not None:
            with contextlib.suppress(OSError):
                reader.close()

    async def ready(self) -> None:
        """Wait until the next frame is there, and due."""
        if self._each and self._number is not None:
            await self._until_due(self._number)

    async def __call__(self, data: Any = None, context: Any = None) -> Data:
        """Return the next frame of each tag, or all that is there.

        Raises
        ------
        EndOfData
            Behind the last frame.
        ReplayError
            When something cannot be read.
        """
        number = self.seq if self.placement.run else self._handed
        if not self._each:
            made = await self._all(number, context or {})
        else:
            await self._until_due(number)
            made = await self._frame(number)
        self._handed, self._number = number + 1, number + 1
        return made

    async def _all(self, number: int, context: Mapping[str, Any]) -> Data:
        if number and not self._repeat:
            raise EndOfData
        deadline = time.monotonic() + self._wait
        for left in reversed(range(_TRIES)):
            try:
                own = {field: f"{{{field}}}" for field in self.own_fields}
                path = self._file.fill({**context, **own}) if self._file.fields else self._path
                with contextlib.closing(self.open_file(path)) as reader:
                    return _data(whole(reader, self._inner, self._wanted, self.empty))
            except Missing as error:
                await self._pause(error, time.monotonic() < deadline)
            except (ReadError, BadInner, BadUrl) as error:
                await self._pause(error, bool(left) and self._wait > 0)
        raise AssertionError  # the last pause raises

    async def _pause(self, error: Exception, again: bool) -> None:
        if not again:
            raise ReplayError(f"{self.name}: {error}") from error
        await asyncio.sleep(_POLL)

    async def _until_due(self, number: int) -> None:
        """Wait until there is such a frame, or will be none, and until it is due."""
        await self._until_there(number)
        recording = self._recording
        if recording is None or not len(recording):
            return
        place = number % len(recording) if self._repeat else number
        if place >= len(recording):
            return
        if self._repeat and place == 0:
            self._pace.again()
        try:
            wait = self._pace.wait(lambda: recording.time(place))
        except ReadError as error:
            raise ReplayError(f"{self.name}: {error}") from error
        if wait:
            await asyncio.sleep(wait)

    async def _until_there(self, number: int) -> None:
        """Wait for the file, or for more frames in it, for as long as was asked for."""
        while self._recording is None or (self._follow and number >= self._count):
            if self._late and self._recording is not None:
                return
            known = self._count
            self._look_again()
            if self._recording is None or self._count == known:
                await asyncio.sleep(_POLL)

    @property
    def _late(self) -> bool:
        """Whether nothing has happened for as long as was asked for."""
        if self._count < 0:
            waits = self._wait
        elif self._recording is None:
            waits = _PATIENCE
        else:
            waits = self._idle
        return time.monotonic() - self._grew_at >= waits

    def _look_again(self) -> None:
        """Open the file anew, if it is there and has changed."""
        if self._reader is not None and not self._reader.changed():
            return
        # Closed first: HDF5 would take what it knows of an open file for what is there.
        self._close()
        try:
            self._reader, self._recording = self._opened()
        except (ReadError, BadInner) as error:
            if self._late:
                raise ReplayError(f"{self.name}: {error}") from error
            return  # it is not yet there, or just being changed
        if len(self._recording) > self._count:
            self._grew_at = time.monotonic()
        self._count = len(self._recording)

    def _opened(self) -> tuple[ArrayFile, Recording]:
        reader = self.open_file(self._path)
        try:
            fresh = Recording(reader, self._inner, self._wanted, self._times)
            if not self._follow:
                fresh.check()
        except BaseException:
            reader.close()
            raise
        return reader, fresh

    async def _frame(self, number: int) -> Data:
        for left in reversed(range(_TRIES)):
            await self._until_there(number)
            recording, count = self._recording, self._count
            if recording is None or (number >= count and not (self._repeat and count)):
                if recording is not None:
                    self._say_rest(recording)
                raise EndOfData
            try:
                made = _data(recording.frame(number % count, self.empty))
            except ReadError as error:
                # Somebody may be changing the file at this very moment.
                changing = self._reader is not None and self._reader.changed()
                await self._pause(error, bool(left) and changing)
                self._look_again()
                continue
            self._pace.passed()
            self._progress.show(number + 1, None if self._follow or self._repeat else count)
            return made
        raise AssertionError  # the last pause raises

    @staticmethod
    def _say_rest(recording: Recording) -> None:
        for tag, rest in recording.rest().items():
            log.warning('msg="frames left out: the others have ended" tag=%s frames=%d', tag, rest)

    def figures(self) -> Mapping[str, int | float]:
        """Return how many frames there are, as far as it is known."""
        recording = self._recording
        return {} if recording is None else {"frames": len(recording)}


def _data(pieces: Iterable[Piece]) -> Data:
    made = Data()
    for tag, value, known in pieces:
        made[tag] = value
        made.describe(tag, known)
    return made
