"""``--from-ioc``: values that EPICS clients write to PVs of this program."""

from __future__ import annotations

import asyncio
import logging
import re
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from camagick.data import Data
from camagick.errors import BadOption
from camagick.processor import ProcessorBase, Role

if TYPE_CHECKING:
    from camagick.service.ca import Port

log = logging.getLogger(__name__)

_YES, _NO = ("1", "yes", "true", "any", "on"), ("0", "no", "false", "none", "off", "")
_SUPPRESS = ("initial", "same")


class Processor(ProcessorBase):
    """Values that EPICS clients write to PVs of this program's own IOC.

    Parameters
    ----------
    prefix : str, default ''
        Put before the names of the PVs.
    hang : bool, default True
        Whether an iteration waits until a PV is written; the first one does not. With ``hang=no``
        every iteration gets the present values at once.
    suppress : str, default ''
        ``initial``: the first iteration waits, too. ``same``: writes of an equal value are refused,
        and start no iteration. Both: ``suppress=initial,same``.
    **tags : str
        ``tag="PV(initial)"``: the PV ``{prefix}PV``, under a tag. The initial value decides on the
        type: 0 makes an integer (LONG), 0.0 a float (DOUBLE), text a string. None means 0.0.

    Examples
    --------
    A line at the start, and one for each ``caput EXAMPLE:ene 3.14``::

        caspy --from-ioc var="ene(0.0)" prefix=EXAMPLE: --to-summary
    """

    role: Role = "source"
    stateful: ClassVar[bool] = True
    requires: ClassVar[tuple[str, ...]] = ("caproto",)
    extra: ClassVar[str] = "epics"
    services: ClassVar[tuple[str, ...]] = ("ca",)

    def __init__(
        self, prefix: str = "", hang: bool | str = True, suppress: str = "", **tags: str
    ) -> None:
        if not tags:
            raise BadOption('--from-ioc needs a PV: --from-ioc var="ene(0.0)" prefix=EXAMPLE:')
        self._hang = _truth(hang)
        self._suppress = {word.strip() for word in str(suppress or "").split(",") if word.strip()}
        if not self._suppress.issubset(_SUPPRESS):
            raise BadOption(f"suppress={suppress}: there is {', '.join(_SUPPRESS)}")
        self._values: dict[str, Any] = {}
        self._pvs: dict[str, str] = {}
        for tag, text in tags.items():
            name, self._values[tag] = _parsed(str(text))
            self._pvs[tag] = f"{prefix}{name}"
        if len(set(self._pvs.values())) < len(self._pvs):
            raise BadOption("--from-ioc: one PV under two tags")
        self._port: Port | None = None
        self._written = asyncio.Event()

    async def startup(self) -> None:
        """Open the PVs."""
        from camagick.service import ca

        self._port = await ca.connect(self.placement.run_dir)
        for tag, name in self._pvs.items():
            refuse = "same" in self._suppress
            value = await self._port.add(name, self._values[tag], self._take, refuse_same=refuse)
            self._values[tag] = _wide(value)
        if "initial" not in self._suppress:
            self._written.set()

    def _take(self, name: str, value: Any) -> None:
        for tag, pv in self._pvs.items():
            if pv == name:
                self._values[tag] = _wide(value)
        self._written.set()

    async def ready(self) -> None:
        """Wait for a write."""
        if self._hang:
            await self._written.wait()

    async def __call__(self, data: Any = None, context: Any = None) -> Data:
        """Wait for a write, and return the values of all PVs."""
        await self.ready()
        self._written.clear()
        return Data(self._values)

    async def shutdown(self) -> None:
        """Give the server up."""
        if self._port is not None:
            await self._port.close()
            self._port = None


def _truth(value: Any) -> bool:
    text = str(value).strip().lower()
    if text in _YES:
        return True
    if text in _NO:
        return False
    raise BadOption(f"hang={value}: yes or no")


def _parsed(text: str) -> tuple[str, Any]:
    """Return name and initial value of ``NAME(initial)``."""
    match = re.fullmatch(r"(?P<name>[^()]+?)\s*(?:\((?P<initial>.*)\))?", text.strip())
    if match is None:
        raise BadOption(f'--from-ioc: {text!r} is not of the form "PV(initial)"')
    initial = (match["initial"] or "0.0").strip()
    for kind in (int, float):
        try:
            return match["name"], kind(initial)
        except ValueError:
            continue
    quoted = len(initial) > 1 and initial[0] == initial[-1] and initial[0] in "\"'"
    return match["name"], initial[1:-1] if quoted else initial


def _wide(value: Any) -> Any:
    """Return numbers as numpy scalars of 64 bits: a PV's 32 are not meant as a limit."""
    if isinstance(value, str):
        return value
    array = np.asarray(value)
    wide = {"i": np.int64, "f": np.float64}.get(array.dtype.kind)
    return array.astype(wide)[()] if wide is not None else array[()]
