"""Updates on their way to one Channel Access client."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from typing import Any

#: Most updates of one subscription that wait for a client; older ones give way.
QUOTA = 1000
#: Most bytes that wait for one client, as long as each subscription keeps its newest.
BYTES = 64 << 20
#: What is written to a client at a time.
BATCH = 1 << 16
#: From here on a client is behind: posts wait for it, at most PATIENCE seconds.
BEHIND_UPDATES, BEHIND_BYTES = 256, 1 << 20
PATIENCE = 0.2


class Outbox:
    """Updates on their way to one client, in the order of the posts.

    It stands in for two attributes of caproto's circuit: for `unexpired_updates`, a mapping from
    subscriptions to their updates, and for `subscription_queue`, where weak references to them are
    put. caproto's own pair blocks the whole server when one client does not read, and is changed
    while it is iterated over when that client leaves.
    """

    def __init__(self) -> None:
        self._waiting: OrderedDict[int, Any] = OrderedDict()
        self._serials: dict[int, deque[int]] = {}
        self._number = 0
        self._bytes = 0
        self._arrived = asyncio.Event()
        self._room = asyncio.Event()
        self.dropped = 0
        self.lagging = False

    @property
    def behind(self) -> bool:
        """Whether more waits than a client that keeps up lets pile up."""
        return len(self._waiting) > BEHIND_UPDATES or self._bytes > BEHIND_BYTES

    def append(self, update: Any) -> None:
        """Queue an update, at the cost of the oldest of its subscription where there is no room."""
        self._number += 1
        serials = self._serials.setdefault(update.subscriptionid, deque())
        serials.append(self._number)
        self._waiting[self._number] = update
        self._bytes += len(update)
        while len(serials) > QUOTA or (self._bytes > BYTES and len(serials) > 1):
            self._bytes -= len(self._waiting.pop(serials.popleft()))
            self.dropped += 1
        if self.behind:
            self._room.clear()
        self._arrived.set()

    async def take(self) -> list[Any]:
        """Wait for updates, and return what can be written at once."""
        while not self._waiting:
            self.lagging = False
            self._arrived.clear()
            await self._arrived.wait()
        batch: list[Any] = []
        size = 0
        while self._waiting and size < BATCH:
            _, update = self._waiting.popitem(last=False)
            self._serials[update.subscriptionid].popleft()
            size += len(update)
            batch.append(update)
        self._bytes -= size
        if not self.behind:
            self._room.set()
        return batch

    async def room(self) -> None:
        """Wait until the client is not behind; one that does not move is not waited for again."""
        if self.lagging or not self.behind:
            return
        try:
            async with asyncio.timeout(PATIENCE):
                await self._room.wait()
        except TimeoutError:
            self.lagging = True

    def holds(self, subscription: int) -> bool:
        """Tell whether an update of that subscription waits."""
        return bool(self._serials.get(subscription))

    def clear(self) -> None:
        """Forget everything: the client wants no events for now."""
        self._waiting.clear()
        self._serials.clear()
        self._bytes = 0
        self.lagging = False
        self._room.set()

    async def put(self, reference: Any) -> None:
        """Do nothing: `append` has queued the update already."""

    def __contains__(self, subscription: int) -> bool:
        return True

    def __getitem__(self, subscription: int) -> Outbox:
        return self
