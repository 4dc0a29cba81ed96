"""What has been worked out once, for as long as it is used; bounded, whatever a peer sends."""

from __future__ import annotations

from typing import Generic, TypeVar

Key = TypeVar("Key")
Item = TypeVar("Item")


class Cache(Generic[Key, Item]):
    """A dictionary that begins anew when it is full; may be used by several threads.

    Which of its items are still in use is not worth knowing: those are soon worked out again.

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
        self._bytes = 0
        self.get = self._items.get

    def __len__(self) -> int:
        return len(self._items)

    def put(self, key: Key, item: Item, size: int) -> None:
        """Keep an item of so many bytes, unless it is too large by itself."""
        if 4 * size > self._most_bytes:
            return
        if len(self._items) >= self._most or self._bytes + size > self._most_bytes:
            self._items.clear()
            self._bytes = 0
        self._items[key] = item
        self._bytes += size
