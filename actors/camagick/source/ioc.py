"""``--from-ioc``: values that EPICS clients write to PVs of this program."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar

from camagick.data import Data
from camagick.errors import BadOption
from camagick.options import truth
from camagick.processor import ProcessorBase, Role
from camagick.service.ca import Rules
from camagick.service.ca_checks import whole
from camagick.service.ca_writes import Writes
from camagick.tools.ca_declared import Declared, with_initial

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_SUPPRESS = ("initial", "same")


class Processor(ProcessorBase):
    """Values that EPICS clients write to PVs of this program's own IOC.

    An iteration starts when a client has written, and gets the values of all PVs.

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
    every : bool, default False
        Whether each write is an iteration of its own. Otherwise an iteration takes all that was
        written since the last one, the newest value of each PV.
    complete : bool, default False
        Whether a put with completion (``caput -c``, Bluesky, spec) is answered when the iteration
        that it started has ended in all sinks. Otherwise it is answered at once.
    queue : int, default 1000
        How many writes may wait with ``every=1``, and puts with ``complete=1``. What comes then is
        refused: the client is told, and it is counted (``overruns``).
    **tags : str
        ``tag="PV(initial)"``: the PV ``{prefix}PV``, under a tag. The initial value decides on the
        type: 0 makes an integer (LONG), 0.0 a float (DOUBLE), text a string, ``zeros:2048`` or
        ``ones:2048`` an array of floats, ``uint16:64x32`` an image, ``off|on|auto`` an enum.
        None means 0.0.

    Examples
    --------
    A line at the start, and one for each ``caput EXAMPLE:ene 3.14``::

        caspy --from-ioc var="ene(0.0)" prefix=EXAMPLE: --to-summary

    A spectrum, and a mode to treat it; each ``caput -c`` waits until it is stored::

        caspy --from-ioc spec="spec(zeros:2048)" mode="mode(off|on)" complete=1 --to-hdf5 s.h5#{tag}
    """

    role: Role = "source"
    stateful: ClassVar[bool] = True
    requires: ClassVar[tuple[str, ...]] = ("caproto",)
    extra: ClassVar[str] = "epics"
    services: ClassVar[tuple[str, ...]] = ("ca",)
    memory: int = 1

    def __init__(
        self,
        prefix: str = "",
        hang: bool | str = True,
        suppress: str = "",
        *,
        every: bool | str = False,
        complete: bool | str = False,
        queue: int = 1000,
        **tags: str,
    ) -> None:
        if not tags:
            raise BadOption('--from-ioc needs a PV: --from-ioc var="ene(0.0)" prefix=EXAMPLE:')
        self._hang = truth("hang", hang)
        self._every, self._complete = truth("every", every), truth("complete", complete)
        self._suppress = {word.strip() for word in str(suppress or "").split(",") if word.strip()}
        if not self._suppress.issubset(_SUPPRESS):
            raise BadOption(f"suppress={suppress}: there is {', '.join(_SUPPRESS)}")
        self._queue = whole("queue", queue, 1, "how many writes may wait, 1 or more")
        self._declared: dict[str, tuple[str, Declared]] = {}
        for tag, text in tags.items():
            name, declared = _parsed(str(text))
            self._declared[tag] = f"{prefix}{name}", declared
        if len({name for name, _ in self._declared.values()}) < len(self._declared):
            raise BadOption("--from-ioc: one PV under two tags")
        self._writes: Writes | None = None

    async def startup(self) -> None:
        """Open the PVs."""
        rules = Rules(self._every, self._complete, self._queue, "same" in self._suppress)
        first = "initial" not in self._suppress
        self._writes = Writes(self._declared, rules, first=first, ended=self.ended)
        key = f"source {self.placement.number}" if self.placement.number else ""
        await self._writes.open(self.placement.run_dir, key)

    async def ready(self) -> None:
        """Wait for a write."""
        if self._hang and self._writes is not None:
            await self._writes.wait()

    async def __call__(self, data: Any = None, context: Any = None) -> Data:
        """Wait for a write, and return the values of all PVs."""
        if self._writes is None:
            raise RuntimeError("--from-ioc is used before its startup()")
        if self.ended is None:
            await self._writes.over()
        await self.ready()
        made = Data(self._writes.take(self.seq))
        for tag in made:
            made.describe(tag, self._writes.attributes(tag))
        return made

    def remember(self) -> Mapping[str, Any] | None:
        """Return which writes have been handed on."""
        return self._writes.remember() if self._writes is not None else None

    def recall(self, remembered: Sequence[Mapping[str, Any]]) -> None:
        """Leave out what a predecessor has handed on."""
        if remembered and self._writes is not None:
            self._writes.recall(remembered[-1])

    def figures(self) -> Mapping[str, int | float]:
        """Return how many writes wait, were merged, and were refused."""
        return self._writes.figures() if self._writes is not None else {}

    async def shutdown(self) -> None:
        """Give the server up."""
        writes, self._writes = self._writes, None
        if writes is not None:
            await writes.close()


def _parsed(text: str) -> tuple[str, Declared]:
    """Return name and type of ``NAME(initial)``."""
    match = re.fullmatch(r"(?P<name>[^()]+?)\s*(?:\((?P<initial>.*)\))?", text.strip())
    if match is None:
        raise BadOption(f'--from-ioc: {text!r} is not of the form "PV(initial)"')
    try:
        return match["name"], with_initial((match["initial"] or "0.0").strip())
    except ValueError as error:
        raise BadOption(f"--from-ioc: {error}") from error
