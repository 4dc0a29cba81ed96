"""Sink ``--to-zarr``: arrays and values into Zarr stores that grow frame by frame."""

from __future__ import annotations

import importlib.util
from typing import Any, ClassVar

from camagick.errors import BadOption, MissingExtra
from camagick.storesink import StoreSink
from camagick.tools.zfile import ZFile
from camagick.tools.zplace import is_url

_COMPRESSIONS = ("zstd", "blosc", "gzip", "none")


class Processor(StoreSink):
    r"""Store data in Zarr stores, one more frame in each iteration.

    A Zarr store is a folder with a file for each piece of an array: many
    programs, and many processes of one program, can read it at the same time,
    also while it is being written. Every tag has an array of its own. It grows
    on its first axis, called ``frame``: 83 spectra of 2048 points are an array
    of 83 x 2048, 83 temperatures one of 83. Numbers keep their type, texts are
    stored as texts. Attributes tell what the source knows about the values
    (units, precision, limits, the name of the PV), and when and by what they
    were written; those of the store, the whole command.

    Others see what is older than `flush` seconds. Only one program can write a
    store at a time. When the program is killed or the disk is full, each array
    stays as of the last flush, and the next run goes on. At the end, the
    metadata of all arrays is consolidated: programs open large stores faster.

    What it hands on is, for each tag, where the frame went, so that a
    ``--to-summary`` behind it prints that:
    ``my-data.zarr#scan-001/EXAMPLE_jedda[3]`` (frame 3; the first one is 0).

    Parameters
    ----------
    path : str
        ``STORE#GROUP/{tag}``: the folder, and the array in it. In both halves,
        ``{tag}`` stands for the tag, and other names for values of the context
        (see ``--demote``), with a format where you like: ``{scan:03d}``;
        ``{index}`` is the frame number (with `index`). Without '#', or with a
        group behind it (``STORE#GROUP/``), the array is named by the tag.
        Folders and groups are made as needed. A URL that fsspec knows is a
        store elsewhere (``s3://bucket/run.zarr``); nobody else is kept from
        writing it, then.
    mode : str, default 'a+'
        What may happen to data that is there already, when `index` gives the
        frame numbers: ``a`` append only, ``o`` overwrite frames, ``O``
        overwrite frames, and replace an array of another shape or type, ``x``
        start the array again. With a ``+`` behind it, frames may be left out;
        they are filled with zeros.
    index : str, default ''
        Name of the context value that is the number of the frame. Without it,
        every frame is appended.
    strict : bool, default True
        What to do with a frame number that the mode does not permit: 1 ends the
        run, 0 says so on standard error and leaves the frame out.
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
    stamp : bool, default False
        Store the time of each frame beside it, in an array of the same length
        called ``NAME_timestamp``: seconds since 1970 UTC, those of the source
        where it tells them. Where it tells an alarm severity, that goes to
        ``NAME_severity`` (0 to 3).
    format : {3, 2}, default 3
        Zarr's format; 2 is for programs that know no other.
    shard : int, default 0
        Put so many frames into one file, with many `chunks` in it (format 3):
        few files, of which small parts can be read. 0 makes a file of each
        chunk.

    Examples
    --------
    All data of two variables, appended::

        caspy --from-epics EXAMPLE:iffy EXAMPLE:jedda \
              --to-zarr my-data.zarr#group/{tag}

    A group for each scan::

        caspy --from-ioc 'scan=scan(1)' prefix=EXAMPLE: --demote scan \
              --from-epics EXAMPLE:jedda \
              --to-zarr my-data.zarr#scan-{scan:03d}/{tag}

    Many spectra to be read one by one, in files of 1000::

        caspy --from-epics EXAMPLE:jedda \
              --to-zarr my-data.zarr#{tag} chunks=1 shard=1000
    """

    requires: ClassVar[tuple[str, ...]] = ("zarr",)
    extra: ClassVar[str] = "zarr"

    def __init__(
        self,
        path: str,
        mode: str = "a+",
        index: str = "",
        strict: bool = True,
        timeout: float = 5.0,
        flush: float = 0.25,
        chunks: str = "auto",
        compression: str = "zstd",
        stamp: bool = False,
        format: int = 3,  # noqa: A002 - as users of zarr know it
        shard: int = 0,
    ) -> None:
        if str(compression) not in _COMPRESSIONS:
            raise BadOption(f"zarr: compression={compression!r}: {', '.join(_COMPRESSIONS)}")
        if str(format) not in ("2", "3"):
            raise BadOption(f"zarr: format={format!r}: 2 or 3")
        frames = str(shard)
        if not frames.isdecimal():
            raise BadOption(f"zarr: shard={shard!r}: the number of frames in a file, or 0")
        if int(frames) and str(format) == "2":
            raise BadOption("zarr: shard= needs format=3")
        self._compression = str(compression)
        self.prepare(
            path, mode, index, strict, timeout=timeout, flush=flush, chunks=chunks, stamp=stamp
        )
        self.layout = self.layout._replace(
            shard=int(frames), zarr_format=2 if str(format) == "2" else 3
        )

    async def startup(self) -> None:
        """Load the libraries."""
        if is_url(self.url) and importlib.util.find_spec("fsspec") is None:
            raise MissingExtra(f"zarr {self.url}", "fsspec", self.extra)
        await super().startup()

    def open_file(self, path: str) -> ZFile:
        return ZFile(path, self.timeout, self.layout)

    def packing(self) -> Any:
        """Return what zarr is told about compression."""
        if self.layout.zarr_format == 2:
            return self._packing_2()
        from zarr import codecs

        if self._compression == "blosc":
            return codecs.BloscCodec(cname="lz4", shuffle="bitshuffle")
        if self._compression == "gzip":
            return codecs.GzipCodec()
        return "auto" if self._compression == "zstd" else None

    def _packing_2(self) -> Any:
        import numcodecs

        if self._compression == "blosc":
            return numcodecs.Blosc(cname="lz4", shuffle=numcodecs.Blosc.BITSHUFFLE)
        if self._compression == "none":
            return None
        return numcodecs.GZip() if self._compression == "gzip" else numcodecs.Zstd()
