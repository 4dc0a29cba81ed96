"""The events of a Tango device, and polling where there are none.

Imported only where Tango is used, because it imports pytango.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any

import tango

from camagick.service.ca_queues import Every
from camagick.service.ca_trigger import Trigger
from camagick.service.tango_failures import Away, Late, Refused, judged
from camagick.tools.ca_values import same
from camagick.tools.tango_values import Reading
from camagick.tools.tasks import first

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from camagick.service.tango_client import Device
    from camagick.service.tango_options import Target

log = logging.getLogger(__name__)

#: Seconds between two looks whether the device is still the one that knows of our events. A server
#: that is back sooner, on the same port, goes unnoticed here; cppTango sees that after 10 s.
HEARTBEAT = 0.25
#: Seconds to wait after an event for the others of a set, and for those that send none at all.
DWELL, PATIENCE = 0.1, 5.0

_KINDS = {
    "change": tango.EventType.CHANGE_EVENT,
    "periodic": tango.EventType.PERIODIC_EVENT,
    "archive": tango.EventType.ARCHIVE_EVENT,
    "data-ready": tango.EventType.DATA_READY_EVENT,
}


class Feed:
    """What a device sends by itself, in order, over all its restarts.

    Parameters
    ----------
    device
        The device.
    targets
        What is asked for. Commands, and attributes without events, are polled.
    kind
        change, periodic, archive, or data-ready.
    hz
        How many times per second to poll.
    every
        Whether each event counts, and not only the newest of each.
    """

    def __init__(
        self, device: Device, targets: Sequence[Target], kind: str, hz: float, every: bool
    ) -> None:
        self._device, self._kind, self._period = device, kind, 1 / hz
        self._targets = {str(target): target for target in targets}
        names = list(self._targets)
        self._trigger = Every(names) if every else Trigger(names)
        self._dwell = DWELL if len(names) > 1 else 0.0
        self._polled: set[str] = set()
        self._noted: set[str] = set()
        self._again: set[str] = set()
        self._ids: list[int] = []
        self._owner: Any = None
        self._arrived = asyncio.Event()
        self._announced: asyncio.Queue[str] = asyncio.Queue(10_000)
        self._warned = False

    @property
    def overruns(self) -> int:
        """How many events were lost because nobody took them."""
        return self._trigger.overruns

    def start(self, failed: Callable[[Target, str], None]) -> None:
        """Begin to listen; `failed` is told of what is not read."""
        self._loop, self._failed = asyncio.get_running_loop(), failed
        self._deadline = self._loop.time() + PATIENCE
        # Owned by this object: cancelled in close(), its failure is raised by ready().
        self._task = self._loop.create_task(self._run())
        self._task.add_done_callback(lambda _: self._arrived.set())

    async def close(self) -> None:
        """Let go of all events."""
        self._task.cancel()
        await asyncio.wait([self._task])
        with contextlib.suppress(Away, Refused):
            if self._owner is not None:
                await self._device.call(lambda _: self._unsubscribe())

    async def ready(self) -> None:
        """Wait until there is reason for an iteration."""
        while not self._may_go():
            self._arrived.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE):
                    await self._arrived.wait()
            if self._task.done():
                raise first(self._task.exception() or RuntimeError("--from-tango has ended"))
        if self._dwell:
            await asyncio.sleep(self._dwell)

    def _may_go(self) -> bool:
        trigger = self._trigger
        if trigger.needs_all and not trigger.complete():
            if self._loop.time() < self._deadline or not trigger.newest:
                return False
            trigger.waive()  # what has never come is not waited for any longer
        return trigger.pending()

    def take(self) -> Mapping[Target, Reading]:
        """Return what the next iteration gets."""
        row = self._trigger.take()
        if self.overruns and not self._warned:
            self._warned = True
            log.warning(
                'msg="the pipe is slower than the events: the oldest are lost" device=%s lost=%d',
                self._device.name,
                self.overruns,
            )
        return {self._targets[name]: reading for name, reading in row.items()}

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listen())
            group.create_task(self._poll())
            group.create_task(self._fetch())

    async def _listen(self) -> None:
        while True:
            with contextlib.suppress(Refused):
                try:
                    await self._device.call(self._subscribe)
                    await self._until_away()
                except Away:
                    await self._device.until_back()

    async def _until_away(self) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT)
            with contextlib.suppress(Late, Refused):
                await self._device.call(self._beat)

    def _beat(self, proxy: Any) -> None:
        # Another call may have found it away, and connected anew: that one has no events yet.
        if proxy is not self._owner:
            raise Away("it was started anew")
        proxy.ping()

    def _subscribe(self, proxy: Any) -> None:
        """Ask for all events; runs in the device's thread."""
        self._unsubscribe()
        self._owner = proxy
        self._again = set(self._trigger.newest)
        polled = set()
        for name, target in self._targets.items():
            reason = "a command" if target.command else self._try(proxy, name)
            if reason:
                polled.add(name)
                self._note(target, reason)
        self._polled = polled

    def _try(self, proxy: Any, name: str) -> str:
        """Ask for the events of one attribute; return why there are none."""
        try:
            self._device.config(proxy, name)
            number = proxy.subscribe_event(
                name, _KINDS[self._kind], lambda event: self._heard(proxy, name, event)
            )
        except tango.DevFailed as error:
            meaning = judged(error, 0.0)
            if isinstance(meaning, Away):
                raise
            return str(meaning)
        self._ids.append(number)
        if self._kind == "data-ready":
            self._hand(self._announce, name)  # its present value
        return ""

    def _note(self, target: Target, reason: str) -> None:
        if str(target) not in self._noted and not target.command:
            self._noted.add(str(target))
            log.warning(
                'msg="sends no %s events: polled" device=%s attribute=%s Hz=%g reason="%s"',
                self._kind,
                self._device.name,
                target,
                1 / self._period,
                reason,
            )

    def _unsubscribe(self) -> None:
        for number in self._ids:
            with contextlib.suppress(tango.DevFailed, KeyError):  # it is forgotten already
                self._owner.unsubscribe_event(number)
        self._ids.clear()
        self._owner = None

    def _heard(self, proxy: Any, name: str, event: Any) -> None:
        """Take an event; runs in a thread of cppTango's."""
        if event.err:
            meaning = judged(tango.DevFailed(*event.errors), 0.0)
            # That the device is gone is seen, and said, by the heartbeat.
            if isinstance(meaning, Refused) and "API_Event" not in str(meaning):
                self._hand(self._failed, self._targets[name], str(meaning))
            return
        if self._kind == "data-ready":
            self._hand(self._announce, name)
            return
        try:
            reading = self._device.reading(proxy, name, event.attr_value)
        except Refused as refused:
            self._hand(self._failed, self._targets[name], str(refused))
        except tango.DevFailed as error:
            log.debug('msg="no configuration" attribute=%s error="%s"', name, error)
        else:
            self._hand(self._deliver, name, reading)

    def _hand(self, function: Callable[..., None], *args: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(function, *args)

    def _announce(self, name: str) -> None:
        with contextlib.suppress(asyncio.QueueFull):
            self._announced.put_nowait(name)

    def _deliver(self, name: str, reading: Reading) -> None:
        if name in self._again:
            self._again.discard(name)
            if _equal(self._trigger.newest[name], reading):
                return  # what a device says first after a new subscription is known already
        self._trigger.event(name, reading)
        self._arrived.set()

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(self._period)
            waiting = self._trigger.complete() and self._trigger.pending()
            if self._polled and not waiting:  # the pipe is slower: nobody would see it
                await self._read(sorted(self._polled))

    async def _fetch(self) -> None:
        """Read what data-ready events have announced."""
        while True:
            await self._read([await self._announced.get()])

    async def _read(self, names: list[str]) -> None:
        try:
            answers = await self._device.read([self._targets[name] for name in names])
        except Late as late:
            for name in names:
                self._failed(self._targets[name], str(late))
        except (Away, Refused) as error:
            log.debug('msg="not read" device=%s reason="%s"', self._device.name, error)
            await asyncio.sleep(HEARTBEAT)
        else:
            for target, answer in answers.items():
                if isinstance(answer, Reading):
                    self._deliver(str(target), answer)
                else:
                    self._failed(target, str(answer))


def _equal(one: Reading, other: Reading) -> bool:
    stamps = {reading.attributes["timestamp"] for reading in (one, other)}
    return len(stamps) == 1 and same(one.value, other.value)
