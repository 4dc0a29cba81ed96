"""``--from-bluesky``: the events of Bluesky's runs."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, Any, ClassVar

from camagick.errors import BadOption
from camagick.processor import EndOfData, ProcessorBase, Role
from camagick.service.bluesky_documents import Documents, Row
from camagick.service.bluesky_options import checked_address, checked_prefix

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from camagick.data import Data
    from camagick.service.bluesky_zmq import Listener

log = logging.getLogger(__name__)

#: Events that may wait; beyond that the oldest gives way.
_ROWS = 10_000


class Processor(ProcessorBase):
    """The events of Bluesky's runs, as a proxy hands them on.

    Each event is an iteration: its data keys are the tags, where whatever is no letter and no
    digit becomes '_'. Timestamps, units, precision and the like come along as attributes;
    `scan_id`, `uid` (of the run), `seq_num`, `stream` and `plan_name` as context, for names of
    files and groups. Data that lie in a file come as text: its path, and where in it.

    Documents must be published as msgpack, with or without numpy arrays, or as JSON:
    ``Publisher(address, serializer=camagick.bluesky.dumps)``. Pickled ones, bluesky's default,
    are refused: to read them would run whatever their sender likes. A run that began before this
    listens is left out. 0MQ drops what a listener is too slow for; the log says how many events
    did not come, at the end of each run.

    Parameters
    ----------
    kind : str
        How documents travel: ``0MQ``.
    address : str
        ``host:port`` of the outgoing side of a proxy, see ``bluesky-0MQ-proxy --help``.
    prefix : str, default ''
        Only documents of publishers with that prefix.
    stream : str, default primary
        Events of this stream; ``all`` for those of every stream.
    until : str, default ''
        ``stop``: end with the first run that ends.

    Examples
    --------
    What is measured, a line for each event::

        caspy --from-bluesky 0MQ localhost:5578 --to-summary mode=table

    A file of its own for each scan::

        caspy --from-bluesky 0MQ localhost:5578 --to-hdf5 scan-{scan_id:04d}.h5#{tag}
    """

    role: Role = "source"
    stateful: ClassVar[bool] = True
    requires: ClassVar[tuple[str, ...]] = ("bluesky",)
    extra: ClassVar[str] = "bluesky"

    def __init__(
        self, kind: str, address: str, prefix: str = "", stream: str = "primary", until: str = ""
    ) -> None:
        self._address = checked_address("--from-bluesky", kind, address)
        self._prefix = checked_prefix("--from-bluesky", prefix)
        if until not in ("", "stop"):
            raise BadOption(f"--from-bluesky: until={until}: there is only until=stop")
        self._until_stop = until == "stop"
        self._documents = Documents(stream)
        self._rows: deque[Row] = deque()
        self._arrived = asyncio.Event()
        self._error: BaseException | None = None
        self._listener: Listener | None = None
        self._counts = {"refused": 0, "missed": 0, "overruns": 0}
        self.memory = 1

    async def startup(self) -> None:
        """Begin to listen; nobody has to be there."""
        from camagick.service.bluesky_zmq import Listener

        self._listener = Listener(self._address, self._prefix, self._take, self._failed)

    def _take(self, name: str, document: Any) -> None:
        try:
            rows = self._documents.feed(name, document)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            self._counts["refused"] += 1
            log.warning('msg="no %s document: %s: %s"', name, type(error).__name__, error)
            return
        if self._until_stop and self._stopped and not rows:
            self._arrived.set()
            return
        self._rows.extend(rows)
        while len(self._rows) > _ROWS:
            self._rows.popleft()
            self._counts["overruns"] += 1
            if self._counts["overruns"] == 1:
                log.warning('msg="the pipe is slower than the runs: oldest events are lost"')
        if rows or self._stopped:
            self._arrived.set()

    @property
    def _stopped(self) -> bool:
        return self._until_stop and self._documents.stopped > 0

    def _failed(self, error: BaseException) -> None:
        self._error = error
        self._arrived.set()

    async def ready(self) -> None:
        """Wait for an event, or for the end."""
        while not (self._rows or self._stopped):
            if self._error is not None:
                raise self._error
            self._arrived.clear()
            await self._arrived.wait()

    async def __call__(self, data: Any = None, context: Any = None) -> Data:
        """Return the next event.

        Raises
        ------
        EndOfData
            When the run has ended, with `until`.
        """
        await self.ready()
        if not self._rows:
            raise EndOfData
        if not self.placement.alone:  # the newest is what belongs to the others
            while len(self._rows) > 1:
                self._rows.popleft()
        row = self._rows.popleft()
        if context is not None:
            context.update(row.context)
        return row.data

    def remember(self) -> Mapping[str, Any]:
        """Return what events of the runs that go on refer to."""
        return self._documents.state()

    def recall(self, remembered: Sequence[Mapping[str, Any]]) -> None:
        for state in remembered:
            self._documents.restore(state)

    def figures(self) -> Mapping[str, int | float]:
        """Return what was not read, did not come, or gave way."""
        if self._listener is not None:
            self._counts["refused"] = max(self._counts["refused"], self._listener.refused)
        self._counts["missed"] = self._documents.missed
        return dict(self._counts)

    async def shutdown(self) -> None:
        """Listen no more."""
        if self._listener is not None:
            listener, self._listener = self._listener, None
            await listener.close()
