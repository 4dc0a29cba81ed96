"""What sinks of bytes have in common: a format, and which tags go where."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from camagick.errors import BadOption, CamagickError
from camagick.processor import ProcessorBase, Role
from camagick.tools.columns import check_names
from camagick.tools.decoders import BadFormat
from camagick.tools.encoders import Unwritable, chosen, make_encoder
from camagick.tools.outlet import Progress

if TYPE_CHECKING:
    from collections.abc import Sequence

    from camagick.data import Data

FORMATS = ("text", "json", "lines", "raw", "npy")


class StreamSink(ProcessorBase):
    """Writes one item in each iteration.

    A subclass calls `prepare` in its constructor and implements `write`.

    Attributes
    ----------
    progress
        What outlives the process.
    continues
        Something was there before the run: no header.
    """

    role: Role = "sink"
    stateful: ClassVar[bool] = True

    def prepare(self, tags: Sequence[str], form: str, sep: str | None, header: Any) -> None:
        """Check the options."""
        if form not in FORMATS:
            raise BadOption(f"{self.name}: format={form}: there are {', '.join(FORMATS)}")
        if sep is not None and (len(sep) != 1 or sep in '\n"'):
            raise BadOption(f"{self.name}: sep={sep!r} is not one character")
        if header not in (0, 1):
            raise BadOption(f"{self.name}: header={header!r} is neither 0 nor 1")
        if (sep is not None or header) and form != "text":
            raise BadOption(f"{self.name}: sep= and header= are for format=text")
        try:
            self._tags = check_names(tags)
        except BadFormat as error:
            raise BadOption(f"{self.name}: {error}") from None
        self._encoder = make_encoder(form, " " if sep is None else sep, header=bool(header))
        self.progress = Progress()
        self.continues = False

    def process(self, data: Data, context: Data) -> None:
        """Write an iteration; one without data writes nothing."""
        if not data:
            return
        try:
            known = chosen(data, self._tags)
            content = self._encoder.encode(known)
            # A predecessor may have begun this very iteration, with the header before it.
            if self.progress.is_first(self.seq) and not self.continues:
                content = self._encoder.begin(known) + bytes(content)
        except Unwritable as error:
            raise CamagickError(f"{self.name}: {error}") from None
        self.write(content)

    def write(self, content: bytes | memoryview) -> None:
        """Write the bytes of an iteration."""
        raise NotImplementedError
