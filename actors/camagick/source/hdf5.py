"""Source ``--from-hdf5``: what is stored in HDF5 files, all at once or frame by frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from camagick.filesource import FileSource
from camagick.tools.h5reader import H5Reader

if TYPE_CHECKING:
    from camagick.tools.arrayfile import ArrayFile


class Processor(FileSource):
    r"""Read data from an HDF5 file: all at once, or again frame by frame.

    Without `each`, every tag gets the whole data set, or the part of it that is
    chosen. As the only source of its pipe it is handed on once; beside or
    behind other sources, or with a ``--pace`` behind it, in each iteration,
    read anew. With ``each=1``, each iteration gets the next step of the first
    axis: of 83 images, 83 iterations with an image each. Behind the last one
    the run ends. Single values are then the same in all iterations.

    Paths are as in the file, with ``[0:10, 3]`` behind them for a part of a
    data set, as in Python. ``PATH.shape`` is the shape of a data set,
    ``PATH.keys`` are the names in a group, ``PATH.attrs[NAME]`` is an
    attribute. Attributes of a data set (units, ...) go with its values; so does
    the time of each frame, if there is a data set ``NAME_timestamp`` beside it.

    The file is opened for reading only; other programs may write it meanwhile,
    among them ``--to-hdf5``.

    Parameters
    ----------
    path : str
        ``FILE``, or ``FILE#GROUP`` where the paths of all tags begin in a
        group. Without tags: ``FILE#PATH`` of one data set, or of a group, of
        which all data sets are read; they are tags with the names they have.
        Without `each`, ``{scan:03d}`` in the name of the file is a value of the
        context.
    each : bool, default False
        Hand on one frame at a time.
    Hz : float, default 0
        Frames a second; 0: as fast as they are taken.
    realtime : float, default 0
        1: at the pace at which they were recorded, by their timestamps; 10: ten
        times as fast; 0: see `Hz`.
    timestamps : str, default ''
        Path of the data set with the time of each frame, in seconds, or in what
        its attribute ``units`` says (ms, us, ns).
    follow : bool, default False
        The file is being written: wait for more frames behind the last one.
    idle : float, default 10
        With `follow`, end when nothing has come for so many seconds.
    wait : float, default 0
        Seconds to wait for a file, or something in it, that is not yet there.
    repeat : bool, optional
        True: begin again behind the end. Without `each`, the default is True
        beside other sources, and False for the only one.
    progress : bool, optional
        Show how far it is, on standard error. Not given: if that is a terminal.
    **tags : str
        Tags, and the path of each: ``img=/entry/data``.

    Examples
    --------
    Print what a scan measured, frame by frame, ten a second::

        caspy --from-hdf5 my-data.h5#scan-001 each=1 Hz=10 --to-summary

    Convert a part of a file to Zarr::

        caspy --from-hdf5 a.h5 img=/entry/data[0:100] each=1 \
              --to-zarr b.zarr#{tag}

    Subtract a stored background from a live image::

        caspy --from-epics img=DET:image --from-hdf5 dark.h5 dark=/dark \
              --demote dark --eval '{} - dark' --to-plot
    """

    requires: ClassVar[tuple[str, ...]] = ("h5py",)
    extra: ClassVar[str] = "hdf5"

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
        return H5Reader(path)
