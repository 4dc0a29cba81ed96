"""What has been worked out once, for as long as it is used; bounded, whatever a peer sends."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

Key = TypeVar("Key")
Item = TypeVar("Item")


class Cache(Generic[Key, Item]):
    """A dictionary that forgets the oldest; may be used by several threads.

    Parameters
    ----------
    most, most_bytes
        How many items to keep, and how large they may be altogether, as far as their owners say.

    Attributes
    ----------
    get
        Returns the item of a key, or None.
    """

    def __init__(self, most: int, most_bytes: int) -> None:
        self._most, self._most_bytes = most, most_bytes
        self._items: dict[Key, Item] = {}
        self._sizes: dict[Key, int] = {}
        self._bytes = 0
        self._lock = threading.Lock()
        self.get = self._items.get

    def __len__(self) -> int:
        return len(self._items)

    def put(self, key: Key, item: Item, size: int) -> None:
        """Keep an item of so many bytes, unless it is too large by itself."""
        if 4 * size > self._most_bytes:
            return
        with self._lock:
            if key in self._items:  # another thread was faster
                return
            while len(self._items) >= self._most or self._bytes + size > self._most_bytes:
                oldest = next(iter(self._items))
                del self._items[oldest]
                self._bytes -= self._sizes.pop(oldest)
            self._items[key] = item
            self._sizes[key] = size
            self._bytes += size
