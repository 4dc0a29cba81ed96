"""``--to-pva``: data as PVs of a PV Access server of this program's own."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from camagick.errors import BadOption
from camagick.options import truth
from camagick.processor import ProcessorBase, Role
from camagick.service.pva_options import parsed
from camagick.tools.pva_forms import plain

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from camagick.data import Data
    from camagick.service.pva_server import Host

log = logging.getLogger(__name__)

#: Bytes up to which a value is kept for a successor.
_KEPT = 1 << 12


class Processor(ProcessorBase):
    """Data as PVs of this program's own EPICS PV Access server.

    Numbers and text become NTScalar, arrays of one dimension NTScalarArray, integers with enum
    strings NTEnum, arrays of two and three dimensions images (NTNDArray, as areaDetector has them).
    A PV appears with the first value of its tag, or at the start where its type is given; where the
    tag changes its type, the PV does. Units, precision, limits, alarm and timestamp are passed on.
    Hands on nothing.

    Parameters
    ----------
    prefix : str, default ''
        Put before the tag to make the name of the PV.
    suffix : str, default ''
        Put behind it.
    suppress : str, default ''
        ``same``: a value equal to the one before is not published again. Otherwise each iteration
        sends an update for every tag.
    image : bool, default True
        Whether arrays of more than one dimension are images; otherwise they are flattened.
    writable : bool, default False
        Whether clients may write; the next iteration overwrites it.
    stamp : str, default 'source'
        ``source``: the timestamp that came with the value, where one did; ``now``: that of the
        update.
    **tags : str
        Types of PVs that are there from the start: ``float``, ``int``, ``string``, ``bool``,
        ``float32``, ``uint16``, ...; arrays ``float[]``; enums ``off|on``; images ``image``,
        ``uint16:64x32``.

    Examples
    --------
    The sum over an image as ``RESULT:img``, the image as ``RESULT:raw``::

        caspy --from-pva img=DET:Pva1:Image { [ --npfun sum ] --rename raw } --to-pva prefix=RESULT:
    """

    role: Role = "sink"
    stateful: ClassVar[bool] = True
    requires: ClassVar[tuple[str, ...]] = ("p4p",)
    extra: ClassVar[str] = "pva"
    memory = 1

    def __init__(
        self,
        prefix: str = "",
        suffix: str = "",
        suppress: str = "",
        image: bool = True,
        writable: bool = False,
        stamp: str = "source",
        **tags: str,
    ) -> None:
        if suppress not in ("", "same", None):
            raise BadOption(f"suppress={suppress}: there is only 'same'")
        if stamp not in ("source", "now"):
            raise BadOption(f"stamp={stamp}: there is source, now")
        self._prefix, self._suffix = prefix or "", suffix or ""
        self._suppress = bool(suppress)
        self._images, self._writable = truth("image", image), truth("writable", writable)
        self._now = stamp == "now"
        self._forms = {tag: parsed(tag, text) for tag, text in tags.items()}
        self._sent: dict[str, Any] = {}
        self._last: dict[str, Any] = {}
        self._failed: set[str] = set()
        self._failures = 0
        self._host: Host | None = None

    async def startup(self) -> None:
        """Open the server."""
        from camagick.service.pva_server import Host

        host = Host(images=self._images, writable=self._writable)
        for tag, form in self._forms.items():
            host.declare(self._name(tag), form)
        host.start()
        self._host = host

    def process(self, data: Data, context: Data) -> None:
        """Publish all tags, in order."""
        if self._host is None:
            raise RuntimeError("--to-pva is used before its startup()")
        for tag, value in data.items():
            try:
                if self._suppress and self._known(tag, value):
                    continue
                self._post(tag, value, data.attributes(tag))
            except ValueError as error:
                self._fail(tag, str(error))

    def _post(self, tag: str, value: Any, known: Mapping[str, Any]) -> None:
        if self._host is None:
            raise RuntimeError("--to-pva is used before its startup()")
        self._host.post(self._name(tag), value, known, self._time(known), self.seq)
        if _size(value) > _KEPT:
            self._last.pop(tag, None)
            return
        kept = value.copy() if isinstance(value, np.ndarray) else value
        self._last[tag] = (kept, dict(known))

    def remember(self) -> Mapping[str, Any]:
        """Return what small PVs say: a successor serves them before it is called again."""
        return {tag: list(known) for tag, known in self._last.items()}

    def recall(self, remembered: Sequence[Mapping[str, Any]]) -> None:
        """Serve again what a predecessor has served."""
        for tag, (value, known) in (remembered[-1] if remembered else {}).items():
            self._post(tag, value, known)

    def _name(self, tag: str) -> str:
        return f"{self._prefix}{tag}{self._suffix}"

    def _time(self, known: Mapping[str, Any]) -> float:
        stamp = known.get("timestamp")
        if not self._now and isinstance(stamp, int | float) and stamp > 0:
            return float(stamp)
        return time.time()

    def _known(self, tag: str, value: Any) -> bool:
        """Tell whether `value` is what was sent last under its tag, and remember it."""
        new, old = plain(value), self._sent.get(tag)
        if type(old) is type(new) and _same(old, new):
            return True
        self._sent[tag] = new if isinstance(new, str) else new.copy()
        return False

    def _fail(self, tag: str, reason: str) -> None:
        self._failures += 1
        if tag not in self._failed:
            self._failed.add(tag)
            log.error(
                'msg="cannot publish (said once)" tag=%s pv=%s reason="%s"',
                tag, self._name(tag), reason,
            )  # fmt: skip

    def figures(self) -> Mapping[str, int | float]:
        """Return how many values could not be published."""
        return {"unpublished": self._failures}

    async def shutdown(self) -> None:
        """Close the server."""
        host, self._host = self._host, None
        if host is not None:
            host.stop()


def _size(value: Any) -> int:
    return len(value) if isinstance(value, str | bytes) else int(getattr(value, "nbytes", 0))


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, str):
        return bool(one == other)
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    return bool(np.array_equal(one, other, equal_nan=one.dtype.kind == "f"))
