"""``--to-ioc``: data as PVs of this program's own EPICS IOC."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, ClassVar

from camagick.data import Data
from camagick.errors import BadOption
from camagick.options import truth
from camagick.processor import ProcessorBase, Role
from camagick.service.ca import Terms, Update, Wanted, connect
from camagick.service.ca_checks import duration, whole
from camagick.tools.ca_declared import NAMES, Declared, declared
from camagick.tools.ca_images import Companion, image_companions, shape_companion
from camagick.tools.ca_values import plain, same

if TYPE_CHECKING:
    from camagick.service.ca import Port

log = logging.getLogger(__name__)

_STAMPS = ("source", "now")


class Processor(ProcessorBase):
    """Data as PVs of this program's own EPICS IOC.

    A PV appears with the first value of its tag, or at once where its type is given. It keeps the
    type, and as many elements as the first value has (or ``max=``); later values may be shorter.
    An image is served flat, and its shape as the PV ``NAME_shape``. Units, precision, limits,
    labels of an enum, timestamp and alarm of the data are passed on. Hands on nothing.

    Parameters
    ----------
    prefix : str, default ''
        Put before the tag to make the name of the PV.
    suffix : str, default ''
        Put behind it.
    suppress : str, default ''
        ``same``: a value equal to the one before is not published again. Otherwise each iteration
        sends a monitor event for every tag.
    writable : bool, default False
        Whether clients may write the PVs. What they write stays until the next value.
    stale : float, default 0
        Seconds after which all PVs get the alarm INVALID (TIMEOUT) when no iteration has come; 0
        for never.
    stamp : str, default 'source'
        ``source``: the time at which the data was taken, where that is known; ``now``: the time at
        which it is published.
    image : bool, default False
        Whether an image is served as areaDetector does it: ``NAME:ArrayData``,
        ``NAME:ArraySize0_RBV`` (its width), ``NAME:ArraySize1_RBV`` (its height), and so on.
    max : int, default 0
        How many elements an array may have; 0 for as many as its first value.
    **types : str
        ``tag=type`` makes the PV of a tag at the start: ``float``, ``int``, ``short``, ``string``,
        ``text`` (long), ``off|on`` (an enum), with ``:2048`` or ``:64x32`` behind it an array or
        an image.

    Examples
    --------
    The sum over a waveform as a new PV, ``RESULT:EXAMPLE_jedda``::

        caspy --from-epics EXAMPLE:jedda --npfun sum --to-ioc prefix=RESULT:

    An image for the usual viewers, ``RESULT:img:ArrayData`` and its companions::

        caspy --from-epics img=EXAMPLE:jedda --reshape 64 32 --to-ioc prefix=RESULT: image=1
    """

    role: Role = "sink"
    stateful: ClassVar[bool] = True
    requires: ClassVar[tuple[str, ...]] = ("caproto",)
    extra: ClassVar[str] = "epics"
    services: ClassVar[tuple[str, ...]] = ("ca",)

    def __init__(
        self,
        prefix: str = "",
        suffix: str = "",
        suppress: str = "",
        *,
        writable: bool | str = False,
        stale: float = 0.0,
        stamp: str = "source",
        image: bool | str = False,
        max: int = 0,  # noqa: A002 - the name of the option
        **types: str,
    ) -> None:
        if suppress not in ("", "same", None):
            raise BadOption(f"suppress={suppress}: there is only 'same'")
        if stamp not in _STAMPS:
            raise BadOption(f"stamp={stamp}: there is {', '.join(_STAMPS)}")
        self._prefix, self._suffix = prefix or "", suffix or ""
        self._suppress, self._stamp = bool(suppress), stamp
        self._image = truth("image", image)
        self._terms = Terms(
            truth("writable", writable),
            duration("stale", stale, "seconds, 0 for never"),
            whole("max", max, 0, "how many elements an array may have, 0 for the first size"),
        )
        self._declared = {tag: _declared(tag, text, max) for tag, text in types.items()}
        self._sent: dict[str, Any] = {}
        self._failed: set[str] = set()
        self._made: set[str] = set()
        self._port: Port | None = None

    async def startup(self) -> None:
        """Open the server, and the PVs whose types are given."""
        key = f"sink {self.placement.number}" if self.placement.number else ""
        self._port = await connect(self.placement.run_dir, key)
        wanted = []
        for tag, one in self._declared.items():
            name = self._name(tag)
            for companion in self._companions(name, one.wide(one.initial), one.shape):
                self._made.add(companion.name)
                wanted.append(Wanted.of(companion.name, companion.declared))
            wanted.append(Wanted.of(self._array(name, one.shape), one))
        await self._port.publish(wanted, self._terms)

    async def __call__(self, data: Any = None, context: Any = None) -> None:
        """Publish all tags, in order."""
        given = Data.of(data)
        if self._port is None:
            raise RuntimeError("--to-ioc is used before its startup()")
        tags = [tag for tag in given if not (self._suppress and self._known(tag, given[tag]))]
        updates = [(tag, update) for tag in tags for update in await self._updates(tag, given)]
        if not updates and not self._terms.stale:
            return
        problems = await self._port.post([update for _, update in updates])
        for (tag, update), problem in zip(updates, problems, strict=True):
            if problem and tag not in self._failed:
                self._failed.add(tag)
                log.error(
                    'msg="cannot publish (said once)" tag=%s pv=%s reason="%s"',
                    tag, update.name, problem,
                )  # fmt: skip

    async def _updates(self, tag: str, data: Data) -> list[Update]:
        """Return what is to be published for a tag: what describes an image first."""
        value, known = data[tag], dict(data.attributes(tag))
        if self._stamp == "now":
            known.pop("timestamp", None)
        name, shape = self._name(tag), getattr(value, "shape", ())
        moment = {"timestamp": known["timestamp"]} if "timestamp" in known else {}
        number = known.get("unique_id", self.seq)
        tags = {self._name(other) for other in data}  # a tag goes before what describes another
        found = [
            one for one in self._companions(name, value, shape, number) if one.name not in tags
        ]
        await self._make(found)
        updates = [Update(one.name, one.value, moment) for one in found]
        return [*updates, Update(self._array(name, shape), value, known)]

    async def _make(self, companions: list[Companion]) -> None:
        """Make the PVs beside an image that are not there yet: their types are known."""
        new = [one for one in companions if one.name not in self._made]
        if new and self._port is not None:
            self._made.update(one.name for one in new)
            wanted = [Wanted.of(one.name, one.declared) for one in new]
            await self._port.publish(wanted, self._terms)

    def _companions(
        self, name: str, value: Any, shape: tuple[int, ...], number: int = 0
    ) -> list[Companion]:
        if len(shape) < 2:
            return []
        return (
            image_companions(name, value, number) if self._image else shape_companion(name, value)
        )

    def _array(self, name: str, shape: tuple[int, ...]) -> str:
        return f"{name}:ArrayData" if self._image and len(shape) > 1 else name

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


def _declared(tag: str, text: Any, most: int) -> Declared:
    try:
        found = declared(str(text), most)
    except ValueError as error:
        raise BadOption(f"--to-ioc: {tag}={text}: {error}") from error
    if found is None:
        raise BadOption(
            f"--to-ioc: {tag}={text} is neither an option nor a type: {NAMES}, or off|on"
        )
    return found
