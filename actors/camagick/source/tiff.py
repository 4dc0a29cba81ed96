"""Source ``--from-tiff``: images in TIFF files, all at once or one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from camagick.filesource import FileSource
from camagick.tools.fileseries import FIELDS
from camagick.tools.tiffreader import TiffReader

if TYPE_CHECKING:
    from camagick.tools.arrayfile import ArrayFile


class Processor(FileSource):
    r"""Read images from TIFF files: all at once, or one by one.

    A file may have one image or many (pages). A name with ``{seq}``, or with
    ``*`` and ``?``, means many files with one image each, in the order of their
    numbers; with ``{tag}`` in it, several series of files: a tag each.

    Without `each`, all images come at once, as an array with one more axis; a
    file with a single image gives that image. As the only source of its pipe it
    is handed on once; beside or behind other sources, or with a ``--pace``
    behind it, in each iteration, read anew. With ``each=1``, each iteration
    gets the next image. Behind the last one the run ends.

    The tag is `image` where nothing says otherwise; images of another shape in
    the same file are `image1` and so on. What ``--to-tiff`` has written comes
    back with its shape, units, and times.

    Parameters
    ----------
    path : str
        ``FILE``, or the pattern of many: ``img-{seq:05d}.tif``. Behind a '#'
        may stand what to read: ``FILE#image[0:10]``.
    each : bool, default False
        Hand on one image at a time.
    Hz : float, default 0
        Images a second; 0: as fast as they are taken.
    realtime : float, default 0
        1: at the pace at which they were recorded, as far as ``--to-tiff`` has
        noted that; 10: ten times as fast; 0: see `Hz`.
    follow : bool, default False
        Somebody is writing: wait for more images behind the last one.
    idle : float, default 10
        With `follow`, end when nothing has come for so many seconds.
    wait : float, default 0
        Seconds to wait for a file that is not yet there.
    repeat : bool, optional
        True: begin again behind the end. Without `each`, the default is True
        beside other sources, and False for the only one.
    progress : bool, optional
        Show how far it is, on standard error. Not given: if that is a terminal.
    **tags : str
        Tags, and the images of each: ``img=image``, ``img=image[0:10]``.

    Examples
    --------
    Put the files of a detector into one HDF5 file::

        caspy --from-tiff 'raw/img_{seq}.tif' img=image each=1 \
              --to-hdf5 run.h5#{tag}

    Work on images while a detector writes them, until it has paused for a
    minute::

        caspy --from-tiff 'raw/img_{seq}.tif' each=1 follow=1 idle=60 wait=60 \
              --npfun mean --to-summary
    """

    requires: ClassVar[tuple[str, ...]] = ("tifffile",)
    extra: ClassVar[str] = "tiff"
    own_fields: ClassVar[frozenset[str]] = FIELDS

    def __init__(
        self,
        path: str,
        *,
        each: bool = False,
        Hz: float = 0.0,  # noqa: N803 - the unit is written so
        realtime: float = 0.0,
        follow: bool = False,
        idle: float = 10.0,
        wait: float = 0.0,
        repeat: bool | None = None,
        progress: bool | None = None,
        **tags: str,
    ) -> None:
        self.prepare(
            path, tags, each=each, Hz=Hz, realtime=realtime, timestamps="", follow=follow,
            idle=idle, wait=wait, repeat=repeat, progress=progress,
        )  # fmt: skip

    def open_file(self, path: str) -> ArrayFile:
        return TiffReader(path, each=self._each)
