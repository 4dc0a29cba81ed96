"""What each process of a bus has logged last, kept in the folder of the bus for its page.

Each process appends to a file of its own. No socket, nobody who has to listen, nothing to lose when
one is killed: whoever opens the page later sees what was said before.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
from typing import TYPE_CHECKING, Any

from setproctitle import getproctitle

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Lines of each process that are shown, and bytes of a file before it is begun anew.
LINES, _MOST_BYTES = 200, 1 << 16
_FOLDER = "logs"


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


class _Scribe(logging.Handler):
    """Appends to the file of the process that it finds itself in: it outlives forks."""

    def __init__(self, folder: Path) -> None:
        super().__init__(logging.INFO)
        self.name = "logbook"
        self._folder = folder
        self._pid = 0
        self._path = ""

    def emit(self, record: logging.LogRecord) -> None:
        # A full disk, a folder that is gone with its run: no reason to end anything.
        with contextlib.suppress(OSError, ValueError):
            if self._pid != os.getpid():
                self._pid = os.getpid()
                self._path = str(self._folder / _me())
            with open(self._path, "a", encoding="utf-8", opener=_private) as file:
                if file.tell() > _MOST_BYTES:
                    os.replace(self._path, f"{self._path}.old")
            with open(self._path, "a", encoding="utf-8", opener=_private) as file:
                line = {"t": record.created, "level": record.levelname, "text": self.format(record)}
                file.write(json.dumps(line) + "\n")


def _me() -> str:
    """Return what this process is called on its bus: `caspy: BUS/npfun.2`."""
    title = getproctitle()
    return title.partition("/")[2].partition(" ")[0] if title.startswith("caspy: ") else "launcher"


@contextlib.contextmanager
def kept(folder: Path) -> Iterator[None]:
    """Note what processes forked from this one log, from INFO on, whatever is printed of it.

    Only where caspy's own log is set up: in a script of a user logging is the user's.
    """
    root = logging.getLogger()
    printed = [handler for handler in root.handlers if handler.name == "caspy"]
    if not printed:
        yield
        return
    (folder / _FOLDER).mkdir(mode=0o700, exist_ok=True)
    scribe, level = _Scribe(folder / _FOLDER), root.level
    scribe.setFormatter(printed[0].formatter)
    printed[0].setLevel(level)
    root.addHandler(scribe)
    root.setLevel(min(level, logging.INFO))
    try:
        yield
    finally:
        root.removeHandler(scribe)
        root.setLevel(level)
        printed[0].setLevel(logging.NOTSET)


def last_lines(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the last lines of each process: `t` (seconds since 1970), `level`, `text`."""
    found: dict[str, list[dict[str, Any]]] = {}
    with contextlib.suppress(OSError):
        for path in sorted((folder / _FOLDER).iterdir()):
            name = path.name.removesuffix(".old")
            older = path.name.endswith(".old")
            lines = list(_lines(path))
            found[name] = lines + found.get(name, []) if older else found.get(name, []) + lines
    return {name: lines[-LINES:] for name, lines in found.items() if lines}


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with contextlib.suppress(OSError):
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            with contextlib.suppress(ValueError):  # the last one may be half written
                yield json.loads(line)
