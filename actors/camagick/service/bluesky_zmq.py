"""Documents that arrive by 0MQ: bluesky's dispatcher in a thread, fed with what is safe to read.

Imported only where they are received, because it imports bluesky.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from typing import TYPE_CHECKING, Any

from bluesky.callbacks.zmq import RemoteDispatcher
from event_model import DocumentNames

from camagick.service.bluesky_codec import BadDocument, loads

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)

#: Seconds between two lines about what was refused.
_SAY = 60.0


class _Dispatcher(RemoteDispatcher):  # type: ignore[misc, unused-ignore]
    """Bluesky's dispatcher, which prints to the standard output or ends when it gets garbage."""

    def __init__(self, address: str, prefix: bytes, take: Callable[[str, Any], None]) -> None:
        super().__init__(address, prefix=prefix, deserializer=loads)
        self._take = take
        self._said = -_SAY
        self.refused = 0

    async def _poll(self) -> None:
        receiver: Any = self._socket
        while True:
            message = await receiver.recv()
            try:
                self._read(message)
            except BadDocument as error:
                self._refuse(error)

    def _read(self, message: bytes) -> None:
        prefix, _, rest = message.partition(b" ")
        kind, _, body = rest.partition(b" ")
        if self._prefix and prefix != self._prefix:
            return
        name = kind.decode("ascii", "replace")
        if name not in DocumentNames.__members__:
            raise BadDocument(f"no message of bluesky: it begins with {message[:20]!r}")
        self._take(name, loads(body))

    def _refuse(self, error: BadDocument) -> None:
        self.refused += 1
        now = time.monotonic()
        if now - self._said >= _SAY:
            self._said = now
            log.error('msg="refused: %s" address=%s refused=%d', error, self.address, self.refused)


class Listener:
    """Receives documents until it is closed.

    Parameters
    ----------
    address
        ``host:port`` of a proxy's outgoing side.
    prefix
        Only messages that begin with it; all where it is empty.
    take
        Plain function that gets the name of each document and the document, in the event loop that
        is running now.
    failed
        Plain function that is told the error when nothing more can be received.
    """

    def __init__(
        self,
        address: str,
        prefix: bytes,
        take: Callable[[str, Any], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        self._home = asyncio.get_running_loop()
        self._failed = failed
        self._dispatcher: Any = _Dispatcher(
            address, prefix, lambda *document: self._tell(take, *document)
        )
        self._thread = threading.Thread(target=self._run, name="bluesky-0MQ", daemon=True)
        self._thread.start()

    @property
    def refused(self) -> int:
        """How many messages were not read."""
        return int(self._dispatcher.refused)

    def _run(self) -> None:
        try:
            self._dispatcher.start()
        except asyncio.CancelledError:
            return
        except Exception as error:  # noqa: BLE001 - whoever reads here must hear of it
            self._tell(self._failed, error)

    def _tell(self, function: Callable[..., None], *arguments: Any) -> None:
        if not self._home.is_closed():
            self._home.call_soon_threadsafe(function, *arguments)

    async def close(self) -> None:
        """Receive nothing more."""
        loop = self._dispatcher.loop
        while self._thread.is_alive():
            # It stops itself when its task is cancelled; that may not be there yet.
            with contextlib.suppress(RuntimeError):  # its loop is closed: it has ended
                loop.call_soon_threadsafe(self._cancel)
            await asyncio.sleep(0.01)

    def _cancel(self) -> None:
        task = self._dispatcher._task  # noqa: SLF001 - it has no other way to be stopped
        if task is not None:
            task.cancel()
