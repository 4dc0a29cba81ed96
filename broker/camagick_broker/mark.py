"""Where a value was made, and what is known about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping


class Mark(NamedTuple):
    """Where a value was made, and what is known about it.

    Attributes
    ----------
    maker
        Serial number of the processor that made the value (on the bus: its number in the plan).
    tag
        The tag under which it was made.
    attributes
        Units, source timestamp, alarm severity and the like; never changed in place.
    value
        The value itself. A mark speaks of this very object: it is void for any other.
    """

    maker: int
    tag: str
    attributes: Mapping[str, Any]
    value: Any

    @property
    def origin(self) -> tuple[int, str]:
        """What tells two values under one tag apart where branches are merged."""
        return self.maker, self.tag
