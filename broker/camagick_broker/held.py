"""Memory that is sent again and again: ZeroMQ's frames of it, each made once. No sockets.

A frame that is made for one message costs an entry in pyzmq's list of what is under way, and a
message to the thread that strikes it off when ZeroMQ has done with it. Slots are there for as long
as the run: nobody has to hear that one was sent, since it is free when all of its iteration has
ended.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import zmq

if TYPE_CHECKING:
    from collections.abc import Callable

#: More places than an actor's window has slots, for a few arrays in each message.
_MOST = 1024


class HeldFrames:
    """Frames of places in shared memory.

    Parameters
    ----------
    mapped
        Returns the bytes at a place, as `SharedArrays.mapped`.
    """

    def __init__(self, mapped: Callable[[tuple[int, int, int], int], Any | None]) -> None:
        self._mapped = mapped
        self._frames: dict[tuple[int, int, int], zmq.Frame] = {}

    def __call__(self, place: tuple[int, int, int], size: int) -> zmq.Frame | None:
        """Return the frame of so many bytes at a place; None where they cannot be mapped.

        Parameters
        ----------
        place
            Segment, generation and offset. The generation does not matter: whatever lies there
            when the frame is sent, is sent.
        size
            How many bytes.
        """
        segment, _, offset = place
        frame = self._frames.get((segment, offset, size))
        if frame is None and (there := self._mapped(place, size)) is not None:
            if len(self._frames) >= _MOST:  # messages have changed, and these are others' places
                self._frames.clear()
            frame = self._frames[segment, offset, size] = zmq.Frame(there, copy=False)
        return frame
