"""``--to-epics``: values written to EPICS process variables."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from camagick.data import Data
from camagick.errors import BadOption
from camagick.options import truth
from camagick.processor import ProcessorBase, Role
from camagick.service.ca_options import seconds
from camagick.service.ca_watch import Watch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from camagick.service.ca_client import Client

log = logging.getLogger(__name__)

#: Seconds between two error lines about one tag.
_SAY = 10.0


class Processor(ProcessorBase):
    """Values written to EPICS process variables (PVs).

    All are written at the same time, and the iteration goes on when the IOCs say that they are
    done: a motor has arrived. Hands on all tags but the written ones. That a PV is lost, and that
    it is back, is said once each.

    Parameters
    ----------
    timeout : float, default 2.0
        Seconds that one iteration waits for a PV at most; while a PV is away, only the first
        iteration does. A put that broke off is done again when the PV is back in time. What could
        not be written is an error in the log with PV and value, and is counted (``missed`` in
        -stats and -top); the run goes on.
    wait : bool, default True
        Whether to wait until the IOC has done all that a value leads to. With ``wait=no`` the value
        is sent, and nobody hears whether the IOC accepts it.
    **tags : str
        Which tag goes to which PV: ``idle=EXAMPLE:mark``.

    Examples
    --------
    Copy a PV to another, once per second::

        caspy --from-epics a=EXAMPLE:iffy --pace Hz=1 --to-epics a=OTHER:setpoint
    """

    role: Role = "sink"
    stateful: ClassVar[bool] = True
    requires: ClassVar[tuple[str, ...]] = ("caproto",)
    extra: ClassVar[str] = "epics"

    def __init__(self, timeout: float = 2.0, wait: bool | str = True, **tags: str) -> None:
        if not tags:
            raise BadOption("--to-epics needs a tag and its PV: --to-epics idle=EXAMPLE:mark")
        self._pvs = {tag: str(pv) for tag, pv in tags.items()}
        self._timeout = seconds("timeout", timeout)
        self._wait = truth("wait", wait)
        self._client: Client | None = None
        self._watch = Watch((), (), self._timeout, strict=False)
        self._said: dict[str, tuple[float, int]] = {}
        self._away: set[str] = set()
        self.failures = self.written = 0

    async def startup(self) -> None:
        """Begin to look for the PVs; none has to be there."""
        from camagick.service.ca_client import Client

        names = list(dict.fromkeys(self._pvs.values()))
        self._watch = Watch(names, names, self._timeout, strict=False)
        self._client = Client()
        self._client.keep(self)
        await self._client.open(names)
        for name in names:
            self._client[name].connection_state_callback.add_callback(self._state, run=True)

    async def _state(self, pv: Any, state: str) -> None:
        if self._client is not None:  # it is no news that a run which ends lets go of them
            self._watch.changed(pv.name, state == "connected")

    async def __call__(self, data: Any = None, context: Any = None) -> Data:
        """Write all tags concurrently, and return the others."""
        given = Data.of(data)
        async with asyncio.TaskGroup() as group:
            for tag, pv in self._pvs.items():
                if tag in given:
                    group.create_task(self._put(tag, pv, given[tag]))
                else:
                    self._fail(tag, pv, "no such tag", "-")
        return given.without(self._pvs)

    async def _put(self, tag: str, pv: str, value: Any) -> None:
        if self._client is None:
            raise RuntimeError("--to-epics is used before its startup()")
        if self._client.connected(pv):
            self._away.discard(pv)
        elif pv in self._away:  # it was waited for already
            self._fail(tag, pv, "not connected", value)
            return
        try:
            await self._client.put(pv, value, self._timeout, wait=self._wait)
        except TimeoutError:
            connected = self._client.connected(pv)
            if not connected:
                self._away.add(pv)
            self._fail(tag, pv, "no answer" if connected else "not connected", value)
        except (ValueError, OSError) as error:
            self._fail(tag, pv, str(error), value)
        else:
            self.written += 1
            self._said.pop(tag, None)

    def _fail(self, tag: str, pv: str, reason: str, value: Any) -> None:
        """Say what was not written, but not more often than every few seconds."""
        self.failures += 1
        now = asyncio.get_running_loop().time()
        when, missed = self._said.get(tag, (-_SAY, 0))
        if now - when < _SAY:
            self._said[tag] = when, missed + 1
            return
        self._said[tag] = now, 0
        log.error(
            'msg="not written" pv=%s tag=%s value=%s reason="%s" before=%d',
            pv,
            tag,
            _short(value),
            reason,
            missed,
        )

    def figures(self) -> Mapping[str, int | float]:
        """Return how many values were written and were not, and how often a PV was lost."""
        disconnects = self._watch.disconnects
        return {"written": self.written, "missed": self.failures, "disconnects": disconnects}

    async def shutdown(self) -> None:
        """Let go of the PVs."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()


def _short(value: Any) -> str:
    if isinstance(value, np.ndarray) and value.size > 8:
        return f"<{value.dtype} array of shape {value.shape}>"
    text = str(value).replace("\n", " ")
    return text if len(text) <= 80 else text[:77] + "..."
