"""``--from-tap``: what an actor of another, running bus hands on."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, ClassVar

from camagick.data import Data
from camagick.errors import BadOption
from camagick.processor import EndOfData, ProcessorBase, Role

if TYPE_CHECKING:
    from collections.abc import Mapping

    from camagick.data import Mark
    from camagick.tools.ear import Ear
    from camagick_broker.listener import Listener
    from camagick_broker.remote import RemoteListener
    from camagick_broker.running import Card, Member

log = logging.getLogger(__name__)

_COUNTS = ("received", "missed", "skipped", "repeated")


class Processor(ProcessorBase):
    """Listen to what an actor of another running bus hands on.

    The tapped pipe does not notice: nothing waits for a listener, and what it is too slow for is
    left out and counted. It may come and go at any time, and there may be any number. Data, units
    and other attributes come along, and the context as context.

    It ends when the tapped run ends; when that is killed, it fails. At its end it logs what it
    missed: messages it was too slow for, or that were made while the tapped actor was restarted.
    What was left out because of `rate` is counted apart, as skipped.

    Parameters
    ----------
    actor : str
        ``BUS/ACTOR``: the name of a bus of yours that was started on this host, and an actor of
        it, wherever that runs: its number (``2``), its name (``npfun.2``), or the name of its
        processor where there is only one of it. ``caspy -ls`` shows both. Sinks at the end of a
        pipe hand nothing on: tap what goes into them.
    rate : float or str, default 25.0
        Messages per second, at most; ``all`` for every one.
    latest : bool, optional
        True: each iteration gets the newest message; older ones that still wait are missed. False:
        in order. Not given: in order where the tap is the only source of its pipe and nothing
        behind it sets the pace, else the newest.
    key : str, optional
        Key file for a bus that was started on another host: its owner makes it,
        ``caspy -grant BUS --read-only > tap.key``, and hands it over. Only you may read it (mode
        0600).

    Examples
    --------
    Look at the region of interest of a running measurement::

        caspy --from-tap scan/slice.3 --to-plot

    Print every value that a run called `scan` sums up::

        caspy --from-tap scan/sum rate=all --to-summary

    Listen to a run on another host::

        caspy --from-tap scan/sum key=tap.key --to-plot
    """

    role: Role = "source"
    at_home = True
    stateful: ClassVar[bool] = True

    def __init__(
        self,
        actor: str,
        rate: float | str = 25.0,
        latest: bool | None = None,
        key: str | None = None,
    ) -> None:
        self._bus, slash, self._actor = str(actor).partition("/")
        if not (self._bus and slash and self._actor):
            raise BadOption(f"tap: {actor!r} is not BUS/ACTOR: caspy -ls shows what is running")
        self._rate = _rate(rate)
        self._latest = latest
        self._key = None if key is None else str(key)
        self._ear: Ear | None = None
        self._counts: dict[str, int | float] = {}

    async def startup(self) -> None:
        """Find the bus and begin to listen.

        Raises
        ------
        AddressError
            When there is no such bus or actor.
        BadOption
            When that actor cannot be tapped.
        """
        from camagick.tools.ear import Ear

        listener = self._listener() if self._key is None else await self._far_listener(self._key)
        if self._latest is None:
            self._latest = not self.placement.alone
        self._ear = Ear(listener, latest=bool(self._latest))

    def _listener(self) -> Listener:
        """Return what listens to a bus of this host."""
        from camagick_broker.listener import Listener
        from camagick_broker.running import actor_of, find

        # Not one's own bus: it would wait for itself.
        card = find(self._bus, but=bytes.fromhex(self.placement.run))
        member = actor_of(card, self._actor)
        _check_output(card, member)
        return Listener(card, member, self._rate)

    async def _far_listener(self, path: str) -> RemoteListener:
        """Return what listens to a bus of another host."""
        from camagick_broker.grants import key_for
        from camagick_broker.keys import keep_secrets
        from camagick_broker.remote import RemoteListener, find_there
        from camagick_broker.running import actor_of

        key = key_for(path, self._bus)
        keep_secrets()
        card = await asyncio.to_thread(find_there, key)
        member = actor_of(card, self._actor)
        _check_output(card, member)
        return RemoteListener(key, member, self._rate)

    async def ready(self) -> None:
        """Wait for a message, or for the end."""
        if self._ear is not None:
            await self._ear.wait()

    async def __call__(self, data: Any = None, context: Any = None) -> Data:
        """Return the next message, or the newest.

        Raises
        ------
        BusKilled
            When the tapped bus was killed.
        EndOfData
            When the tapped run has ended.
        """
        ear = self._ear
        while ear is not None and not ear.over:
            await ear.wait()
            body = ear.take()
            if body is not None:
                if context is not None:
                    _fill(context, body.context)
                made = Data()
                _fill(made, body.data)
                return made
        if ear is not None:
            ear.take()  # which raises what ended it
        raise EndOfData

    async def shutdown(self) -> None:
        """Leave, and say what was missed."""
        if self._ear is None:
            return
        self._ear.close()
        self._counts = dict(self.figures())
        self._ear = None
        level = logging.WARNING if self._counts["missed"] and not self._latest else logging.INFO
        counts = " ".join(f"{name}={count}" for name, count in self._counts.items())
        log.log(level, 'msg="left the tap" tap=%s/%s %s', self._bus, self._actor, counts)

    def figures(self) -> Mapping[str, int | float]:
        """Return what was received and missed."""
        ear = self._ear
        if ear is None:
            return self._counts
        return {name: getattr(ear.tally, name) for name in _COUNTS}


def _rate(rate: Any) -> float | None:
    from camagick_broker.tapping import MAX_RATE

    if rate == "all":
        return None
    if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0 < rate <= MAX_RATE:
        raise BadOption(f"tap: rate={rate!r} is neither 'all' nor a number of messages per second")
    return float(rate)


def _check_output(card: Card, member: Member) -> None:
    if card.consumers(member.number):
        return
    producers = " or ".join(f"{card.bus}/{name}" for name in card.named(member.inputs))
    what = f": tap what goes into it, {producers}" if producers else ""
    raise BadOption(
        f"tap: {card.bus}/{member.name} is the last of its pipe, nothing leaves it{what}"
    )


def _fill(data: Any, marks: Mapping[str, Mark]) -> None:
    """Put the values of a message into `data`, as made here: another bus's numbers mean nothing."""
    for tag, mark in marks.items():
        data[tag] = mark.value
        if mark.attributes and isinstance(data, Data):
            data.describe(tag, mark.attributes)
