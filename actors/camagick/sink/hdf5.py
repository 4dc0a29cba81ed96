"""Sink ``--to-hdf5``: arrays and values into HDF5 files that grow frame by frame."""

from __future__ import annotations

import logging
import os
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar

import camagick
from camagick.errors import BadOption, CamagickError, MissingExtra
from camagick.processor import ProcessorBase, Role
from camagick.tools.filestore import FileStore, Frame, StoreError
from camagick.tools.frameindex import Refused, frame_number, parse_mode
from camagick.tools.h5file import H5File
from camagick.tools.record import UNKNOWN, Stamp
from camagick.tools.url import ArrayUrl, BadUrl

if TYPE_CHECKING:
    from camagick.data import Data

log = logging.getLogger(__name__)

_COMPRESSIONS = ("none", "gzip", "lzf")
_NO = ("0", "false", "no", "off", "")


class StorageError(CamagickError):
    """Data cannot be written; the message names the file and the data set."""


class RefusedIndexError(CamagickError):
    """A frame number that the mode does not permit."""


class Processor(ProcessorBase):
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
    flush : float, default 1
        Seconds after which data is in the file at the latest; 0: at once, each
        frame.
    compression : {'none', 'gzip', 'lzf'}, default 'none'
        'gzip' is read by every program; 'lzf' is faster and bigger, and needs
        h5py to read.

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

    role: Role = "sink"
    # What it hands on are texts; the units are those of the data.
    keeps_attributes: ClassVar[bool] = False
    stateful: ClassVar[bool] = True
    commits: ClassVar[bool] = True
    requires: ClassVar[tuple[str, ...]] = ("h5py",)
    extra: ClassVar[str] = "hdf5"

    def __init__(
        self,
        path: str,
        mode: str = "a+",
        index: str = "",
        strict: bool = True,
        timeout: float = 5.0,
        flush: float = 1.0,
        compression: str = "none",
    ) -> None:
        try:
            self._url = ArrayUrl(str(path))
            self._mode = parse_mode(str(mode))
        except ValueError as error:
            raise BadOption(f"hdf5: {error}") from None
        self._index = str(index or "").removeprefix("@")
        if "index" in self._url.fields and not self._index:
            raise BadOption(f"hdf5: {path!r} has {{index}}: say which value that is, index=NAME")
        if str(compression) not in _COMPRESSIONS:
            raise BadOption(f"hdf5: compression={compression!r}: {', '.join(_COMPRESSIONS)}")
        self._compression = str(compression)
        self._strict = str(strict).strip().lower() not in _NO
        wait = _seconds("timeout", timeout)
        self._store = FileStore(lambda name: H5File(name, wait), _seconds("flush", flush))
        self._failed = False
        self._started = ""

    async def startup(self) -> None:
        """Load the library. The first file is opened with the first data, which may name it."""
        try:
            import h5py  # noqa: F401 - only whether it is there
        except ImportError:
            raise MissingExtra("hdf5", "h5py", "hdf5") from None
        self._started = datetime.now().astimezone().isoformat(timespec="seconds")
        self._store.start()

    async def shutdown(self) -> None:
        """Write what is not yet written, and close all files."""
        try:
            self._store.close()
        except StoreError as error:
            if not self._failed:
                raise StorageError(f"hdf5: {error}") from error
            # The run ends for this already: said once is enough.
            log.debug('msg="closing failed too" reason="%s"', error)

    def commit(self) -> None:
        """Bring every file on the disk to what was handed over, each one all or nothing."""
        try:
            self._store.commit()
        except StoreError as error:
            self._failed = True
            raise StorageError(f"hdf5: {error}") from error

    def process(self, data: Data, context: Data) -> dict[str, str]:
        """Write one frame of each tag, and return where each one went."""
        if not data:
            return {}
        try:
            frame = self._number(context)
        except Refused as refusal:
            self._refuse(refusal, ",".join(data))
            return {}
        try:
            with self._store.turn():
                return self._write(data, frame, self._places(data, frame, context))
        except (BadUrl, StoreError) as error:
            self._failed = True
            raise StorageError(f"hdf5: {error}") from error

    def _number(self, context: Data) -> int | None:
        if not self._index:
            return None
        if self._index not in context:
            raise Refused("No frame index in the context", self._index)
        return frame_number(context[self._index])

    def _places(self, data: Data, frame: int | None, context: Data) -> dict[str, tuple[str, str]]:
        """Return file and data set of each tag."""
        places: dict[str, tuple[str, str]] = {}
        taken: dict[tuple[str, str], str] = {}
        for tag in data:
            path, inner = self._url.at({**context, "index": frame, "tag": tag})
            name = self._store.file(path).name_of(inner, tag)
            other = taken.setdefault((self._store.key(path), name), tag)
            if other != tag:
                raise StoreError(
                    f"{path}: data set {name} would take both {other} and {tag}:"
                    " write {tag} in the path"
                )
            places[tag] = path, name
        return places

    def _write(
        self, data: Data, number: int | None, places: dict[str, tuple[str, str]]
    ) -> dict[str, str]:
        texts = {}
        run, actor = self.placement.run, self.placement.number
        stamp = Stamp(run, actor, self.seq) if run else None
        for tag, (path, name) in places.items():
            frame = Frame(name, data[tag], number, self._attributes(data, tag), stamp)
            try:
                written = self._store.file(path).write(frame, self._mode, self._compression)
            except Refused as refusal:
                self._refuse(refusal, tag, path, name)
                continue
            if written is not None:
                place = "" if written == UNKNOWN else f"[{written}]"
                texts[tag] = f"{self._shown(path)}#{name.lstrip('/')}{place}"
        return texts

    def _shown(self, path: str) -> str:
        """Return the file's name as it is handed on.

        The text that people know has './' before a bare name when frames are appended, and not
        when they are numbered by `index`; scripts may look for either.
        """
        bare = not self._index and os.path.dirname(path) == ""
        return f"./{path}" if bare else path

    def _attributes(self, data: Data, tag: str) -> dict[str, Any]:
        known = {**data.attributes(tag), "start_time": self._started}
        known["program"] = f"caspy {camagick.__version__}"
        if self.placement.run:
            known["run_id"] = self.placement.run
        return known

    def _refuse(self, refusal: Refused, tag: str, path: str = "", name: str = "") -> None:
        """Raise, or say, that a frame is left out, as `strict` wants it."""
        if self._strict:
            where = f" file={path} frames={refusal.frames} dataset={name}" if path else ""
            raise RefusedIndexError(
                f"hdf5: {refusal.why}: index={refusal.index}{where} tag={tag} (strict=0 goes on)"
            )
        where = f' file={path} frames={refusal.frames} dataset="{name}"' if path else ""
        log.error('msg="%s" index=%s%s', refusal.why, refusal.index, where)
        log.error('msg="Ignoring frame index error as instructed" tag=%s', tag)


def _seconds(name: str, value: Any) -> float:
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise BadOption(f"hdf5: {name}={value!r}: seconds, 0 or more")
    return seconds
