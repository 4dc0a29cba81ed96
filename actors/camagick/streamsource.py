"""What sources of bytes have in common: a reservoir, a decoder, and what is not understood."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from camagick.data import Data
from camagick.errors import BadOption, CamagickError
from camagick.processor import EndOfData, ProcessorBase, Role
from camagick.tools.arraydecoders import Frame
from camagick.tools.decoders import BadFormat, Unreadable
from camagick.tools.numbers import is_real
from camagick.tools.reservoir import CHUNK_BYTES, Reservoir
from camagick.tools.streamformat import Options, make_decoder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from camagick.tools.inlet import FileInlet, Inlet
    from camagick.tools.output import Output

log = logging.getLogger(__name__)

_MOST_LINES = 5


class Item(NamedTuple):
    """One item that was read: values, when, and which one it is; or what is wrong with it."""

    values: Mapping[str, Any]
    when: float
    error: Exception | None = None


class StreamSource(ProcessorBase):
    """Takes one item after the other from a stream of bytes.

    A subclass calls `prepare` in its constructor, and sets `inlet` in `startup`.

    Attributes
    ----------
    inlet
        Where bytes come from.
    origin
        What to call that in messages.
    """

    role: Role = "source"
    stateful: ClassVar[bool] = True
    memory = 1

    def prepare(
        self, tags: Sequence[str], options: Options, *, strict: Any, timeout: Any, latest: Any
    ) -> None:
        """Check the options, and make what outlives the process."""
        for key, value in (("strict", strict), ("latest", latest), ("header", options.header)):
            if value not in (0, 1):
                raise BadOption(f"{self.name}: {key}={value!r} is neither 0 nor 1")
        if timeout is not None and (not is_real(timeout) or timeout < 0):
            raise BadOption(f"{self.name}: timeout={timeout!r} is no number of seconds")
        try:
            self.decoder = make_decoder(self.name, tags, options)
        except BadFormat as error:
            raise BadOption(f"{self.name}: {error}") from None
        self.ring = Reservoir(self.decoder.most + CHUNK_BYTES)
        self.strict, self.latest = bool(strict), bool(latest)
        self.timeout: float | None = timeout or None
        self.inlet: Inlet | FileInlet | Output | None = None
        self.origin = ""
        self.counts = {"unreadable": 0, "skipped": 0}
        self._item: Item | None = None
        self._failure: Exception | None = None
        self._at = self._count = 0
        self._over = self._handed = False
        self._preamble = bool(options.header or options.skip)

    def figures(self) -> Mapping[str, int | float]:
        return self.counts

    def remember(self) -> Mapping[str, Any]:
        """Return how far the stream was used, and what is known of it."""
        return {"at": self._at, "count": self._count, **self.decoder.remember()}

    def recall(self, remembered: Sequence[Mapping[str, Any]]) -> None:
        for known in remembered:
            if int(known["at"]) >= self._at:
                self._at, self._count = int(known["at"]), int(known["count"])
            self.decoder.recall(known)
            self._handed = True

    def begin(self) -> None:
        """Go on where a predecessor has read to, if there was one."""
        self.ring.recover()
        self._at, self._count = self.ring.floor, self.ring.count

    def rewind(self, at: int | None = None) -> None:
        """Begin with another stream of the same kind, at a position; by default, of what comes."""
        self.decoder.restart()
        self._at = self.ring.end if at is None else at
        self._count, self._over, self._item = 0, False, None
        self.ring.release(self._at, 0)

    def seek(self) -> None:
        """Read on from what was used last; for streams that can be read again from there."""
        self.ring.forget(self._at)

    async def ready(self) -> None:
        """Wait for an item, for something that is none, or for the end."""
        while self._item is None and not self._decode(ended=self._over):
            if self._over:
                return
            # What was handed on is written down by now, and what was left out is settled. Only the
            # lines before the data are kept until the first item, which is remembered with them.
            if self._handed or not self._preamble:
                self.ring.release(self._at, self._count)
            await self._more()

    async def __call__(self, data: Any = None, context: Any = None) -> Data:
        """Return the next item.

        Raises
        ------
        EndOfData
            When there is none, and will be none.
        CamagickError
            For what is none (where `strict`).
        """
        await self.ready()
        item, self._item = self._item, None
        if item is None:
            failure, self._failure = self._failure, None
            raise failure or EndOfData
        self._handed = True
        if item.error is not None:
            raise item.error
        if self.latest:
            item = self._newest(item)
        return self.made(item)

    def made(self, item: Item) -> Data:
        """Return the data of an item."""
        made = Data({tag: self._value(value) for tag, value in item.values.items()})
        known = {"timestamp": item.when, "source": self.origin}
        for tag in made:
            made.describe(tag, known)
        return made

    def _value(self, value: Any) -> Any:
        # Only now: what `empty` gives belongs to the call.
        return value.read(self.empty) if isinstance(value, Frame) else value

    def take(self) -> Item | None:
        """Return the next item of a stream that was read to its end; None where there is none.

        Raises
        ------
        CamagickError
            For what is none (where `strict`).
        """
        self._decode(ended=True)
        item, self._item = self._item, None
        if item is not None and item.error is not None:
            raise item.error
        return item

    def _newest(self, item: Item) -> Item:
        while self.inlet is not None:
            while self._decode(ended=self._over):
                if self._item is None or self._item.error is not None:
                    return item  # what is wrong with the next one is said in its turn
                item, self._item = self._item, None
                self.counts["skipped"] += 1
            if not (self.inlet.waits and self.ring.room):
                break
            self._over = not self.inlet.fill()
        return item

    def _decode(self, *, ended: bool) -> bool:
        """Take the next item from what was read; False where there is no complete one."""
        while True:
            start, found = self._at, False
            try:
                stop = self.decoder.find(self.ring, start, ended=ended)
                if stop is None:
                    return False
                found, self._at = True, stop
                self._count += 1
                values = self.decoder.decode(self.ring, start, stop)
            except Unreadable as error:
                if error.fatal:  # nobody knows where the next one begins
                    self._at, self._over = self.ring.end, True
                    self._count += not found
                if self._refuse(error):
                    return True
                continue
            if values is not None:
                self._item = Item(values, time.time())
                return True

    def _refuse(self, error: Unreadable) -> bool:
        """Take what is no item; tell whether that has to be said in a call."""
        text = f"{self.decoder.noun} {self._count} of {self.origin} {error}"
        self.counts["unreadable"] += 1
        if self.strict:
            hint = "" if error.fatal else " (strict=0 goes on)"
            self._item = Item({}, 0.0, CamagickError(text + hint))
            return True
        if self.counts["unreadable"] <= _MOST_LINES:
            last = self.counts["unreadable"] == _MOST_LINES
            more = "; more are only counted" if last else ""
            what = "all from there on is" if error.fatal else "it is"
            log.warning('msg="%s (%s left out%s)"', text, what, more)
        return False

    async def _more(self) -> None:
        if self.inlet is None:
            raise RuntimeError("a source that was not started")
        if not self.ring.room:
            error = Unreadable(f"is longer than {self.ring.capacity} bytes", fatal=True)
            self._count += 1
            self._over, self._at = True, self.ring.end
            self._refuse(error)
            return
        try:
            async with asyncio.timeout(self.timeout):
                there = await self.refill()
        except TimeoutError:
            self._silent()
            return
        except OSError as error:
            self._over = True
            text = f"cannot read {self.origin}: {error.strerror}"
            self._item = Item({}, 0.0, CamagickError(text))
            return
        if not there:
            self._over = True
            await self.at_end()

    def _silent(self) -> None:
        text = f"{self.origin}: nothing came for {self.timeout:g} s"
        if self.strict:
            self._over = True
            self._item = Item({}, 0.0, CamagickError(f"{text} (strict=0 waits on)"))
        else:
            log.warning('msg="%s"', text)

    async def refill(self) -> bool:
        """Wait for more bytes; False at the end."""
        return self.inlet is not None and await self.inlet.more()

    async def at_end(self) -> None:
        """Take note of the end of the stream; what is wrong with it goes to `fail`."""

    def fail(self, error: Exception) -> None:
        """Let the next call fail, behind all items that came before."""
        self._failure = error
