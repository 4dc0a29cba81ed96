"""Sink ``--to-zarr``: arrays and values into Zarr stores that grow frame by frame."""

from __future__ import annotations

import logging
import os
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar

import camagick
from camagick.errors import BadOption, CamagickError, MissingExtra
from camagick.processor import ProcessorBase, Role
from camagick.tools.filestore import FileStore, Frame, StoreError
from camagick.tools.record import UNKNOWN, Stamp
from camagick.tools.url import ArrayUrl, BadUrl
from camagick.tools.zfile import ZFile

if TYPE_CHECKING:
    from camagick.data import Data

log = logging.getLogger(__name__)

#: What zarr calls them.
_COMPRESSIONS = {"zstd": "auto", "none": None}


class StorageError(CamagickError):
    """Data cannot be written; the message names the store and the array."""


class Processor(ProcessorBase):
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
    flush : float, default 1
        Seconds after which data is in the store at the latest; 0: at once, each
        frame.
    compression : {'zstd', 'none'}, default 'zstd'
        'zstd' is what zarr itself does, if nobody says otherwise.

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

    role: Role = "sink"
    # What it hands on are texts; the units are those of the data.
    keeps_attributes: ClassVar[bool] = False
    stateful: ClassVar[bool] = True
    commits: ClassVar[bool] = True
    requires: ClassVar[tuple[str, ...]] = ("zarr",)
    extra: ClassVar[str] = "zarr"

    def __init__(
        self, path: str, timeout: float = 5.0, flush: float = 1.0, compression: str = "zstd"
    ) -> None:
        try:
            self._url = ArrayUrl(str(path))
        except ValueError as error:
            raise BadOption(f"zarr: {error}") from None
        if str(compression) not in _COMPRESSIONS:
            raise BadOption(f"zarr: compression={compression!r}: {', '.join(_COMPRESSIONS)}")
        packed = _COMPRESSIONS[str(compression)]
        wait = _seconds("timeout", timeout)
        self._store = FileStore(lambda name: ZFile(name, wait, packed), _seconds("flush", flush))
        self._failed = False
        self._started = ""

    async def startup(self) -> None:
        """Load the library. The first store is opened with the first data, which may name it."""
        try:
            import zarr  # noqa: F401 - only whether it is there
        except ImportError:
            raise MissingExtra("zarr", "zarr", "zarr") from None
        self._started = datetime.now().astimezone().isoformat(timespec="seconds")
        self._store.start()

    async def shutdown(self) -> None:
        """Write what is not yet written, and let others write."""
        try:
            self._store.close()
        except StoreError as error:
            if not self._failed:
                raise StorageError(f"zarr: {error}") from error
            # The run ends for this already: said once is enough.
            log.debug('msg="closing failed too" reason="%s"', error)

    def commit(self) -> None:
        """Bring every array on the disk to what was handed over, each one all or nothing."""
        try:
            self._store.commit()
        except StoreError as error:
            self._failed = True
            raise StorageError(f"zarr: {error}") from error

    def process(self, data: Data, context: Data) -> dict[str, str]:
        """Append one frame of each tag, and return where each one went."""
        if not data:
            return {}
        try:
            with self._store.turn():
                return self._write(data, self._places(data, context))
        except (BadUrl, StoreError) as error:
            self._failed = True
            raise StorageError(f"zarr: {error}") from error

    def _places(self, data: Data, context: Data) -> dict[str, tuple[str, str]]:
        """Return store and array of each tag."""
        places: dict[str, tuple[str, str]] = {}
        taken: dict[tuple[str, str], str] = {}
        for tag in data:
            path, inner = self._url.at({**context, "tag": tag})
            name = self._store.file(path).name_of(inner, tag)
            other = taken.setdefault((self._store.key(path), name), tag)
            if other != tag:
                raise StoreError(
                    f"{path}: array {name} would take both {other} and {tag}:"
                    " write {tag} in the path"
                )
            places[tag] = path, name
        return places

    def _write(self, data: Data, places: dict[str, tuple[str, str]]) -> dict[str, str]:
        run = self.placement.run
        stamp = Stamp(run, self.placement.number, self.seq) if run else None
        texts = {}
        for tag, (path, name) in places.items():
            frame = Frame(name, data[tag], None, self._attributes(data, tag), stamp)
            written = self._store.file(path).write(frame)
            if written is not None:
                where = "" if written == UNKNOWN else f"[{written}]"
                bare = "" if os.path.dirname(path) else "./"
                texts[tag] = f"{bare}{path}#{name.lstrip('/')}{where}"
        return texts

    def _attributes(self, data: Data, tag: str) -> dict[str, Any]:
        known = {**data.attributes(tag), "start_time": self._started}
        known["program"] = f"caspy {camagick.__version__}"
        if self.placement.run:
            known["run_id"] = self.placement.run
        return known


def _seconds(name: str, value: Any) -> float:
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise BadOption(f"zarr: {name}={value!r}: seconds, 0 or more")
    return seconds
