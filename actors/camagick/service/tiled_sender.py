"""Sends what waits in a spool to a Tiled server, in a thread of its own."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any

from camagick.service.tiled_link import Away, answering, connect, length, put

if TYPE_CHECKING:
    from camagick.tools.spool import Queue, Spool

log = logging.getLogger("camagick.sink.tiled")

#: Seconds between two tries where the server is away: the first, and the longest.
_PAUSE, _LONGEST = 0.25, 10.0


class Sender:
    """Keeps a server up to date for as long as it runs.

    Parameters
    ----------
    spool
        What to send.
    uri, api_key, timeout
        Where to, see `tiled_link.connect`.

    Attributes
    ----------
    error
        Why it has given up; None while it has not.
    """

    def __init__(self, spool: Spool, uri: str, api_key: str, timeout: float) -> None:
        self._spool, self._uri, self._key, self._timeout = spool, uri, api_key, timeout
        self._root: Any = None
        self._wake, self._stop = threading.Event(), threading.Event()
        self.error: Exception | None = None
        self.frames = 0
        self._thread = threading.Thread(target=self._run, name="tiled", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wake(self) -> None:
        """Tell that there is more to send."""
        self._wake.set()

    def finish(self, patience: float) -> None:
        """Send what is left, for so many seconds while nothing moves, and stop."""
        deadline, before = time.monotonic() + patience, self.frames
        self.wake()
        while self._thread.is_alive() and self._spool.waiting:
            time.sleep(0.01)
            if self.frames != before:
                deadline, before = time.monotonic() + patience, self.frames
            if time.monotonic() > deadline:
                break
        self._stop.set()
        self._wake.set()
        self._thread.join(self._timeout + 5.0)

    def _run(self) -> None:
        try:
            self._keep_sending()
        finally:
            self._hang_up()

    def _hang_up(self) -> None:
        root, self._root = self._root, None
        if root is not None:
            root.context.http_client.close()

    def _keep_sending(self) -> None:
        pause = _PAUSE
        while not self._stop.is_set() and self.error is None:
            self._wake.clear()
            try:
                while self._send_some() and not self._stop.is_set():
                    if pause > _PAUSE:
                        log.warning('msg="the server is back" frames=%d', self._spool.waiting)
                    pause = _PAUSE
            except Away as error:
                self._hang_up()
                if pause == _PAUSE:
                    log.warning(
                        'msg="%s: frames wait on the disk" spool=%s', error, self._spool.path
                    )
                pause = min(2 * pause, _LONGEST)
                self._stop.wait(pause)
                continue
            except Exception as error:  # noqa: BLE001 - who owns this raises it
                self.error = error
                break
            self._wake.wait()

    def _send_some(self) -> bool:
        """Send a batch of each array that has one; tell whether there was any."""
        found = False
        for name, queue in list(self._spool.queues.items()):
            limit = self._spool.limits.get(name, 0)
            frames = queue.next(limit) if queue.sent < limit else None
            if frames is not None:
                found = True
                self._send(queue, frames)
        return found

    def _send(self, queue: Queue, frames: Any) -> None:
        if self._root is None:
            self._root = connect(self._uri, self._key, self._timeout)
        with answering(f"{self._uri}#{queue.name}"):
            if queue.base is None:
                # Where frames go is noted first: they may have to be sent twice.
                queue.settle(length(self._root, queue.name) or 0)
            put(self._root, queue.name, frames, (queue.base or 0) + queue.sent, queue.attributes)
        queue.done(len(frames))
        self.frames += len(frames)
