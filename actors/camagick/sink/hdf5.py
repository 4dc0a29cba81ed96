"""Sink ``--to-hdf5``: arrays and values into HDF5 files that grow frame by frame."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, ClassVar

from camagick.errors import BadOption, CamagickError, MissingExtra
from camagick.storesink import Place, StoreSink
from camagick.tools.frameindex import Refused, frame_number, parse_mode
from camagick.tools.h5file import H5File

if TYPE_CHECKING:
    from camagick.data import Data

log = logging.getLogger(__name__)

#: What h5py has, and what comes with hdf5plugin: its name there, and how it is told.
_OWN = ("none", "gzip", "lzf")
_PLUGINS: dict[str, tuple[str, dict[str, Any]]] = {
    "bitshuffle": ("Bitshuffle", {}),
    "blosc2": ("Blosc2", {"cname": "lz4", "filters": 2}),
    "lz4": ("LZ4", {}),
    "zstd": ("Zstd", {}),
}
_NO = ("0", "false", "no", "off", "")


class RefusedIndexError(CamagickError):
    """A frame number that the mode does not permit."""


class Processor(StoreSink):
    r"""Store data in HDF5 files, one more frame in each iteration.

    Every tag has a data set of its own. It grows on its first axis: 83 spectra
    of 2048 points are a data set of 83 x 2048 (`h5ls` shows ``{83/Inf, 2048}``),
    83 temperatures one of 83. Numbers keep their type, texts are stored as
    texts. Beside the data stand its units, as far as the source knows them, and
    when and by what it was written (attributes).

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
    ) -> None:
        try:
            frames = parse_mode(str(mode))
        except ValueError as error:
            raise BadOption(f"hdf5: {error}") from None
        if str(compression) not in (*_OWN, *_PLUGINS):
            known = ", ".join((*_OWN, *_PLUGINS))
            raise BadOption(f"hdf5: compression={compression!r}: {known}")
        self._compression = str(compression)
        self.prepare(path, frames, timeout, flush, chunks)
        self._index = str(index or "").removeprefix("@")
        if "index" in self._url.fields and not self._index:
            raise BadOption(f"hdf5: {path!r} has {{index}}: say which value that is, index=NAME")
        self._strict = str(strict).strip().lower() not in _NO

    def open_file(self, path: str) -> H5File:
        return H5File(path, self.timeout, self.layout)

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

    def process(self, data: Data, context: Data) -> dict[str, str]:
        """Write one frame of each tag, and return where each one went."""
        if not data:
            return {}
        try:
            number = self._number(context)
        except Refused as refusal:
            self._refuse(refusal, ",".join(data))
            return {}
        texts: dict[str, str] = {}
        with self.storing():
            for tag, place in self.places(data, {**context, "index": number}).items():
                try:
                    written = self.frame(data, tag, place, number)
                except Refused as refusal:
                    self._refuse(refusal, tag, place)
                    continue
                if written is not None:
                    texts[tag] = self.text(place, written, mark=not self._index)
        return texts

    def _number(self, context: Data) -> int | None:
        if not self._index:
            return None
        if self._index not in context:
            raise Refused("No frame index in the context", self._index)
        return frame_number(context[self._index])

    def _refuse(self, refusal: Refused, tag: str, place: Place | None = None) -> None:
        """Raise, or say, that a frame is left out, as `strict` wants it."""
        if self._strict:
            where = ""
            if place is not None:
                where = f" file={place.path} frames={refusal.frames} dataset={place.name}"
            raise RefusedIndexError(
                f"hdf5: {refusal.why}: index={refusal.index}{where} tag={tag} (strict=0 goes on)"
            )
        where = ""
        if place is not None:
            where = f' file={place.path} frames={refusal.frames} dataset="{place.name}"'
        log.error('msg="%s" index=%s%s', refusal.why, refusal.index, where)
        log.error('msg="Ignoring frame index error as instructed" tag=%s', tag)
