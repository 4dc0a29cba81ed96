"""``--from-file``: what stands in a text file, JSON lines, raw frames or npy arrays."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from camagick.errors import BadOption, CamagickError
from camagick.streamsource import StreamSource
from camagick.tools.inlet import FileInlet
from camagick.tools.streamformat import Options

log = logging.getLogger(__name__)


class Processor(StreamSource):
    """Values that stand in a file: columns of text, JSON lines, frames, arrays.

    One iteration for each line (frame, array), in order, until the end of the file; with
    ``follow=1`` it waits for more to be written, as ``tail -f`` does, and begins again with a file
    that became shorter or was replaced. Formats and options are those of ``--from-pipe``.

    When its process is killed, the next one goes on behind the last item that was handed on.

    Parameters
    ----------
    *tags : str
        The file, unless ``file=`` names it, and then the names of the columns, from the first on;
        ``_`` leaves one out, ``NAME...`` at the end takes all that are left as an array.
    file : str, optional
        The file.
    follow : bool, default False
        1: wait for more at the end of the file.
    format : str, default 'text'
        `text`, `json`, `lines`, `raw` or `npy`.
    dtype : str, default 'float64'
        Of numbers; ``str`` leaves text columns text.
    shape : int or tuple of int, optional
        Of a raw frame: ``shape=64,32``.
    sep : str, optional
        What stands between columns; not given, any white space.
    comment : str, default '#'
        Lines that begin so are left out, of text.
    header : bool, default False
        The first line holds the names of the columns.
    skip : int, default 0
        So many lines are left out at the beginning; for `raw`, bytes.
    strict : bool, default True
        0: what is not understood is left out, with a warning.
    timeout : float, optional
        With ``follow=1``: seconds for which nothing may come. 0, the default, is no limit.
    latest : bool, default False
        1: an iteration gets the newest item that was read, older ones are left out.

    Examples
    --------
    Two columns of a table::

        caspy --from-file scan.txt energy counts --to-hdf5 scan.h5#{tag}

    The last column of a log that is still written, as a PV::

        caspy --from-file log.csv follow=1 sep=, header=1 --only pressure --to-ioc prefix=T:
    """

    def __init__(
        self,
        *tags: str,
        file: str | None = None,
        follow: bool = False,
        format: str = "text",  # noqa: A002 - the word that people look for
        dtype: str = "float64",
        shape: int | tuple[int, ...] | None = None,
        sep: str | None = None,
        comment: str = "#",
        header: bool = False,
        skip: int = 0,
        strict: bool = True,
        timeout: float | None = None,
        latest: bool = False,
    ) -> None:
        names = list(tags)
        if file is None:
            if not names:
                raise BadOption("file: name a file: --from-file scan.txt x y")
            file = names.pop(0)
        if follow not in (0, 1):
            raise BadOption(f"file: follow={follow!r} is neither 0 nor 1")
        options = Options(format, str(dtype), shape, sep, str(comment), header, skip)
        self.prepare(names, options, strict=strict, timeout=timeout, latest=latest)
        self._path = Path(str(file)).expanduser()
        self._follow = bool(follow)
        self._file: FileInlet | None = None
        self._restarts = 0
        self.origin = str(file)

    async def startup(self) -> None:
        """Open the file.

        Raises
        ------
        CamagickError
            When it cannot be read.
        """
        try:
            self._file = self.inlet = FileInlet(self._path, self.ring, follow=self._follow)
            self._file.fill()
        except OSError as error:
            raise CamagickError(f"cannot read {self.origin}: {error.strerror}") from None
        self.ring.forget()

    def recall(self, remembered: Any) -> None:
        """Go on in the file where a predecessor was."""
        super().recall(remembered)
        self.seek()

    async def refill(self) -> bool:
        """Read on; a file that was begun again is that."""
        there = await super().refill()
        if self._file is not None and self._file.restarts != self._restarts:
            self._restarts = self._file.restarts
            log.warning('msg="%s is another file now, or shorter: begun again"', self.origin)
            self.rewind(0)
        return there

    async def shutdown(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = self.inlet = None
