"""``--to-ioc``: data as PVs of this program's own EPICS IOC."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, ClassVar

from camagick.data import Data
from camagick.errors import BadOption
from camagick.processor import ProcessorBase, Role
from camagick.tools.ca_values import plain, same

if TYPE_CHECKING:
    from camagick.service.ca import Port

log = logging.getLogger(__name__)


class Processor(ProcessorBase):
    """Data as PVs of this program's own EPICS IOC.

    A PV appears with the first value of its tag, and keeps the type and the largest size of that.
    Images are flattened. Units, precision and alarm severity are passed on. Hands on nothing.

    Parameters
    ----------
    prefix : str, default ''
        Put before the tag to make the name of the PV.
    suffix : str, default ''
        Put behind it.
    suppress : str, default ''
        ``same``: a value equal to the one before is not published again. Otherwise each iteration
        sends a monitor event for every tag.

    Examples
    --------
    The sum over a waveform as a new PV, ``RESULT:EXAMPLE_jedda``::

        caspy --from-epics EXAMPLE:jedda --npfun sum --to-ioc prefix=RESULT:
    """

    role: Role = "sink"
    stateful: ClassVar[bool] = True
    requires: ClassVar[tuple[str, ...]] = ("caproto",)
    extra: ClassVar[str] = "epics"
    services: ClassVar[tuple[str, ...]] = ("ca",)

    def __init__(self, prefix: str = "", suffix: str = "", suppress: str = "") -> None:
        if suppress not in ("", "same", None):
            raise BadOption(f"suppress={suppress}: there is only 'same'")
        self._prefix, self._suffix = prefix or "", suffix or ""
        self._suppress = bool(suppress)
        self._sent: dict[str, Any] = {}
        self._failed: set[str] = set()
        self._port: Port | None = None

    async def startup(self) -> None:
        """Open the server."""
        from camagick.service import ca

        self._port = await ca.connect(self.placement.run_dir)

    async def __call__(self, data: Any = None, context: Any = None) -> None:
        """Publish all tags, in order."""
        from camagick.service.ca import Update

        given = Data.of(data)
        if self._port is None:
            raise RuntimeError("--to-ioc is used before its startup()")
        tags = [tag for tag in given if not (self._suppress and self._known(tag, given[tag]))]
        updates = [Update(self._name(tag), given[tag], given.attributes(tag)) for tag in tags]
        if not updates:
            return
        problems = await self._port.post(updates)
        for tag, problem in zip(tags, problems, strict=True):
            if problem and tag not in self._failed:
                self._failed.add(tag)
                log.error(
                    'msg="cannot publish (said once)" tag=%s pv=%s reason="%s"',
                    tag,
                    self._name(tag),
                    problem,
                )

    def _name(self, tag: str) -> str:
        return f"{self._prefix}{tag}{self._suffix}"

    def _known(self, tag: str, value: Any) -> bool:
        """Tell whether `value` is what was sent last under its tag, and remember it."""
        flat = plain(value)
        if tag in self._sent and same(self._sent[tag], flat):
            return True
        self._sent[tag] = flat if isinstance(flat, str) else flat.copy()
        return False

    async def shutdown(self) -> None:
        """Give the server up."""
        if self._port is not None:
            await self._port.close()
            self._port = None
