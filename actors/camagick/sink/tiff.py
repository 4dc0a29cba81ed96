"""Sink ``--to-tiff``: images into TIFF files, one file each, or one file of many pages."""

from __future__ import annotations

import contextlib
import os
import time
from collections import OrderedDict
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from camagick.errors import BadOption, CamagickError, MissingExtra
from camagick.options import truth
from camagick.processor import ProcessorBase, Role
from camagick.tools.arrayfile import native
from camagick.tools.numbers import is_integer, is_real
from camagick.tools.record import UNKNOWN, Stamp
from camagick.tools.tiffalone import write
from camagick.tools.tiffstack import TiffStack
from camagick.tools.url import BadUrl, Template

if TYPE_CHECKING:
    from collections.abc import Iterator

    from camagick.data import Data

_COMPRESSIONS = ("none", "zlib")
#: How many files of many pages are kept open at a time.
_OPEN = 8
#: Without a bus nobody says when to commit.
_COMMIT_S = 0.25


class TiffError(CamagickError):
    """An image cannot be written; the message names the file."""


class Processor(ProcessorBase):
    r"""Store images in TIFF files: each in a file of its own, or page after page.

    Where the name of the file has ``{seq}`` in it, every image becomes a file.
    A file appears under its name when it is complete. Without ``{seq}``, every
    image is one more page of the file; others see what was committed, as soon
    as there is nothing else to do. A killed program leaves sound files, and
    what it is given again it does not store twice.

    Numbers keep their type. Frames of more than two axes, or of one, are stored
    as images of two; ``--from-tiff`` gives them back as they were. Units, times
    and other attributes are stored with them.

    What it hands on is, for each tag, the file, and the page in it:
    ``img-00003.tif``, ``stack.tif[3]``.

    Parameters
    ----------
    file : str
        Name of the file. ``{seq:05d}`` is the number of the iteration, ``{tag}``
        the tag (``{label}`` is the same, ``{suffix}`` what is behind its last
        ':'), other names are values of the context (see ``--demote``). Folders
        are made as needed.
    start : int, default 0
        The first ``{seq}``.
    mode : {'a', 'o'}, default 'a'
        What to do where a file with such a ``{seq}`` is there already: 'a' ends
        the run, 'o' replaces it. Pages are always added.
    ome : bool, optional
        Write OME-TIFF, which microscopy programs read, if there is no
        ``{seq}``. Not given: where the name ends with ``.ome.tif``.
    compression : {'none', 'zlib'}, default 'none'
        'zlib' is read by every program.
    bigtiff : bool, default True
        Let a file of many pages grow beyond 4 GiB. Some old programs cannot
        read that: 0 is for them.
    timeout : float, default 5
        Seconds to wait for another program that is writing the file.

    Examples
    --------
    A file for each image::

        caspy --from-epics img=DET:image --to-tiff scan/{tag}-{seq:05d}.tif

    All images of a scan in one file::

        caspy --from-ioc 'scan=scan(1)' prefix=EXAMPLE: --demote scan \
              --from-epics EXAMPLE:jedda --reshape 64 32 \
              --to-tiff scan-{scan:03d}.ome.tif
    """

    role: Role = "sink"
    keeps_attributes: ClassVar[bool] = False
    stateful: ClassVar[bool] = True
    commits: ClassVar[bool] = True
    requires: ClassVar[tuple[str, ...]] = ("tifffile",)
    extra: ClassVar[str] = "tiff"

    def __init__(
        self,
        file: str,
        *,
        start: int = 0,
        mode: str = "a",
        ome: bool | None = None,
        compression: str = "none",
        bigtiff: bool = True,
        timeout: float = 5.0,
    ) -> None:
        try:
            self._file = Template(str(file))
        except BadUrl as error:
            raise BadOption(f"tiff: {error}") from None
        if not str(file).strip() or "#" in str(file):
            raise BadOption(f"tiff: {file!r}: name a file, such as img-{{seq:05d}}.tif")
        if mode not in ("a", "o"):
            raise BadOption(f"tiff: mode={mode!r}: a or o")
        if compression not in _COMPRESSIONS:
            raise BadOption(f"tiff: compression={compression!r}: {', '.join(_COMPRESSIONS)}")
        if not is_integer(start, 0):
            raise BadOption(f"tiff: start={start!r} is not an integer of 0 or more")
        if not is_real(timeout) or timeout < 0:
            raise BadOption(f"tiff: timeout={timeout!r}: seconds, 0 or more")
        self._single = "seq" in self._file.fields
        named_ome = str(file).lower().endswith((".ome.tif", ".ome.tiff"))
        self._ome = named_ome if ome is None else truth("ome", ome)
        if self._ome and ome is not None and self._single:
            raise BadOption("tiff: ome=1 is for files of many pages, without {seq}")
        self._start, self._mode, self._big = int(start), mode, truth("bigtiff", bigtiff)
        self._timeout = float(timeout)
        self._compression = None if compression == "none" else compression
        self._stacks: OrderedDict[str, TiffStack] = OrderedDict()
        self._count = 0
        self._committed = 0.0

    async def startup(self) -> None:
        """Load the library. Files are opened with the first data, which may name them."""
        try:
            import tifffile  # noqa: F401 - only whether it is there
        except ImportError:
            raise MissingExtra("tiff", "tifffile", "tiff") from None

    async def shutdown(self) -> None:
        """Write what is not yet written, and let others write."""
        stacks, self._stacks = self._stacks, OrderedDict()
        for path, stack in stacks.items():
            with _failing(path):
                stack.close()

    def commit(self) -> None:
        """Bring every file on the disk to what was handed over, each one all or nothing."""
        for path, stack in self._stacks.items():
            with _failing(path):
                stack.commit()

    def process(self, data: Data, context: Data) -> dict[str, str]:
        """Store one image of each tag, and return where each one went."""
        seq = self.seq if self.placement.run else self._count
        texts: dict[str, str] = {}
        taken: dict[str, str] = {}
        for name, value in data.items():
            path = self._path(name, seq, context)
            other = taken.setdefault(path, name)
            if other != name:
                raise TiffError(f"tiff: {path} would take both {other} and {name}: write {{tag}}")
            with _failing(path, name):
                texts[name] = self._store(path, _frame(value), {**data.attributes(name)}, name)
        self._count += 1
        if not self.placement.run and time.monotonic() - self._committed > _COMMIT_S:
            self.commit()
            self._committed = time.monotonic()
        return texts

    def _path(self, name: str, seq: int, context: Data) -> str:
        names = {"tag": name, "label": name, "suffix": name.rpartition(":")[2]}
        try:
            return self._file.fill({**context, **names, "seq": self._start + seq})
        except BadUrl as error:
            raise TiffError(f"tiff: {error}") from None

    def _store(
        self, path: str, frame: np.ndarray[Any, Any], known: dict[str, Any], name: str
    ) -> str:
        run = self.placement.run
        stamp = Stamp(run, self.placement.number, self.seq) if run else None
        if self._single:
            write(path, frame, stamp, known, replace=self._mode == "o", packed=self._compression)
            return path
        stack = self._stack(path)
        number = stack.number(stamp)
        if number is None:
            number = stack.write(frame, stamp, {**known, "tag": name})
        return path if number == UNKNOWN else f"{path}[{number}]"

    def _stack(self, path: str) -> TiffStack:
        key = os.path.realpath(path)
        if key not in self._stacks:
            while len(self._stacks) >= _OPEN:
                self._stacks.popitem(last=False)[1].close()
            os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
            make = partial(TiffStack, ome=self._ome, big=self._big, compression=self._compression)
            self._stacks[key] = make(path, self._timeout)
        self._stacks.move_to_end(key)
        return self._stacks[key]


def _frame(value: Any) -> np.ndarray[Any, Any]:
    frame = np.asarray(value)
    if frame.dtype.kind not in "biufc":
        raise ValueError(f"an image is made of numbers, not of {type(value).__name__}")
    if not frame.size:
        raise ValueError(f"it takes no empty image, of shape {frame.shape}")
    return frame.astype(native(frame.dtype), copy=False)


@contextlib.contextmanager
def _failing(path: str, name: str = "") -> Iterator[None]:
    """Say in one line what went wrong, and where."""
    try:
        yield
    except BlockingIOError:
        raise TiffError(f"tiff: {path}: another program writes it") from None
    except (OSError, ValueError, TypeError, RuntimeError, KeyError, IndexError) as error:
        text = getattr(error, "strerror", None) or " ".join(str(error).split())
        what = f"{name}: " if name and not isinstance(error, OSError) else ""
        raise TiffError(f"tiff: {path}: {what}{text or type(error).__name__}") from error
