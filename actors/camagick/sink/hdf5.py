"""Sink ``--to-hdf5``: arrays and values into HDF5 files that grow frame by frame."""

from __future__ import annotations

from typing import Any, ClassVar

from camagick.errors import BadOption, MissingExtra
from camagick.options import truth
from camagick.storesink import StoreSink
from camagick.tools.h5file import H5File
from camagick.tools.rolling import Roll, RolledFile, parse_roll

#: What h5py has, and what comes with hdf5plugin: its name there, and how it is told.
_OWN = ("none", "gzip", "lzf")
_PLUGINS: dict[str, tuple[str, dict[str, Any]]] = {
    "bitshuffle": ("Bitshuffle", {}),
    "blosc2": ("Blosc2", {"cname": "lz4", "filters": 2}),
    "lz4": ("LZ4", {}),
    "zstd": ("Zstd", {}),
}


class Processor(StoreSink):
    r"""Store data in HDF5 files, one more frame in each iteration.

    Every tag has a data set of its own. It grows on its first axis: 83 spectra
    of 2048 points are a data set of 83 x 2048 (`h5ls` shows ``{83/Inf, 2048}``),
    83 temperatures one of 83. Numbers keep their type, texts are stored as
    texts. Attributes tell what the source knows about the values (units,
    precision, limits, the texts of an enumeration, the name of the PV), and
    when and by what they were written; those of the file, the whole command.

    Other programs can read the file while it is being written: they see what is
    older than `flush` seconds. One that reads in the very moment of a flush may
    have to try again. Only one program can write a file at a time. When the
    program is killed or the disk is full, the file stays as of the last flush,
    and the next run goes on.

    What it hands on is, for each tag, where the frame went, so that a
    ``--to-summary`` behind it prints that:
    ``my-data.h5#scan-001/EXAMPLE_jedda[3]`` (frame 3; the first one is 0).

    Parameters
    ----------
    path : str
        ``FILE#GROUP/{tag}``: the file, and the data set in it. In both halves,
        ``{tag}`` stands for the tag, and other names for values of the context
        (see ``--demote``), with a format where you like: ``{scan:03d}``;
        ``{index}`` is the frame number (with `index`). Without '#', or with a
        group behind it (``FILE#GROUP/``), the data set is named by the tag.
        Folders and groups are made as needed.
    mode : str, default 'a+'
        What may happen to data that is there already, when `index` gives the
        frame numbers: ``a`` append only, ``o`` overwrite frames, ``O``
        overwrite frames, and replace a data set of another shape or type,
        ``x`` start the data set again. With a ``+`` behind it, frames may be
        left out; they are filled with zeros.
    index : str, default ''
        Name of the context value that is the number of the frame. Without it,
        every frame is appended.
    strict : bool, default True
        What to do with a frame number that the mode does not permit: 1 ends the
        run, 0 says so on standard error and leaves the frame out.
    timeout : float, default 5
        Seconds to wait for another program that is writing the file.
    flush : float, default 0.25
        Seconds after which other programs see a frame at the latest; 0: at
        once, each frame.
    chunks : str, default 'auto'
        How many frames are stored in one piece, which is what is read and
        compressed at a time; 'auto' makes pieces of about 1 MiB (of numbers,
        4096). With lengths behind it, a frame is stored in several pieces:
        ``1,512,512``.
    compression : str, default 'none'
        'gzip' is read by every program; 'lzf' is faster and bigger, and needs
        h5py to read. 'bitshuffle' (with LZ4), 'blosc2', 'lz4' and 'zstd' are
        faster still; to write and to read them, hdf5plugin must be installed.
    stamp : bool, default False
        Store the time of each frame beside it, in a data set of the same length
        called ``NAME_timestamp``: seconds since 1970 UTC, those of the source
        where it tells them. Where it tells an alarm severity, that goes to
        ``NAME_severity`` (0 to 3).
    ragged : bool, default False
        Store arrays of one axis as rows that may differ in length. Otherwise an
        array of another length than the first one ends the run.
    swmr : bool, default False
        Make a file that SWMR readers can open once and follow (its numbers),
        see docs/storage.md; programs need HDF5 1.10 (of 2016) to read it.
    nexus : bool, default False
        Say in the file what is to be plotted, in the terms of NeXus, so that
        silx, h5web and NeXpy show it at once; with `stamp`.
    roll : str, default ''
        Begin another file after a size (``1GB``), a time (``10min``), a number
        of frames (``1000``), or whatever comes first (``1GB,10min``):
        ``run-00001.h5``, ``run-00002.h5``, ... for ``run.h5``. Each is whole by
        itself; ``run.h5`` joins them. Appends only.

    Examples
    --------
    All data of two variables, appended::

        caspy --from-epics EXAMPLE:iffy EXAMPLE:jedda \
              --to-hdf5 my-data.h5#group/{tag}

    A group for each scan, and the frame number from the control system::

        caspy --from-ioc 'scan=scan(1)' 'frame=frame(0)' prefix=EXAMPLE: \
              --demote scan frame --from-epics EXAMPLE:jedda \
              --to-hdf5 my-data.h5#scan-{scan:03d}/{tag} \
                        index=frame mode=a+ strict=0

    With the times of the control system, to be plotted by silx, a file each
    hour::

        caspy --from-epics EXAMPLE:jedda \
              --to-hdf5 my-data.h5#scan/{tag} nexus=1 roll=1h
    """

    requires: ClassVar[tuple[str, ...]] = ("h5py",)
    extra: ClassVar[str] = "hdf5"
    noun: ClassVar[str] = "data set"

    def __init__(
        self,
        path: str,
        mode: str = "a+",
        index: str = "",
        strict: bool = True,
        timeout: float = 5.0,
        flush: float = 0.25,
        chunks: str = "auto",
        compression: str = "none",
        stamp: bool = False,
        ragged: bool = False,
        swmr: bool = False,
        nexus: bool = False,
        roll: str = "",
    ) -> None:
        if str(compression) not in (*_OWN, *_PLUGINS):
            known = ", ".join((*_OWN, *_PLUGINS))
            raise BadOption(f"hdf5: compression={compression!r}: {known}")
        self._compression = str(compression)
        self.prepare(
            path, mode, index, strict, timeout=timeout, flush=flush, chunks=chunks,
            stamp=truth("stamp", stamp) or truth("nexus", nexus),
        )  # fmt: skip
        if "://" in self.url:
            raise BadOption(f"hdf5: {path!r}: a path, no URL (--to-zarr knows some)")
        self.layout = self.layout._replace(
            ragged=truth("ragged", ragged), swmr=truth("swmr", swmr), nexus=truth("nexus", nexus)
        )
        self._roll = self._parse_roll(roll)

    def _parse_roll(self, roll: Any) -> Roll | None:
        try:
            parsed = parse_roll(str(roll))
        except ValueError as error:
            raise BadOption(f"hdf5: {error}") from None
        if parsed is not None and (self._index or self.layout.mode.letter != "a"):
            raise BadOption("hdf5: roll= appends: leave out index=, and any mode= but a")
        return parsed

    def open_file(self, path: str) -> H5File | RolledFile:
        def part(name: str) -> H5File:
            return H5File(name, self.timeout, self.layout)

        if self._roll is None:
            return part(path)
        again = self.placement.incarnation > 1
        return RolledFile(path, part, self._roll, self.layout, again=again)

    def packing(self) -> dict[str, Any]:
        """Return what h5py is told about compression; load what it needs for that."""
        if self._compression in _PLUGINS:
            try:
                import hdf5plugin
            except ImportError:
                what = f"hdf5 compression={self._compression}"
                raise MissingExtra(what, "hdf5plugin", "compression") from None
            name, options = _PLUGINS[self._compression]
            return dict(getattr(hdf5plugin, name)(**options))
        if self._compression == "none":
            return {}
        return {"compression": self._compression, "shuffle": True}
