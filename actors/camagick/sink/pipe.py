"""``--to-pipe``: values for other programs, through standard output or into a command."""

from __future__ import annotations

import contextlib
import subprocess

from camagick.errors import BadOption, CamagickError
from camagick.processor import EndOfData
from camagick.streamsink import StreamSink
from camagick.tools.command import Commands, ending
from camagick.tools.numbers import is_real
from camagick.tools.outlet import write_all

MODES = ("stream", "each")
#: Seconds that a command has to use what it was given, when this process was killed.
_GRACE_S = 2.0
_STDOUT = 1


class Processor(StreamSink):
    """Write values for other programs: to standard output, or into a command.

    ``caspy ... --to-pipe | program`` writes to standard output, one line (frame, array) for each
    iteration, whole lines at a time. ``cmd="..."`` runs a command by ``bash -c`` and writes into
    its input: once (``mode=stream``), or anew for each iteration. What the command prints goes to
    where the output of this program goes. It is killed with the run, however that ends.

    When nobody reads any more (``| head``), or a command has ended with exit code 0, the run ends
    normally. A command that fails ends it with exit code 1.

    Formats:

    - `text`: a column for each number or text, parted by blanks (``sep=``); an array takes a
      column for each element. Texts with blanks in them are put in double quotes.
    - `json`: an object in each line, tags are its keys, arrays lists.
    - `lines`: one value as text.
    - `raw`: the bytes of one array, in C order and the machine's byte order.
    - `npy`: one array as `numpy.save` writes it, one behind the other.

    Parameters
    ----------
    *tags : str
        Which to write, in which order; all, if none is named.
    cmd : str, optional
        A command of the shell; not given, standard output is written.
    mode : str, optional
        Of a command: `stream` (default), once, or `each`, anew for every iteration.
    format : str, default 'text'
        One of the above.
    sep : str, optional
        What stands between columns: a blank, if not given.
    header : bool, default False
        1: the first line holds the names of the columns, behind a ``#``.
    timeout : float, default 10.0
        Seconds that a command may take for an iteration (`each`), or at the end; 0 is no limit.

    Examples
    --------
    The mean of a column of another program, in another program::

        caspy --from-epics EXAMPLE:jedda --npfun mean --to-pipe | awk '{ print 2 * $1 }'

    A command for each value::

        caspy --from-epics EXAMPLE:alarm --to-pipe cmd="xargs logger -t beamline" mode=each
    """

    def __init__(
        self,
        *tags: str,
        cmd: str | None = None,
        mode: str | None = None,
        format: str = "text",  # noqa: A002 - the word that people look for
        sep: str | None = None,
        header: bool = False,
        timeout: float = 10.0,
    ) -> None:
        if mode is not None and (cmd is None or mode not in MODES):
            raise BadOption(f"pipe: mode={mode}: of cmd=, there are {' and '.join(MODES)}")
        if cmd is not None and not str(cmd).strip():
            raise BadOption("pipe: cmd= is empty")
        if not is_real(timeout) or timeout < 0:
            raise BadOption(f"pipe: timeout={timeout!r} is no number of seconds")
        self.prepare(tags, format, sep, header)
        self._cmd = cmd
        self.at_home = cmd is None
        self._each = mode == "each"
        self._timeout = timeout or None
        self._commands = Commands(_GRACE_S)
        self._process: subprocess.Popen[bytes] | None = None

    async def startup(self) -> None:
        """Start the command.

        Raises
        ------
        CamagickError
            When that is not possible.
        """
        if self._cmd is not None and not self._each:
            self._process = self._start(self._cmd)

    def write(self, content: bytes | memoryview) -> None:
        """Write the bytes of an iteration.

        Raises
        ------
        CamagickError
            When a command fails, or the output cannot be written.
        EndOfData
            When nobody reads any more.
        """
        if self._cmd is not None and self._each:
            self._run_once(self._cmd, content)
            return
        process = self._process
        stream = process.stdin if process is not None else None
        try:
            write_all(stream.fileno() if stream is not None else _STDOUT,
                      content, self.progress, self.seq)  # fmt: skip
        except BrokenPipeError:
            self._end()
            raise EndOfData from None
        except OSError as error:
            where = "standard output" if stream is None else f"'{self._cmd}'"
            raise CamagickError(f"cannot write to {where}: {error.strerror}") from error

    def _run_once(self, cmd: str, content: bytes | memoryview) -> None:
        process = self._start(cmd)
        try:
            process.communicate(bytes(content), self._timeout)
        except subprocess.TimeoutExpired:
            self._commands.close(process)
            raise CamagickError(
                f"'{cmd}' did not end within {self._timeout:g} s: killed (timeout=)"
            ) from None
        self._check(process.returncode)

    async def shutdown(self) -> None:
        """Let the command come to its end.

        Raises
        ------
        CamagickError
            When it fails, or does not end.
        """
        try:
            self._end()
        finally:
            self._commands.close()

    def _end(self) -> None:
        """Tell the command that there is no more, and wait for its end."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            with contextlib.suppress(OSError):
                process.stdin.close()
        try:
            code = process.wait(self._timeout)
        except subprocess.TimeoutExpired:
            self._commands.close(process)
            raise CamagickError(
                f"'{self._cmd}' did not end within {self._timeout:g} s of its input: killed"
            ) from None
        self._check(code)

    def _start(self, cmd: str) -> subprocess.Popen[bytes]:
        try:
            return self._commands.start(cmd, stdin=subprocess.PIPE)
        except OSError as error:
            raise CamagickError(f"cannot run '{cmd}': {error.strerror}") from None

    def _check(self, code: int) -> None:
        if code:
            raise CamagickError(f"'{self._cmd}' {ending(code)}")
