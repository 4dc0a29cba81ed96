"""Peers whose last process cannot print to us: rows come through a named pipe."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.processes import Rows

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def fifos() -> Iterator[tuple[Path, Rows]]:
    """Give a folder with the named pipes `rows` and `credit`, and the lines of the first."""
    with tempfile.TemporaryDirectory(prefix="bench") as name:
        folder = Path(name)
        for pipe in ("rows", "credit"):
            os.mkfifo(folder / pipe)
        fd = os.open(folder / "rows", os.O_RDWR)  # no end before there was a beginning
        try:
            yield folder, Rows(fd)
        finally:
            os.close(fd)
