"""Source ``--from-zarr``: what is stored in Zarr stores, all at once or frame by frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from camagick.filesource import FileSource
from camagick.tools.zreader import ZarrReader

if TYPE_CHECKING:
    from camagick.tools.arrayfile import ArrayFile


class Processor(FileSource):
    r"""Read data from a Zarr store: all at once, or again frame by frame.

    Stores of the formats 2 and 3 are read, in folders and at addresses that
    fsspec understands (``s3://...``, if its library is installed).

    Without `each`, every tag gets the whole array, or the part of it that is
    chosen. As the only source of its pipe it is handed on once; beside or
    behind other sources, or with a ``--pace`` behind it, in each iteration,
    read anew. With ``each=1``, each iteration gets the next step of the first
    axis. Behind the last one the run ends.

    Paths are as in the store, with ``[0:10, 3]`` behind them for a part of an
    array, as in Python. ``PATH.shape`` is the shape of an array, ``PATH.keys``
    are the names in a group, ``PATH.attrs[NAME]`` is an attribute. Attributes
    of an array (units, ...) go with its values; so does the time of each frame,
    if there is an array ``NAME_timestamp`` beside it.

    Parameters
    ----------
    path : str
        ``STORE``, or ``STORE#GROUP`` where the paths of all tags begin in a
        group. Without tags: ``STORE#PATH`` of one array, or of a group, of
        which all arrays are read; they are tags with the names they have.
        Without `each`, ``{scan:03d}`` in the name of the store is a value of
        the context.
    each : bool, default False
        Hand on one frame at a time.
    Hz : float, default 0
        Frames a second; 0: as fast as they are taken.
    realtime : float, default 0
        1: at the pace at which they were recorded, by their timestamps; 10: ten
        times as fast; 0: see `Hz`.
    timestamps : str, default ''
        Path of the array with the time of each frame, in seconds, or in what
        its attribute ``units`` says (ms, us, ns).
    follow : bool, default False
        The store is being written: wait for more frames behind the last one.
    idle : float, default 10
        With `follow`, end when nothing has come for so many seconds.
    wait : float, default 0
        Seconds to wait for a store, or something in it, that is not yet there.
    repeat : bool, optional
        True: begin again behind the end. Without `each`, the default is True
        beside other sources, and False for the only one.
    progress : bool, optional
        Show how far it is, on standard error. Not given: if that is a terminal.
    **tags : str
        Tags, and the path of each: ``img=/entry/data``.

    Examples
    --------
    Convert a store to HDF5, frame by frame::

        caspy --from-zarr b.zarr each=1 --to-hdf5 a.h5#{tag}

    Play a recording again, as it was::

        caspy --from-zarr run.zarr#scan-001 each=1 realtime=1 --to-plot
    """

    requires: ClassVar[tuple[str, ...]] = ("zarr",)
    extra: ClassVar[str] = "zarr"

    def __init__(
        self,
        path: str,
        *,
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
        self.prepare(
            path, tags, each=each, Hz=Hz, realtime=realtime, timestamps=timestamps, follow=follow,
            idle=idle, wait=wait, repeat=repeat, progress=progress,
        )  # fmt: skip

    def open_file(self, path: str) -> ArrayFile:
        return ZarrReader(path)
