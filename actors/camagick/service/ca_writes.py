"""What clients write, from the server to the iterations of a source, and back when these end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from camagick.errors import CamagickError
from camagick.service import ca

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from camagick.tools.ca_declared import Declared

log = logging.getLogger(__name__)

#: Seconds between two looks whether iterations have ended, while somebody waits for that.
_LOOK_S = 0.005
#: Seconds that the end of a run may take for those who wait.
_DRAIN_S = 5.0


class Writes:
    """The writes for one source.

    Parameters
    ----------
    declared
        Name and type of each PV, by tag.
    rules
        How the server keeps writes.
    first
        Whether the first iteration does not wait for a write.
    ended
        Says how many iterations have ended; None where `over` is called instead.
    """

    def __init__(
        self,
        declared: Mapping[str, tuple[str, Declared]],
        rules: ca.Rules,
        *,
        first: bool,
        ended: Callable[[], int] | None,
    ) -> None:
        self._declared, self._rules, self._first = declared, rules, first
        self._tags = {name: tag for tag, (name, _) in declared.items()}
        self._ended = ended
        self._values: dict[str, Any] = {}
        self._stamps: dict[str, float] = {}
        self._waiting: deque[ca.Write] = deque()
        self._arrived, self._taken = asyncio.Event(), asyncio.Event()
        self._last: dict[str, Any] = {"serial": 0, "seq": 0}
        self._open: deque[tuple[int, int]] = deque()
        self._merged = self._overruns = 0
        self._port: ca.Port | None = None
        self._reporting: asyncio.Task[None] | None = None

    async def open(self, run_dir: str, key: str) -> None:
        """Open the PVs."""
        self._port = await ca.connect(run_dir, key)
        wanted = [ca.Wanted.of(name, one) for name, one in self._declared.values()]
        values = await self._port.receive(wanted, self._rules, self._hear)
        now = time.time()
        for (tag, (_, one)), value in zip(self._declared.items(), values, strict=True):
            self._values[tag] = one.wide(value)
            self._stamps[tag] = now
        if self._ended is not None:
            # Owned by this object: cancelled in close().
            self._reporting = asyncio.get_running_loop().create_task(self._report())

    def _hear(self, write: ca.Write) -> None:
        if write.overruns > self._overruns and not self._overruns:
            log.warning(
                'msg="writes are refused: the queue is full (said once)" queue=%d',
                self._rules.limit,
            )
        self._overruns = max(self._overruns, write.overruns)
        if write.serial <= self._last["serial"]:
            return  # a refusal; or what a predecessor has handed on
        if not self._rules.every and self._waiting:
            self._merged += any(one.name == write.name for one in self._waiting)
            kept = [one for one in self._waiting if one.name != write.name]
            self._waiting = deque(kept)
        self._waiting.append(write)
        self._arrived.set()

    async def wait(self) -> None:
        """Wait for a write, or for nothing where the first iteration is yet to come."""
        if not self._first:
            await self._arrived.wait()

    def take(self, seq: int) -> dict[str, Any]:
        """Return the values for an iteration."""
        self._first = False
        count = len(self._waiting)
        for _ in range(min(count, 1) if self._rules.every else count):
            write = self._waiting.popleft()
            tag = self._tags[write.name]
            self._values[tag] = self._declared[tag][1].wide(write.value)
            self._stamps[tag] = write.timestamp
            self._last = {"serial": write.serial, "seq": seq}
            self._open.append((seq, write.serial))
            self._taken.set()
        if not self._waiting:
            self._arrived.clear()
        return dict(self._values)

    def attributes(self, tag: str) -> dict[str, Any]:
        """Return what is known about the value of a tag."""
        name, one = self._declared[tag]
        known: dict[str, Any] = {
            "timestamp": self._stamps[tag], "severity": 0, "status": 0, "source": name,
        }  # fmt: skip
        return {**known, "enum_strings": one.labels} if one.labels else known

    def remember(self) -> dict[str, Any]:
        """Return what a successor has to know.

        Where each write counts, the values of the PVs may be ahead of those of the iteration.
        """
        values = {f"value {tag}": value for tag, value in self._values.items()}
        return {**self._last, **(values if self._rules.every else {})}

    def recall(self, known: Mapping[str, Any]) -> None:
        """Go on behind what a predecessor has handed on."""
        self._first = False
        self._last = {name: int(known[name]) for name in ("serial", "seq")}
        for tag in self._values:
            self._values[tag] = known.get(f"value {tag}", self._values[tag])
        serial = self._last["serial"]
        self._waiting = deque(write for write in self._waiting if write.serial > serial)
        if not self._waiting:
            self._arrived.clear()
        self._open.append((self._last["seq"], serial))
        self._taken.set()

    def figures(self) -> dict[str, int]:
        """Return what was counted."""
        return {
            "queued": len(self._waiting), "merged": self._merged, "overruns": self._overruns
        }  # fmt: skip

    async def over(self) -> None:
        """Tell the server that all iterations so far have ended."""
        if self._open and self._port is not None:
            serial = self._open[-1][1]
            self._open.clear()
            await self._port.done(serial)

    async def _report(self) -> None:
        """Tell the server of each iteration that has ended, until cancelled."""
        try:
            while True:
                self._taken.clear()
                while self._open:
                    await self._report_ended()
                    if self._open:
                        await asyncio.sleep(_LOOK_S)
                await self._taken.wait()
        except (CamagickError, ConnectionError) as error:
            log.error('msg="cannot tell the server what is done" error="%s"', error)  # noqa: TRY400

    async def _report_ended(self) -> None:
        ended = self._ended() if self._ended is not None else 0
        serial = 0
        while self._open and self._open[0][0] < ended:
            serial = self._open.popleft()[1]
        if serial and self._port is not None:
            await self._port.done(serial)

    async def close(self) -> None:
        """Let those who wait know what has ended yet, and give the PVs up."""
        if self._reporting is not None:
            deadline = time.monotonic() + _DRAIN_S
            while self._open and self._rules.complete and not self._reporting.done():
                if time.monotonic() > deadline:
                    break
                await asyncio.sleep(_LOOK_S)
            self._reporting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._reporting
        if self._port is not None:
            await self._port.close()
            self._port = None
