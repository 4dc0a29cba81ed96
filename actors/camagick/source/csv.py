"""Source ``--from-csv``: the lines of a table of text, all at once or one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from camagick.errors import BadOption
from camagick.filesource import FileSource
from camagick.tools.csvreader import CsvReader

if TYPE_CHECKING:
    from camagick.tools.arrayfile import ArrayFile

_NAMES = {"tab": "\t", "comma": ",", "semicolon": ";", "blank": " ", "auto": ""}


class Processor(FileSource):
    r"""Read a table of text: whole columns, or line by line.

    The first line has the names of the columns, perhaps with their units behind
    them: ``x [mm],I0``. What begins with '#' above it is left out, but for
    names that stand there. Without names, columns are called 0, 1, ... A column
    whose words are all numbers is one of 64-bit integers or floating-point
    numbers (what is empty is NaN), of True and False one of these; any other
    holds texts.

    Without `each`, every tag gets a whole column. As the only source of its
    pipe it is handed on once; beside or behind other sources, or with a
    ``--pace`` behind it, in each iteration, read anew. With ``each=1``, each
    iteration gets the next line. Behind the last one the run ends.

    Parameters
    ----------
    path : str
        ``FILE``, of which all columns are read, or ``FILE#COLUMN``. Columns
        ``iteration`` and ``timestamp``, which ``--to-csv stamp=1`` writes, are
        read only where they are asked for. ``FILE#COLUMN[0:10]`` are ten lines.
        Without `each`, ``{scan:03d}`` in the name of the file is a value of the
        context.
    each : bool, default False
        Hand on one line at a time.
    sep : str, default 'auto'
        What stands between two values: tab, comma, semicolon, blank, or any
        other character. 'auto' looks at the first line.
    Hz : float, default 0
        Lines a second; 0: as fast as they are taken.
    realtime : float, default 0
        1: at the pace of the column ``timestamp``; 10: ten times as fast; 0:
        see `Hz`.
    timestamps : str, default ''
        Another column with the time of each line, in seconds.
    follow : bool, default False
        The file is being written: wait for more lines behind the last one.
    idle : float, default 10
        With `follow`, end when nothing has come for so many seconds.
    wait : float, default 0
        Seconds to wait for a file, or a column, that is not yet there.
    repeat : bool, optional
        True: begin again behind the end. Without `each`, the default is True
        beside other sources, and False for the only one.
    progress : bool, optional
        Show how far it is, on standard error. Not given: if that is a terminal.
    **tags : str
        Tags, and the column of each: ``x=motor``.

    Examples
    --------
    Publish a list of set points, one a second::

        caspy --from-csv points.csv each=1 Hz=1 --to-epics x=MOTOR:x
    """

    def __init__(
        self,
        path: str,
        *,
        each: bool = False,
        sep: str = "auto",
        Hz: float = 0.0,  # noqa: N803 - the unit is written so
        realtime: float = 0.0,
        timestamps: str = "",
        follow: bool = False,
        idle: float = 10.0,
        wait: float = 0.0,
        repeat: bool | None = None,
        progress: bool | None = None,
        **tags: str,
    ) -> None:
        self._separator = _NAMES.get(str(sep), str(sep))
        if len(self._separator) > 1 or self._separator in tuple('"\n\r'):
            raise BadOption(f"csv: sep={sep!r}: one character, or {', '.join(_NAMES)}")
        self.prepare(
            path, tags, each=each, Hz=Hz, realtime=realtime, timestamps=timestamps, follow=follow,
            idle=idle, wait=wait, repeat=repeat, progress=progress,
        )  # fmt: skip

    def open_file(self, path: str) -> ArrayFile:
        return CsvReader(path, self._separator, growing=self._follow)
