"""``--from-epics``: values of EPICS process variables, as they change."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any, ClassVar

from camagick.data import Data
from camagick.options import truth
from camagick.processor import ProcessorBase, Role
from camagick.service import ca_options, ca_receivers
from camagick.service.ca_losses import Losses
from camagick.service.ca_modes import trigger_of
from camagick.service.ca_options import checked_guide, seconds, tagged_pvs
from camagick.service.ca_queues import Bounds, Clustered, Queued
from camagick.service.ca_trigger import Continuous, Trigger
from camagick.service.ca_watch import Watch
from camagick.tools.tasks import first

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from camagick.service.ca_reading import Reading, Receiver

log = logging.getLogger(__name__)

#: Timestamps up to a day behind the epoch of EPICS, 1990, are none.
_NO_TIME = 631_152_000.0 + 86_400.0


class Processor(ProcessorBase):
    """Values of EPICS process variables (PVs), as they change.

    Scalars come as numbers, waveforms as arrays, strings and short CHAR waveforms as text, enums as
    their number. Timestamp, alarm severity and status, units, precision, limits and the labels of
    an enum come along as attributes.

    Parameters
    ----------
    *pvs : str
        PVs. The tag of ``EXAMPLE:jedda`` is ``EXAMPLE_jedda``; a name without ':' is its own tag.
    mode : str, optional
        When an iteration starts, and with what.
        ``every`` (default for one PV that is the only source): each change is an iteration;
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
    timeout : float, default 5.0
        Seconds after which a PV that does not answer is named in the log, and every minute from
        then on. The run waits on for it.
    strict : bool, default False
        Whether a PV that has not answered for `timeout` seconds ends the run, exit code 1.
    queue : str, default 10000,256MB
        What may wait in the modes ``every`` and ``clustered``: events, bytes, or both. Where the
        pipe is slower than the PVs for long, the oldest give way, and are counted (``missed``), as
        is what waits when the process is killed.
    char : str, default auto
        CHAR waveforms: ``text``, ``bytes`` (an array of uint8), or ``auto``: text where the PV
        holds at most 4096 characters.
    enum : str, default number
        Enums: ``number``, or ``text`` for the label.
    receiver : str, default caproto
        Which Channel Access client reads: ``caproto``, or ``libca``, that of EPICS Base (extra
        libca), for many large arrays.
    **tags : str
        PVs under tags of your own, without prefix and suffix: ``img=DET:ArrayData``.

    Examples
    --------
    A line per change of a PV::

        caspy --from-epics EXAMPLE:jedda --to-summary

    Two PVs together, once the detector is idle again::

        caspy --from-epics iffy jedda prefix=EXAMPLE: when="EXAMPLE:mark==0" --to-summary
    """

    role: Role = "source"
    stateful: ClassVar[bool] = True
    memory = 1
    requires: ClassVar[tuple[str, ...]] = ("caproto",)
    extra: ClassVar[str] = "epics"

    def __init__(
        self,
        *pvs: str,
        mode: str = "",
        prefix: str = "",
        suffix: str = "",
        guide: str = "",
        when: str = "",
        dwell: float | None = None,
        timeout: float = 5.0,
        strict: bool | str = False,
        queue: int | str = "10000,256MB",
        char: str = "auto",
        enum: str = "number",
        receiver: str = "caproto",
        **tags: str,
    ) -> None:
        self._tags = tagged_pvs(pvs, prefix, suffix, tags)
        self._mode = mode
        self._guide = checked_guide(mode, guide, when)
        self._dwell = None if dwell is None else seconds("dwell", dwell)
        self._timeout = seconds("timeout", timeout)
        self._strict = truth("strict", strict)
        self._bounds: Bounds = ca_options.bounds(queue)
        self._form = ca_options.form(char, enum)
        self._receives = ca_receivers.checked(receiver)
        self._trigger = Trigger(())
        self._arrived = asyncio.Event()
        self._since: float | None = None
        self._watch: Watch | None = None
        self._receiver: Receiver | None = None
        self._background: asyncio.Task[None] | None = None
        self._losses = Losses(self._trigger, "", "")
        self._handed_on: dict[str, float] = {}
        self._known: dict[str, float] = {}

    async def startup(self) -> None:
        """Begin to look for the PVs; none has to be there."""
        loop = asyncio.get_running_loop()
        self._trigger, self._wait = trigger_of(
            self._mode,
            list(dict.fromkeys(self._tags.values())),
            guide=self._guide,
            dwell=self._dwell,
            bounds=self._bounds,
            alone=self.placement.alone,
        )
        run = self.placement
        self._losses = Losses(self._trigger, run.run_dir, f"epics-{run.number}")
        self._deadline = loop.time() + self._timeout
        self._taken = loop.time()
        self._watch = Watch(self._names(), self._trigger.newest, self._timeout, strict=self._strict)
        self._receiver = ca_receivers.make(self._receives, self._form)
        await self._receiver.open(self._names())
        # Owned by this object: cancelled in shutdown(), its failure is raised by ready().
        self._background = loop.create_task(self._follow(self._receiver, self._watch))
        self._background.add_done_callback(lambda _: self._arrived.set())

    def _names(self) -> list[str]:
        guides = self._guide.pvs if self._guide else []
        return list(dict.fromkeys([*self._tags.values(), *guides]))

    async def ready(self) -> None:
        """Wait until there is reason for an iteration, and until its dwell is over."""
        loop = asyncio.get_running_loop()
        self._fail()
        while not self._may_go(loop.time()):
            self._arrived.clear()
            incomplete = self._trigger.needs_all and not self._trigger.complete()
            with contextlib.suppress(TimeoutError):
                waits = incomplete and not self._strict
                async with asyncio.timeout_at(self._deadline if waits else None):
                    await self._arrived.wait()
            self._fail()
        start = self._taken if isinstance(self._trigger, Continuous) else self._since
        await asyncio.sleep(max(0.0, (start or 0.0) + self._wait - loop.time()))

    def _fail(self) -> None:
        """Raise what has ended the background task, if anything has."""
        if self._background is not None and self._background.done():
            raise first(self._background.exception() or RuntimeError("from-epics has ended"))

    def _may_go(self, now: float) -> bool:
        trigger = self._trigger
        if trigger.needs_all and not trigger.complete():
            if now < self._deadline or self._strict:
                return False
            missing = [pv for pv in trigger.pvs if pv not in trigger.newest]
            if trigger.newest:
                log.info('msg="going on without a PV" pv=%s', ",".join(missing))
                trigger.waive()
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
        made = Data((tag, row[pv].value) for tag, pv in self._tags.items() if pv in row)
        for tag in made:
            made.describe(tag, row[self._tags[tag]].attributes)
        self._handed_on = {pv: reading.attributes["timestamp"] for pv, reading in row.items()}
        return made

    def remember(self) -> Mapping[str, Any]:
        """Return the timestamps of the last iteration, and how many there were."""
        return {"stamps": self._handed_on, "taken": self._losses.taken}

    def recall(self, remembered: Sequence[Mapping[str, Any]]) -> None:
        """Leave out what the PVs say first, where a predecessor, killed since, has handed it on."""
        for known in remembered:
            self._known.update(known["stamps"])
            self._losses.recall(known["taken"])

    async def shutdown(self) -> None:
        """Let go of the PVs."""
        if self._background is not None:
            self._background.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):  # ready() has raised it
                await self._background
        if self._receiver is not None:
            await self._receiver.close()
        self._receiver = self._background = None
        self._losses.close()

    def figures(self) -> Mapping[str, int | float]:
        """Return what was left out, what waits, and how often a PV was lost."""
        trigger = self._trigger
        found = {
            "missed": self._losses.missed,
            "disconnects": self._watch.disconnects if self._watch is not None else 0,
        }
        if isinstance(trigger, Queued):
            found["queued"], found["queued_bytes"] = trigger.waiting()
        if isinstance(trigger, Clustered):
            found["unmatched"] = trigger.unmatched
        return found

    async def _follow(self, receiver: Receiver, watch: Watch) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(watch.run())
            group.create_task(receiver.follow(self._event, watch.changed))

    def _event(self, name: str, reading: Reading) -> None:
        stamp = self._known.pop(name, None) if self._known else None
        if stamp is not None and stamp == reading.attributes["timestamp"] > _NO_TIME:
            self._trigger.learn(name, reading)
        else:
            self._trigger.event(name, reading)
            self._losses.came(reading.attributes["timestamp"])
        if self._since is None and self._trigger.pending():
            self._since = asyncio.get_running_loop().time()
        self._arrived.set()
