"""Sink ``--to-zarr``: arrays and values into Zarr stores that grow frame by frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from camagick.errors import BadOption
from camagick.storesink import StoreSink
from camagick.tools.frameindex import parse_mode
from camagick.tools.zfile import ZFile

if TYPE_CHECKING:
    from camagick.data import Data

_COMPRESSIONS = ("zstd", "blosc", "gzip", "none")


class Processor(StoreSink):
    r"""Store data in Zarr stores, one more frame in each iteration.

    A Zarr store is a folder with a file for each piece of an array (format 3):
    many programs, and many processes of one program, can read it at the same
    time, also while it is being written. Every tag has an array of its own. It
    grows on its first axis, called ``frame``: 83 spectra of 2048 points are an
    array of 83 x 2048, 83 temperatures one of 83. Numbers keep their type,
    texts are stored as texts. Beside the data stand its units, as far as the
    source knows them, and when and by what it was written (attributes).

    Others see what is older than `flush` seconds. Only one program can write a
    store at a time. When the program is killed or the disk is full, each array
    stays as of the last flush, and the next run goes on. Frames are always
    appended; to overwrite them by number, use ``--to-hdf5``.

    What it hands on is, for each tag, where the frame went, so that a
    ``--to-summary`` behind it prints that:
    ``my-data.zarr#scan-001/EXAMPLE_jedda[3]`` (frame 3; the first one is 0).

    Parameters
    ----------
    path : str
        ``STORE#GROUP/{tag}``: the folder, and the array in it. In both halves,
        ``{tag}`` stands for the tag, and other names for values of the context
        (see ``--demote``), with a format where you like: ``{scan:03d}``.
        Without '#', or with a group behind it (``STORE#GROUP/``), the array is
        named by the tag. Folders and groups are made as needed.
    timeout : float, default 5
        Seconds to wait for another program that is writing the store.
    flush : float, default 0.25
        Seconds after which other programs see a frame at the latest; 0: at
        once, each frame.
    chunks : str, default 'auto'
        How many frames are stored in one file, which is what is read and
        compressed at a time; 'auto' makes pieces of about 1 MiB (of numbers,
        4096). With lengths behind it, a frame is stored in several files, and
        those are written in parallel: ``1,512,512``.
    compression : {'zstd', 'blosc', 'gzip', 'none'}, default 'zstd'
        'zstd' is what zarr itself does, if nobody says otherwise; 'blosc' (LZ4
        with bit shuffling) is faster; 'none' is the fastest.

    Examples
    --------
    All data of two variables, appended::

        caspy --from-epics EXAMPLE:iffy EXAMPLE:jedda \
              --to-zarr my-data.zarr#group/{tag}

    A group for each scan::

        caspy --from-ioc 'scan=scan(1)' prefix=EXAMPLE: --demote scan \
              --from-epics EXAMPLE:jedda \
              --to-zarr my-data.zarr#scan-{scan:03d}/{tag}
    """

    requires: ClassVar[tuple[str, ...]] = ("zarr",)
    extra: ClassVar[str] = "zarr"

    def __init__(
        self,
        path: str,
        timeout: float = 5.0,
        flush: float = 0.25,
        chunks: str = "auto",
        compression: str = "zstd",
    ) -> None:
        if str(compression) not in _COMPRESSIONS:
            raise BadOption(f"zarr: compression={compression!r}: {', '.join(_COMPRESSIONS)}")
        self._compression = str(compression)
        self.prepare(path, parse_mode("a"), timeout, flush, chunks)

    def open_file(self, path: str) -> ZFile:
        return ZFile(path, self.timeout, self.layout)

    def packing(self) -> Any:
        """Return what zarr is told about compression."""
        from zarr import codecs

        if self._compression == "blosc":
            return codecs.BloscCodec(cname="lz4", shuffle="bitshuffle")
        if self._compression == "gzip":
            return codecs.GzipCodec()
        return "auto" if self._compression == "zstd" else None

    def process(self, data: Data, context: Data) -> dict[str, str]:
        """Append one frame of each tag, and return where each one went."""
        texts: dict[str, str] = {}
        if not data:
            return texts
        with self.storing():
            for tag, place in self.places(data, context).items():
                written = self.frame(data, tag, place)
                if written is not None:
                    texts[tag] = self.text(place, written)
        return texts
