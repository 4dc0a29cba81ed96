"""``--from-pipe``: what other programs print, through standard input or from a command."""

from __future__ import annotations

import asyncio
import logging
import os
from typing import TYPE_CHECKING, Any

from camagick.errors import BadOption, CamagickError
from camagick.streamsource import StreamSource
from camagick.tools.command import Commands
from camagick.tools.inlet import Inlet
from camagick.tools.output import Output
from camagick.tools.streamformat import Options

if TYPE_CHECKING:
    from camagick.data import Data

log = logging.getLogger(__name__)

MODES = ("each", "stream")
#: Seconds that a command of one iteration may take, where nothing else is said.
_EACH_S = 10.0
#: Seconds between two tries of a command that fails.
_AGAIN_S = 1.0
#: Seconds within which a command has to end whose output has ended.
_END_S = 2.0
_STDIN = 0


class Processor(StreamSource):
    """Values that other programs print: through a pipe, or from a command.

    ``program | caspy --from-pipe ...`` reads standard input, one iteration for each line (frame,
    array), in order, until it ends. ``cmd="..."`` runs a command instead, by ``bash -c``: for each
    iteration anew, one line being expected; or once, with ``mode=stream``, reading its lines as
    they come. Commands are killed when the run ends, however it ends.

    Formats:

    - `text`: columns parted by white space (``sep=,`` by commas). Numbers are numbers, all else is
      text; the first line decides which columns are which.
    - `json`: an object in each line. Keys are tags, lists are arrays, objects are flattened
      (``{"a": {"b": 1}}`` is ``a_b``), null is left out.
    - `lines`: each line as it is, under the tag `text` or the one named.
    - `raw`: frames of ``dtype=`` and ``shape=``, one behind the other, under the tag `data` or the
      one named.
    - `npy`: arrays as `numpy.save` writes them, one behind the other, under such a tag.

    An end of the input is the end of the run, exit code 0. A line that is not understood ends it
    with exit code 1, and so does a command that fails or says nothing for too long; the message
    names the line. Values carry the attributes `timestamp` (when they were read) and `source`.

    Parameters
    ----------
    *tags : str
        Names of the columns, from the first on; ``_`` leaves one out, further columns are left out,
        ``NAME...`` at the end takes all that are left as an array. For JSON, the only keys to take.
    cmd : str, optional
        A command of the shell; not given, standard input is read. Its own input is empty.
    mode : str, optional
        Of a command: `each` (default), anew for every iteration, or `stream`, once.
    format : str, default 'text'
        One of the above.
    dtype : str, default 'float64'
        Of numbers: ``int64``, ``uint16``, ``>f4``; ``str`` leaves text columns text.
    shape : int or tuple of int, optional
        Of a raw frame: ``shape=64,32``. Not given, each number is one.
    sep : str, optional
        What stands between columns; not given, any white space.
    comment : str, default '#'
        Lines that begin so are left out, of text.
    header : bool, default False
        The first line holds the names of the columns.
    skip : int, default 0
        So many lines are left out at the beginning; for `raw`, bytes.
    strict : bool, default True
        0: what is not understood is left out, with a warning; a command that failed is run again
        (`each`), or ends the run normally (`stream`).
    timeout : float, optional
        Seconds: within which a command has to end (`each`, default 10), or for which nothing may
        come (else, default 0: no limit). 0 is no limit.
    latest : bool, default False
        1: an iteration gets the newest item that has come, older ones are left out.

    Examples
    --------
    Square roots of numbers, as a PV::

        seq 1 100 | caspy --from-pipe x --npfun sqrt --to-ioc prefix=T:

    The load of this machine as PVs, once per second::

        caspy --from-pipe cmd="cat /proc/loadavg" a b c --pace Hz=1 --to-ioc prefix=T:

    Frames of a program that writes 16-bit images::

        grabber | caspy --from-pipe img format=raw dtype=uint16 shape=1024,1024 --to-plot
    """

    def __init__(
        self,
        *tags: str,
        cmd: str | None = None,
        mode: str | None = None,
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
        if mode is not None and (cmd is None or mode not in MODES):
            raise BadOption(f"pipe: mode={mode}: of cmd=, there are {' and '.join(MODES)}")
        if cmd is not None and not str(cmd).strip():
            raise BadOption("pipe: cmd= is empty")
        self._each = cmd is not None and mode != "stream"
        if timeout is None and self._each:
            timeout = _EACH_S
        options = Options(format, str(dtype), shape, sep, str(comment), header, skip)
        self.prepare(tags, options, strict=strict, timeout=timeout, latest=latest)
        self._cmd = None if cmd is None else str(cmd)
        self.origin = "standard input" if cmd is None else f"'{cmd}'"
        self.reads_input = cmd is None
        self._commands = Commands()
        self._output: Output | None = None
        self._failed = False

    async def startup(self) -> None:
        """Look at the input, or start the command.

        Raises
        ------
        CamagickError
            When there is nothing to read from.
        """
        if self._cmd is None:
            self.begin()
            try:
                os.fstat(_STDIN)
            except OSError as error:
                raise CamagickError(f"pipe: no standard input: {error.strerror}") from None
            self.inlet = Inlet(_STDIN, self.ring)
        elif not self._each:
            self.rewind()
            self.inlet = self._output = self._started(self._cmd)

    async def ready(self) -> None:
        """Wait for an item, or for the end; a command of each iteration is run by the call."""
        if not self._each:
            await super().ready()

    async def __call__(self, data: Any = None, context: Any = None) -> Data:
        """Return the next item, or what the command prints now."""
        if not self._each:
            return await super().__call__(data, context)
        while True:
            if self._failed:
                await asyncio.sleep(_AGAIN_S)
            self._failed = True  # until it has done well
            try:
                await self._run_once(str(self._cmd))
                made = self._only()
            except CamagickError as error:
                if self.strict:
                    raise
                log.warning('msg="%s"', error)
            else:
                self._failed = False
                return made

    async def _run_once(self, cmd: str) -> None:
        """Run the command to its end; what it has printed is in the reservoir then."""
        self.rewind()
        output = self._started(cmd)
        try:
            async with asyncio.timeout(self.timeout):
                while await output.more():
                    if not self.ring.room:
                        raise CamagickError(f"{self.origin} prints more than {self.ring.capacity}")
                failure = await output.failure()
        except TimeoutError:
            text = f"{self.origin} did not end within {self.timeout:g} s: killed (timeout=)"
            raise CamagickError(text) from None
        finally:
            output.close()
        if failure:
            raise CamagickError(f"{self.origin} {failure}")

    def _only(self) -> Data:
        """Return the one item that was printed."""
        item = self.take()
        if item is None:
            raise CamagickError(f"{self.origin} has printed no {self.decoder.noun}")
        if self.strict and self.take() is not None:
            raise CamagickError(
                f"{self.origin} has printed more than one {self.decoder.noun}: mode=stream makes"
                " an iteration of each, '| tail -1' leaves the last"
            )
        return self.made(item)

    def _started(self, cmd: str) -> Output:
        try:
            return Output(self._commands, cmd, self.ring)
        except OSError as error:
            raise CamagickError(f"cannot run {self.origin}: {error.strerror}") from None

    async def at_end(self) -> None:
        """Say how the command has ended."""
        if self._output is None:
            return
        try:
            async with asyncio.timeout(_END_S):
                failure = await self._output.failure()
        except TimeoutError:
            failure = "has closed its output, and goes on"
        if failure and self.strict:
            self.fail(CamagickError(f"{self.origin} {failure}"))
        elif failure:
            log.warning('msg="%s %s"', self.origin, failure)

    async def shutdown(self) -> None:
        """End the command, and whatever it has started."""
        if self._output is not None:
            self._output.close()
            self._output = None
        self._commands.close()
        self.inlet = None
