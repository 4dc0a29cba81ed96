"""Where events of a RunEngine get into a flow: by a queue of this process, or by a socket.

Both are sources whose iterations are rows that somebody else puts in.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import threading
from typing import TYPE_CHECKING, Any, ClassVar

from camagick.data import Data
from camagick.processor import EndOfData, ProcessorBase, Role
from camagick.service.bluesky_codec import dumps, loads

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping, Sequence

    from camagick.service.bluesky_documents import Row

log = logging.getLogger(__name__)

#: Bytes of one datagram of a row, behind its flag.
_CHUNK = 1 << 16
_FIRST, _LAST = 1, 2


class Queued(ProcessorBase):
    """Rows from another thread of this process.

    Parameters
    ----------
    size
        How many rows may wait.
    """

    role: Role = "source"
    stateful: ClassVar[bool] = True

    def __init__(self, size: int) -> None:
        self._rows: queue.Queue[Row | None] = queue.Queue(size)
        self.started, self.over = threading.Event(), threading.Event()
        self._arrived = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    def put(self, row: Row) -> bool:
        """Put a row in; wait while it is full. Tell whether somebody will take it."""
        while not self.over.is_set():
            with contextlib.suppress(queue.Full):
                self._rows.put(row, timeout=0.1)
                self._wake()
                return True
        return False

    def close(self) -> None:
        """Say that there is no more."""
        self._closed = True
        self._wake()

    def _wake(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._arrived.set)

    async def startup(self) -> None:
        self._loop = asyncio.get_running_loop()

    async def ready(self) -> None:
        """Wait for a row, or the end."""
        self.started.set()  # nobody asks before all of the flow is started
        while self._rows.empty() and not self._closed:
            self._arrived.clear()
            if self._rows.empty() and not self._closed:
                await self._arrived.wait()

    async def __call__(self, data: Any = None, context: Any = None) -> Data:
        await self.ready()
        try:
            row = self._rows.get_nowait()
        except queue.Empty:
            raise EndOfData from None
        if row is None:
            raise EndOfData
        context.update(row.context)
        return row.data


class Piped(ProcessorBase):
    """Rows from another process.

    Parameters
    ----------
    end
        One end of a pair of sockets of datagrams, which stay whole and in order.
    """

    role: Role = "source"
    stateful: ClassVar[bool] = True

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._parts: list[bytes] = []
        self._number = -1
        self.memory = 1

    async def startup(self) -> None:
        self._end.setblocking(False)

    async def ready(self) -> None:
        """Wait for something to read."""
        loop = asyncio.get_running_loop()
        readable = asyncio.Event()
        loop.add_reader(self._end, readable.set)
        try:
            await readable.wait()
        finally:
            loop.remove_reader(self._end)

    async def __call__(self, data: Any = None, context: Any = None) -> Data:
        number, values, attributes, more = await self._row()
        if self._number >= 0 and number > self._number + 1:
            missed = number - self._number - 1
            log.warning('msg="events were lost with a process that was killed" missed=%d', missed)
        self._number = number
        made = Data(values)
        for tag, known in attributes.items():
            made.describe(tag, known)
        context.update(more)
        return made

    async def _row(self) -> tuple[int, dict[str, Any], dict[str, Any], dict[str, Any]]:
        while True:
            try:
                datagram = self._end.recv(_CHUNK + 1)
            except BlockingIOError:
                await self.ready()
                continue
            except ConnectionResetError:
                datagram = b""
            if not datagram:
                raise EndOfData
            if datagram[0] & _FIRST:
                self._parts = []
            elif not self._parts:
                continue  # the rest of a row whose beginning died with a predecessor
            self._parts.append(datagram[1:])
            if datagram[0] & _LAST:
                row = loads(b"".join(self._parts))
                self._parts = []
                return row["number"], row["values"], row["attributes"], row["context"]

    def remember(self) -> Mapping[str, Any]:
        """Return which row was the last."""
        return {"number": self._number}

    def recall(self, remembered: Sequence[Mapping[str, Any]]) -> None:
        for known in remembered:
            self._number = int(known["number"])

    async def shutdown(self) -> None:
        self._end.close()


def send(end: socket.socket, number: int, row: Row) -> None:
    """Send a row to a `Piped` at the other end; waits while too much is under way.

    Raises
    ------
    OSError
        When nobody is there any more.
    """
    attributes = {tag: dict(row.data.attributes(tag)) for tag in row.data}
    body = dumps(
        {"number": number, "values": dict(row.data), "attributes": attributes,
         "context": row.context}
    )  # fmt: skip
    for start in range(0, len(body), _CHUNK):
        last = start + _CHUNK >= len(body)
        flag = (_FIRST if start == 0 else 0) | (_LAST if last else 0)
        end.send(bytes([flag]) + body[start : start + _CHUNK])
