"""Flow control for peers that have none: one byte a frame, from the last process to the first.

Standard library only: it runs in the environments of peers.
"""

from __future__ import annotations

import os
import select
import time


class Credits:
    """The source's side: how many frames may be under way.

    Parameters
    ----------
    path
        A named pipe.
    window
        So many at once.
    """

    def __init__(self, path: str, window: int) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        self._window = window
        self._under_way = 0

    def take(self) -> None:
        """Wait until one more may be sent; after half a second without news, all are lost."""
        while True:
            wait = 0.5 if self._under_way >= self._window else 0.0
            if select.select([self._fd], [], [], wait)[0]:
                self._under_way = max(0, self._under_way - len(os.read(self._fd, 4096)))
            elif wait:
                self._under_way = 0  # before all are connected, frames go nowhere
            if self._under_way < self._window:
                break
        self._under_way += 1


class Receipts:
    """The sink's side: a line for who measures, and a byte for the source, for each frame.

    Parameters
    ----------
    rows, credit
        Named pipes.
    """

    def __init__(self, rows: str, credit: str) -> None:
        self._rows = os.open(rows, os.O_RDWR)
        self._credit = os.open(credit, os.O_RDWR)

    def give(self, shape: tuple[int, ...]) -> None:
        """Say that a frame has arrived."""
        os.write(self._rows, f"a: shape={shape} <class 'float'>\n".encode())
        os.write(self._credit, b".")

    def age(self, stamp: float) -> None:
        """Say how old a frame is, in microseconds."""
        os.write(self._rows, f"{(time.monotonic() - stamp) * 1e6:.1f}\n".encode())
        os.write(self._credit, b".")
