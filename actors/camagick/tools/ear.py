"""A thread that listens to a tap, for a processor that waits in an event loop."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from typing import TYPE_CHECKING

from camagick_broker.tapping import Tally

if TYPE_CHECKING:
    from camagick_broker.listener import Heard, Listener
    from camagick_broker.reader import Body
    from camagick_broker.remote import RemoteListener

#: Messages that may wait here; what does not find room, the tap drops, and the gap is counted.
_ROOM = 4
_STEP_MS = 200
_PAUSE_S = 0.05


class Ear:
    """Takes what a listener hears; must be made where an event loop runs.

    Parameters
    ----------
    listener
        Belongs to the ear from now on.
    latest
        Whether the newest message replaces one that still waits.

    Attributes
    ----------
    tally
        What was taken and what was missed.
    """

    def __init__(self, listener: Listener | RemoteListener, *, latest: bool) -> None:
        self.tally = Tally()
        self._listener = listener
        self._latest = latest
        self._waiting: deque[Heard] = deque()
        self._lock = threading.Lock()
        self._room = threading.Event()
        self._closed = False
        self._over = False
        self._error: Exception | None = None
        self._loop = asyncio.get_running_loop()
        self._stirred = asyncio.Event()
        self._thread = threading.Thread(target=self._work, name="tap", daemon=True)
        self._thread.start()

    async def wait(self) -> None:
        """Wait until `take` has something to say."""
        while not (self._waiting or self._over):
            self._stirred.clear()
            if not (self._waiting or self._over):
                await self._stirred.wait()

    def take(self) -> Body | None:
        """Return the next message, or the newest; None at the end, or where none waits.

        Raises
        ------
        BusKilled
            When the bus that was listened to has gone without a word.
        """
        while True:
            with self._lock:
                heard = self._waiting.popleft() if self._waiting else None
            self._room.set()
            if heard is None:
                if self._error is not None:
                    raise self._error
                return None
            if heard.body is None:
                self.tally.end(heard.seq, heard.stamp)
            elif heard.stamp is not None and self.tally.take(heard.seq, heard.stamp):
                return heard.body

    @property
    def over(self) -> bool:
        """Whether nothing more will come."""
        return self._over and not self._waiting

    @property
    def refused(self) -> int:
        """How many messages could not be read."""
        return self._listener.refused

    def close(self) -> None:
        """Leave the tap."""
        self._closed = True
        self._room.set()
        self._listener.ring()
        self._thread.join()

    def _work(self) -> None:
        try:
            while not (self._closed or self._listener.ended):
                self._listen()
        except Exception as error:  # noqa: BLE001 - the processor's thread says it
            self._error = error
        finally:
            self._listener.close()
            self._over = True
            self._stir()

    def _listen(self) -> None:
        room = self._latest or len(self._waiting) < _ROOM
        heard = self._listener.step(_STEP_MS, receive=room)
        if heard:
            with self._lock:
                for one in heard:
                    self._put(one)
            self._stir()
        elif not room:
            self._room.wait(_PAUSE_S)
            self._room.clear()

    def _put(self, heard: Heard) -> None:
        if self._latest and self._waiting and heard.body is not None:
            if heard.seq < self._waiting[-1].seq:  # a restarted actor makes old ones again
                return
            self._waiting.clear()
        self._waiting.append(heard)

    def _stir(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits any more
            self._loop.call_soon_threadsafe(self._stirred.set)
