"""``--from-pva``: values of PVs over PV Access, as they change."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, ClassVar

from camagick.data import Data
from camagick.errors import CamagickError, DuplicateTag
from camagick.options import truth
from camagick.processor import ProcessorBase, Role
from camagick.service.ca_losses import Losses
from camagick.service.ca_options import bounds, checked_guide, seconds
from camagick.service.ca_queues import Every
from camagick.service.ca_trigger import Continuous, Trigger
from camagick.service.pva_modes import chosen
from camagick.service.pva_options import split, tagged_fields
from camagick.service.pva_watch import Watch
from camagick.tools.pva_codecs import Packed
from camagick.tools.pva_values import Columns, Reading

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from camagick.service.pva_client import Client


class Processor(ProcessorBase):
    """Values of PVs over EPICS PV Access: numbers, arrays, images, tables.

    Scalars come as numbers or text, arrays as arrays, enums as their number, images (NTNDArray) as
    arrays of rows and columns (and colours), decompressed; a table (NTTable) as one tag for each
    column, ``tag_column``. Of any other structure a field is chosen: ``PV#field.path``. Timestamp,
    alarm, units, precision, limits, enum strings and the unique id of an image come along as
    attributes.

    Parameters
    ----------
    *pvs : str
        PVs. The tag of ``EXAMPLE:image`` is ``EXAMPLE_image``; a name without ':' is its own tag.
    mode : str, optional
        When an iteration starts, and with what.
        ``every`` (default for one PV that is the only source): each update is an iteration;
        ``sloppy`` (default otherwise): on any change, the newest of all PVs;
        ``hasty``: on any change, only what has changed;
        ``thorough``: once all have changed, the newest of all;
        ``continuous``: never waits, the newest of all every `dwell` seconds;
        ``guided`` (default with `when`): when the condition becomes true, the newest of all;
        ``clustered``: one value of each, with source timestamps at most `dwell` seconds apart.
    prefix : str, default ''
        Put before positional PVs, but not into their tags.
    suffix : str, default ''
        Put behind positional PVs, but not into their tags.
    guide : str, default ''
        The same as `when`.
    when : str, default ''
        Condition of mode guided, ``PV==VALUE``; also with != < > <= >=, and several joined by
        ``and``. Its PVs are no data unless they are asked for as such.
    dwell : float, optional
        Seconds to wait after a change for the rest of a set of updates; 0 for one PV, 0.1 for
        several.
    queue : int or str, default 10000
        How much may wait in modes every and clustered while the pipe is slower: a number of
        updates (10000), a size (``256MB``), or both (``10000,256MB``). The oldest give way, and
        are counted.
    timeout : float, default 5.0
        Seconds after which a PV that does not answer is named in the log. The run waits on for it.
    strict : bool, default False
        A PV that does not answer within `timeout` ends the run.
    **tags : str
        PVs under tags of your own, without prefix and suffix: ``img=DET:Pva1:Image``.

    Examples
    --------
    A line per image of a detector::

        caspy --from-pva img=DET:Pva1:Image --to-summary

    A field of a group, once the detector is idle again::

        caspy --from-pva x=AXIS:state#position.value when="DET:mark==0" --to-summary
    """

    role: Role = "source"
    stateful: ClassVar[bool] = True
    requires: ClassVar[tuple[str, ...]] = ("p4p",)
    extra: ClassVar[str] = "pva"
    memory = 1

    def __init__(
        self,
        *pvs: str,
        mode: str = "",
        prefix: str = "",
        suffix: str = "",
        guide: str = "",
        when: str = "",
        dwell: float | None = None,
        queue: int | str = 10_000,
        timeout: float = 5.0,
        strict: bool = False,
        **tags: str,
    ) -> None:
        self._tags = tagged_fields(pvs, prefix, suffix, tags)
        self._guide = checked_guide(mode, guide, when)
        self._targets = _targets(self._tags, self._guide.pvs if self._guide else ())
        self._mode = mode
        self._dwell = None if dwell is None else seconds("dwell", dwell)
        self._queue = bounds(queue)
        self._timeout, self._strict = seconds("timeout", timeout), truth("strict", strict)
        self._trigger = Trigger(())
        self._losses = Losses(self._trigger, "", "")
        self._client: Client | None = None
        self._watch: Watch | None = None
        self._arrived = asyncio.Event()
        self._since: float | None = None
        self._failure: CamagickError | None = None
        self._stamps: dict[str, Sequence[int]] = {}
        self._bad = 0

    async def startup(self) -> None:
        """Begin to look for the PVs; none has to be there."""
        from camagick.service.pva_client import Client

        self._trigger, self._wait = chosen(
            self._mode,
            [pv for pv, _ in self._tags.values()],
            guide=self._guide,
            dwell=self._dwell,
            queue=self._queue,
            alone=self.placement.alone,
        )
        run = self.placement
        self._losses = Losses(self._trigger, run.run_dir, f"pva-{run.number}", "overruns")
        self._taken = asyncio.get_running_loop().time()
        self._deadline = self._taken + self._timeout
        self._client = Client(self._targets, self._event, self._changed, self._refused)
        if self.placement.incarnation <= 1:
            self._open()  # a successor first hears of its predecessor: recall()

    def _open(self) -> None:
        if self._client is not None and self._watch is None:
            self._watch = Watch(self._client.silent, self._timeout, self._silence)
            self._client.open()

    def recall(self, remembered: Sequence[Mapping[str, Any]]) -> None:
        """Know which update a predecessor has handed on last."""
        if not remembered:
            return
        self._losses.recall(remembered[-1]["taken"])
        every = isinstance(self._trigger, Every) and len(self._trigger.pvs) == 1
        if self._client is not None and every:
            for pv, stamp in remembered[-1]["stamps"].items():
                self._client.know(pv, stamp)

    def remember(self) -> Mapping[str, Any]:
        """Return which updates the last iteration had, and how many iterations there were."""
        stamps = {pv: list(stamp) for pv, stamp in self._stamps.items()}
        return {"stamps": stamps, "taken": self._losses.taken}

    async def ready(self) -> None:
        """Wait until there is reason for an iteration, and until its dwell is over."""
        loop = asyncio.get_running_loop()
        self._open()
        while not self._may_go(loop.time()):
            self._arrived.clear()
            incomplete = self._trigger.needs_all and not self._trigger.complete()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(self._deadline if incomplete else None):
                    await self._arrived.wait()
            if self._failure is not None:
                raise self._failure
        start = self._taken if isinstance(self._trigger, Continuous) else self._since
        await asyncio.sleep(max(0.0, (start or 0.0) + self._wait - loop.time()))

    def _may_go(self, now: float) -> bool:
        trigger = self._trigger
        if trigger.needs_all and not trigger.complete():
            if now < self._deadline:
                return False
            if trigger.newest:
                trigger.waive()  # the others are named in the log
            else:
                self._deadline = now + self._timeout
        return trigger.pending()

    async def __call__(self, data: Any = None, context: Any = None) -> Data:
        """Wait for the next iteration, and return what it gets."""
        await self.ready()
        row = self._trigger.take()
        self._taken = asyncio.get_running_loop().time()
        self._since = self._taken if self._trigger.pending() else None
        self._losses.took()
        self._stamps = {pv: reading.stamp for pv, reading in row.items()}
        made = Data()
        for tag, (pv, path) in self._tags.items():
            if pv in row:
                several = len(self._targets[pv]) > 1
                self._enter(made, tag, pv, row[pv].value[path] if several else row[pv])
        return made

    def _enter(self, made: Data, tag: str, pv: str, reading: Reading) -> None:
        value = reading.value
        if isinstance(value, Columns):
            for name, column in value.items():
                self._enter(made, f"{tag}_{name}", pv, Reading(column, reading.attributes))
            return
        if tag in made:
            raise DuplicateTag("--from-pva", tag)
        if isinstance(value, Packed):
            try:
                value = value.unpacked(self.empty)
            except ValueError as error:
                self._bad += 1
                self._once(pv, f"an image of {pv} {error}")
                return
        made[tag] = value
        made.describe(tag, reading.attributes)

    def figures(self) -> Mapping[str, int | float]:
        """Return what was lost: in the queue, before it, and of what could not be read."""
        client = self._client
        return {
            "overruns": self._losses.missed,
            "missed_frames": client.missed if client else 0,
            "unreadable": self._bad + (client.unreadable if client else 0),
        }

    async def shutdown(self) -> None:
        """Let go of the PVs."""
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.close()
        client, self._client = self._client, None
        if client is not None:
            client.close()
        self._losses.close()

    def _once(self, about: str, text: str) -> None:
        if self._watch is not None:
            self._watch.once(about, text)

    def _silence(self, never_there: list[str]) -> None:
        if self._strict and never_there:
            names = ",".join(never_there)
            self._fail(f"no answer from {names} within {self._timeout:g} s (strict=1)")

    def _fail(self, text: str) -> None:
        self._failure = self._failure or CamagickError(f"--from-pva: {text}")
        self._arrived.set()

    def _refused(self, pv: str, why: str, passing: bool) -> None:
        if passing:
            self._once(pv, f"an update of {pv} {why}")
        else:
            self._fail(f"{pv} {why}")

    def _event(self, name: str, reading: Reading) -> None:
        self._trigger.event(name, reading)
        whole, nanoseconds = (*reading.stamp, 0, 0)[:2]
        self._losses.came(whole + 1e-9 * nanoseconds)
        if self._since is None and self._trigger.pending():
            self._since = asyncio.get_running_loop().time()
        if self._client is not None and self._client.missed:
            self._once("missed", "images are missing between those that came; -stats counts them")
        self._arrived.set()

    def _changed(self, name: str, connected: bool) -> None:
        if self._watch is not None:
            self._watch.changed(name, connected)


def _targets(tags: Mapping[str, tuple[str, str]], guides: Iterable[str]) -> dict[str, list[str]]:
    """Return the paths of the fields that are wanted of each PV."""
    found: dict[str, list[str]] = {}
    for pv, path in tags.values():
        paths = found.setdefault(pv, [])
        if path not in paths:
            paths.append(path)
    for word in guides:
        found.setdefault(word, [split(word)[1]])
    return found
