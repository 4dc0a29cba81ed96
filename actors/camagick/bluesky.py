"""Bluesky's documents into flows: for scripts with a RunEngine.

`Callback` feeds the events of a RunEngine into a flow; `dumps` and `loads` are what publishes and
reads documents without pickle::

    from bluesky.callbacks.zmq import Publisher
    from camagick.bluesky import dumps

    RE.subscribe(Publisher("localhost:5577", serializer=dumps))
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import signal
import socket
import threading
from typing import TYPE_CHECKING, Any, Self

from camagick.errors import CamagickError
from camagick.executor import PipeExecutor
from camagick.flow.chain import Processor as ChainFlow
from camagick.service.bluesky_codec import dumps, loads
from camagick.service.bluesky_documents import Documents
from camagick.service.bluesky_feed import Piped, Queued, send

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from camagick.service.bluesky_documents import Row

__all__ = ["Callback", "FlowFailed", "dumps", "loads"]

log = logging.getLogger(__name__)


class FlowFailed(CamagickError):
    """A flow that a `Callback` feeds could not be started, or has ended with an error."""


class Callback:
    """Feeds the events of a RunEngine into a flow.

    Each event is an iteration: its data keys are the tags, and the context has `scan_id`, `uid`
    (of the run), `seq_num`, `stream` and `plan_name`, as with ``--from-bluesky``.

    The flow runs in a thread of its own, or on the bus. A RunEngine waits only when `size` events
    wait for the flow; none is lost. What goes wrong in the flow never ends a measurement: it is an
    ERROR in the log, and raised by `close`.

    Parameters
    ----------
    flow
        A flow, a processor, or a function of (data, context), without a source.
    stream
        Events of this stream; 'all' for those of every stream.
    handlers
        Who reads the files that resource documents speak of: classes by `spec`, as event_model's
        `Filler` takes them. Without one, such data are text: the path, and where in the file.
    run
        ``caspy.run``, or whatever takes a flow like it: then the flow runs on the bus, with a
        process for each processor. Make the callback before devices are connected: the processes
        are forked. None: in this process.
    size
        How many events may wait (in this process).

    Raises
    ------
    FlowFailed
        When the flow cannot be started.

    Examples
    --------
    >>> RE.subscribe(Callback(ChainFlow(Sum(), IocSink(prefix="LIVE:"))))  # doctest: +SKIP
    """

    def __init__(
        self,
        flow: Any,
        *,
        stream: str = "primary",
        handlers: Mapping[str, Any] | None = None,
        run: Callable[[Any], Awaitable[None]] | None = None,
        size: int = 1000,
    ) -> None:
        self._documents = Documents(stream)
        self._filler = _filler(handlers)
        self._lock = threading.Lock()
        self._said = False
        self._feed = _InProcess(flow, size) if run is None else _OnBus(flow, run)

    def __call__(self, name: str, document: Mapping[str, Any]) -> None:
        """Take a document: ``RE.subscribe(callback)``. Never raises."""
        with self._lock:
            try:
                if self._filler is not None:
                    name, document = self._filler(name, document)
                rows = self._documents.feed(name, document)
            except Exception as error:  # noqa: BLE001 - a handler may raise anything
                log.error('msg="no %s document: %s: %s"', name, type(error).__name__, error)  # noqa: TRY400
                return
            for row in rows:
                if not self._feed.put(row) and not self._said:
                    self._said = True
                    log.error('msg="the flow has ended: events go nowhere"')

    def close(self, timeout: float = 30.0) -> None:
        """Let the flow finish what it was given, and end.

        Parameters
        ----------
        timeout
            Seconds to wait for that.

        Raises
        ------
        FlowFailed
            When it has failed, or is not done by then.
        """
        self._feed.close(timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _filler(handlers: Mapping[str, Any] | None) -> Any:
    if not handlers:
        return None
    from event_model import Filler

    return Filler(dict(handlers), inplace=False)


class _InProcess:
    """A flow in a thread of its own."""

    def __init__(self, flow: Any, size: int) -> None:
        self._source = Queued(size)
        self._flow = ChainFlow(self._source, flow)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="camagick-flow", daemon=True)
        self._thread.start()
        self._source.started.wait()
        if self._error is not None:
            raise FlowFailed(f"the flow does not start: {self._error}") from self._error

    def _run(self) -> None:
        try:
            asyncio.run(PipeExecutor(self._flow).run())
        except Exception as error:  # noqa: BLE001 - said, and raised by close()
            self._error = error
            if self._source.started.is_set():
                log.error('msg="the flow has failed: %s"', error)  # noqa: TRY400
        finally:
            self._source.over.set()
            self._source.started.set()

    def put(self, row: Row) -> bool:
        return self._source.put(row)

    def close(self, timeout: float) -> None:
        self._source.close()
        self._thread.join(timeout)
        if self._thread.is_alive():
            raise FlowFailed(f"the flow is not done within timeout={timeout:g} s")
        if self._error is not None:
            raise FlowFailed(f"the flow has failed: {self._error}") from self._error


class _OnBus:
    """A flow on the bus, whose launcher is a process of its own."""

    def __init__(self, flow: Any, run: Callable[[Any], Awaitable[None]]) -> None:
        self._end, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._number = 0
        context = multiprocessing.get_context("fork")
        self._launcher = context.Process(
            target=_launch, args=(run, flow, theirs, self._end), name="camagick-bus", daemon=True
        )
        self._launcher.start()
        theirs.close()

    def put(self, row: Row) -> bool:
        try:
            send(self._end, self._number, row)
        except OSError:
            return False
        self._number += 1
        return True

    def close(self, timeout: float) -> None:
        self._end.close()
        self._launcher.join(timeout)
        if self._launcher.is_alive():
            self._launcher.terminate()
            self._launcher.join()
            raise FlowFailed(f"the flow is not done within timeout={timeout:g} s")
        if self._launcher.exitcode:
            raise FlowFailed("the flow has failed; its log says why")


def _launch(
    run: Callable[[Any], Awaitable[None]], flow: Any, end: socket.socket, theirs: socket.socket
) -> None:
    """Run a flow on the bus, until there is nothing more to read."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the RunEngine
    theirs.close()

    async def main() -> None:
        await run(ChainFlow(Piped(end), flow))

    try:
        asyncio.run(main())
    except Exception as error:  # noqa: BLE001 - said, and raised by close()
        log.error('msg="the flow has failed: %s"', error)  # noqa: TRY400
        raise SystemExit(1) from None
