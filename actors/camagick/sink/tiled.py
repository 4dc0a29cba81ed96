"""Sink ``--to-tiled``: arrays and values into a Tiled server, frame by frame."""

from __future__ import annotations

import contextlib
import importlib
import logging
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from camagick.errors import BadOption, CamagickError, MissingExtra
from camagick.processor import ProcessorBase, Role
from camagick.service.tiled_sender import Sender
from camagick.tools.arrayfile import native
from camagick.tools.innerpath import join
from camagick.tools.numbers import is_real
from camagick.tools.record import Stamp
from camagick.tools.spool import Spool, spool_folder
from camagick.tools.url import ArrayUrl, BadUrl

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from camagick.data import Data

log = logging.getLogger(__name__)

#: What changes from frame to frame does not describe the array.
_MOMENTARY = frozenset({"timestamp", "severity", "status"})


class TiledError(CamagickError):
    """Data cannot be stored; the message names the server or the spool."""


class Processor(ProcessorBase):
    r"""Store data in a Tiled server, one more frame in each iteration.

    Every tag has an array of its own, which grows on its first axis. Containers
    and arrays are made as needed; units and other attributes become the
    metadata of a new array.

    Frames go to the disk first, into a spool, and from there to the server,
    many at a time. So a slow server slows nothing down, and while it is away
    nothing is lost: frames wait, and are sent when it is back. What still waits
    at the end of a run is sent by the next one to the same address. Nothing is
    sent twice, also where this program or the server is killed. Two programs
    must not add to the same array at the same time.

    What it hands on is, for each tag, where the frame goes:
    ``http://localhost:8000#scan-001/img[3]``; the number is left out while the
    server has not yet told how many there are.

    Parameters
    ----------
    uri : str
        ``http://HOST:PORT#CONTAINER/{tag}``: the server (or a container of it),
        and the array in it. In both halves, ``{tag}`` stands for the tag, and
        behind the '#' other names for values of the context (see
        ``--demote``). Without '#', the array is named by the tag.
    api_key : str, default ''
        Key that lets one write. Better than here, where others see it, it is in
        the variable TILED_API_KEY.
    spool : str, default ''
        Folder of frames that wait; not given: ``~/.local/state/caspy/spool``.
    timeout : float, default 10
        Seconds to wait for an answer of the server; at the end of the run, for
        it to take anything more.

    Examples
    --------
    A container for each scan::

        caspy --from-ioc 'scan=scan(1)' prefix=EXAMPLE: --demote scan \
              --from-epics EXAMPLE:jedda \
              --to-tiled http://localhost:8000#scan-{scan:03d}/{tag}
    """

    role: Role = "sink"
    keeps_attributes: ClassVar[bool] = False
    stateful: ClassVar[bool] = True
    commits: ClassVar[bool] = True
    requires: ClassVar[tuple[str, ...]] = ("tiled.client",)
    extra: ClassVar[str] = "tiled"

    def __init__(
        self, uri: str, *, api_key: str = "", spool: str = "", timeout: float = 10.0
    ) -> None:
        try:
            self._url = ArrayUrl(str(uri))
        except BadUrl as error:
            raise BadOption(f"tiled: {error}") from None
        if self._url.outer.fields or not self._url.outer.text.startswith(("http://", "https://")):
            raise BadOption(f"tiled: {uri!r}: write http://HOST:PORT#CONTAINER/{{tag}}")
        if not is_real(timeout) or not 0 < timeout < float("inf"):
            raise BadOption(f"tiled: timeout={timeout!r}: seconds, more than 0")
        self._server = self._url.outer.fill({})
        self._key, self._folder = str(api_key), str(spool or "")
        self._timeout = float(timeout)
        self._spool: Spool | None = None
        self._sender: Sender | None = None
        self._seq = self._done = -1
        self._failed = False

    async def startup(self) -> None:
        """Open the spool, and begin to send what may be in it from an earlier run."""
        try:
            importlib.import_module(self.requires[0])
        except ImportError:
            raise MissingExtra("tiled", "tiled", "tiled") from None
        where = spool_folder(self._folder)
        with _failing(where):
            self._spool = Spool(where, self._url.text)
            self._done = self._spool.take_over(self.placement.run, self.placement.number)
        if self._spool.waiting:
            log.warning('msg="frames of an earlier run are sent" frames=%d', self._spool.waiting)
        self._sender = Sender(self._spool, self._server, self._key, self._timeout)
        self._sender.start()

    async def shutdown(self) -> None:
        """Send what is left; what cannot be sent stays in the spool."""
        spool, sender = self._spool, self._sender
        if spool is None or sender is None:
            return
        if self._seq >= 0:
            self.commit()
        self._spool = self._sender = None
        sender.finish(self._timeout)
        if sender.error is not None:
            spool.close()
            if not self._failed:
                raise _refused(sender, spool)
            return
        if spool.waiting:
            log.warning(
                'msg="frames wait for the server; the next run sends them" frames=%d spool=%s',
                spool.waiting, spool.path,
            )  # fmt: skip
        spool.close()

    def commit(self) -> None:
        """Make safe what was handed over: in the spool it is."""
        if self._spool is None or self._sender is None:
            return
        stamp = Stamp(self.placement.run, self.placement.number, self._seq)
        with _failing(str(self._spool.path)):
            self._spool.commit(stamp if self.placement.run else None)
        self._sender.wake()

    def process(self, data: Data, context: Data) -> dict[str, str]:
        """Add a frame of each tag, and return where each one goes."""
        spool, sender = self._spool, self._sender
        if spool is None or sender is None:
            raise TiledError("tiled: it was not started")
        if sender.error is not None:
            self._failed = True
            raise _refused(sender, spool)
        if self.placement.run and self.seq <= self._done:
            return {tag: f"{self._server}#{self._name(tag, context)}" for tag in data}
        texts: dict[str, str] = {}
        for tag, value in data.items():
            name = self._name(tag, context)
            if any(text.partition("[")[0] == f"{self._server}#{name}" for text in texts.values()):
                raise TiledError(f"tiled: {name} would take two tags: write {{tag}} in the path")
            with _failing(f"{spool.path}: {tag}"):
                queue = spool.queue(name)
                number = queue.put(_frame(value), _known(data.attributes(tag)))
            where = "" if queue.base is None else f"[{queue.base + number}]"
            texts[tag] = f"{self._server}#{name}{where}"
        self._seq = self.seq
        if not self.placement.run:
            self.commit()
        return texts

    def _name(self, tag: str, context: Mapping[str, Any]) -> str:
        try:
            _, inner = self._url.at({**context, "tag": tag})
        except BadUrl as error:
            raise TiledError(f"tiled: {error}") from None
        return (join(inner, tag) if inner.endswith("/") else inner).strip("/")

    def figures(self) -> Mapping[str, int | float]:
        """Return how many frames were sent, and how many wait."""
        spool, sender = self._spool, self._sender
        if spool is None or sender is None:
            return {}
        return {"sent": sender.frames, "waiting": spool.waiting}


def _refused(sender: Sender, spool: Spool) -> TiledError:
    return TiledError(f"tiled: {sender.error} ({spool.waiting} frames wait in {spool.path})")


def _frame(value: Any) -> np.ndarray[Any, Any]:
    frame = np.asarray(value)
    if frame.dtype.kind not in "biufcSU":
        raise ValueError(f"Tiled has no place for a {type(value).__name__}")
    if not frame.size:
        raise ValueError(f"it takes no empty array, of shape {frame.shape}")
    return np.ascontiguousarray(frame.astype(native(frame.dtype), copy=False)).reshape(frame.shape)


def _known(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in attributes.items()
        if key not in _MOMENTARY and isinstance(value, (str, bool, int, float, list, tuple))
    }


@contextlib.contextmanager
def _failing(where: str) -> Iterator[None]:
    """Say in one line what went wrong, and where."""
    try:
        yield
    except BlockingIOError:
        raise TiledError(f"tiled: {where}: another program sends to the same address") from None
    except (OSError, ValueError) as error:
        raise TiledError(f"tiled: {where}: {getattr(error, 'strerror', None) or error}") from error
