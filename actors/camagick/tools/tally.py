"""Numbers of an actor that outlive its process, so that its successor can say what was lost."""

from __future__ import annotations

import mmap
import os
import struct
from pathlib import Path

_FORM = struct.Struct("=Qd")


class Tally:
    """How many events have come in, and the time of the newest, as of the last one.

    They are in a file that is mapped into memory: noting costs no system call, and a kill loses
    nothing of it.

    Parameters
    ----------
    folder
        Of the run; '' where nothing outlives the process, in one process.
    name
        Unique among the actors of the run.

    Attributes
    ----------
    before : tuple of (int, float)
        Count and time that a predecessor has left; zeros without one.
    """

    def __init__(self, folder: str, name: str) -> None:
        self._path = Path(folder, f"{name}.tally") if folder else None
        self._map: mmap.mmap | None = None
        self.before: tuple[int, float] = (0, 0.0)
        if self._path is None:
            return
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(file, _FORM.size)
            self._map = mmap.mmap(file, _FORM.size)
        finally:
            os.close(file)
        count, stamp = _FORM.unpack_from(self._map)
        self.before = count, stamp

    def note(self, count: int, stamp: float) -> None:
        """Write down a count, and the time of the newest event (seconds since 1970)."""
        if self._map is not None:
            _FORM.pack_into(self._map, 0, count, stamp)

    def close(self) -> None:
        """Forget it: the actor ends, and has no successor."""
        if self._map is not None and self._path is not None:
            self._map.close()
            self._map = None
            self._path.unlink(missing_ok=True)
