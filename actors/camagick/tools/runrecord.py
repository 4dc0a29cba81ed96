"""How far a sink has come in a file, kept with the run and not beside the data."""

from __future__ import annotations

import hashlib
import os
import struct
import zlib

#: Iteration, and the length of the file behind it; then a checksum.
_FIELDS = struct.Struct("<qq")
_CHECK = struct.Struct("<I")


class RunRecord:
    """Two numbers that outlive the process, but not the run.

    Parameters
    ----------
    run_dir
        Folder of the run, which is removed at its end.
    actor
        Number of the sink.
    path
        The file.
    """

    def __init__(self, run_dir: str, actor: int, path: str) -> None:
        name = hashlib.sha1(os.path.realpath(path).encode(), usedforsecurity=False).hexdigest()
        self._fd = os.open(
            os.path.join(run_dir, f"record.{actor}.{name[:16]}"),
            os.O_RDWR | os.O_CREAT | os.O_CLOEXEC,
            0o600,
        )

    def read(self) -> tuple[int, int] | None:
        """Return the last iteration, and the length of the file behind it; None at the start."""
        raw = os.pread(self._fd, _FIELDS.size + _CHECK.size, 0)
        fields = raw[: _FIELDS.size]
        if len(raw) != _FIELDS.size + _CHECK.size or _CHECK.pack(zlib.crc32(fields)) != raw[16:]:
            return None
        seq, size = _FIELDS.unpack(fields)
        return seq, size

    def write(self, seq: int, size: int) -> None:
        """Note that an iteration is in the file; a kill divides no write of so few bytes."""
        fields = _FIELDS.pack(seq, size)
        os.pwrite(self._fd, fields + _CHECK.pack(zlib.crc32(fields)), 0)

    def close(self) -> None:
        """Close it; it stays until the run ends."""
        os.close(self._fd)
