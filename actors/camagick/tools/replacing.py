"""Files that are written in the place of others, in one step."""

from __future__ import annotations

import contextlib
import os
import uuid
from typing import Any

from camagick.tools.redo import write_all


def replace(path: str, content: Any) -> None:
    """Write a file in the place of the one that is there, in one step."""
    partial = f"{path}.{uuid.uuid4().hex}.partial"
    try:
        fd = open_for_writing(partial)
        try:
            data = memoryview(content).cast("B")
            # With its blocks there, ext4 does not write a file out when it is renamed.
            os.posix_fallocate(fd, 0, len(data))
            write_all(fd, data, 0)
        finally:
            os.close(fd)
        os.replace(partial, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(partial)
        raise


def open_for_writing(path: str) -> int:
    """Open a file for writing; it and its folder are made where they do not exist."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
    try:
        return os.open(path, flags, 0o666)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return os.open(path, flags, 0o666)
