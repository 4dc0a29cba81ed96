"""Source ``--from-tiled``: arrays of a Tiled server, all at once or frame by frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from camagick.filesource import FileSource
from camagick.service.tiled_link import TiledReader

if TYPE_CHECKING:
    from camagick.tools.arrayfile import ArrayFile


class Processor(FileSource):
    r"""Read arrays from a Tiled server: all at once, or again frame by frame.

    Without `each`, every tag gets the whole array, or the part of it that is
    chosen; only that part is sent. As the only source of its pipe it is handed
    on once; beside or behind other sources, or with a ``--pace`` behind it, in
    each iteration, read anew. With ``each=1``, each iteration gets the next
    step of the first axis. Behind the last one the run ends.

    Paths are as on the server, with ``[0:10, 3]`` behind them for a part of an
    array, as in Python. ``PATH.shape`` is the shape of an array, ``PATH.keys``
    are the names in a container, ``PATH.attrs[NAME]`` is an entry of the
    metadata. Metadata of an array (units, ...) goes with its values.

    Parameters
    ----------
    uri : str
        ``http://HOST:PORT``, or ``http://HOST:PORT#CONTAINER`` where the paths
        of all tags begin in a container. Without tags:
        ``http://HOST:PORT#PATH`` of one array, or of a container, of which all
        arrays are read; they are tags with the names they have.
    api_key : str, default ''
        Key that lets one read. Better than here, where others see it, it is in
        the variable TILED_API_KEY.
    each : bool, default False
        Hand on one frame at a time.
    Hz : float, default 0
        Frames a second; 0: as fast as they are taken.
    realtime : float, default 0
        1: at the pace at which they were recorded, by their timestamps; 10: ten
        times as fast; 0: see `Hz`.
    timestamps : str, default ''
        Path of the array with the time of each frame, in seconds, or in what
        its metadata ``units`` says (ms, us, ns).
    follow : bool, default False
        The arrays are being written: wait for more frames behind the last one.
    idle : float, default 10
        With `follow`, end when nothing has come for so many seconds.
    wait : float, default 0
        Seconds to wait for a server, or something in it, that is not yet there.
    repeat : bool, optional
        True: begin again behind the end. Without `each`, the default is True
        beside other sources, and False for the only one.
    progress : bool, optional
        Show how far it is, on standard error. Not given: if that is a terminal.
    **tags : str
        Tags, and the path of each: ``img=scan-001/img``.

    Examples
    --------
    Look at a scan again::

        caspy --from-tiled http://localhost:8000#scan-001 each=1 Hz=5 --to-plot
    """

    requires: ClassVar[tuple[str, ...]] = ("tiled.client",)
    extra: ClassVar[str] = "tiled"

    def __init__(
        self,
        uri: str,
        *,
        api_key: str = "",
        each: bool = False,
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
        self._key = str(api_key)
        self.prepare(
            uri, tags, each=each, Hz=Hz, realtime=realtime, timestamps=timestamps, follow=follow,
            idle=idle, wait=wait, repeat=repeat, progress=progress,
        )  # fmt: skip

    def open_file(self, path: str) -> ArrayFile:
        return TiledReader(path, self._key)
