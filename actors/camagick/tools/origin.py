"""Who writes a file: what is said about that in its attributes."""

from __future__ import annotations

import shlex
from datetime import datetime
from pathlib import Path

import camagick
from camagick_broker import running

#: HDF5 has no attributes beyond 64 KiB.
_LONGEST = 30_000


class Origin:
    """What is known about this run.

    Parameters
    ----------
    run
        Identity of the run; '' in one process.
    run_dir
        Folder of its bus, where it has left its command line; '' in one process.
    """

    def __init__(self, run: str = "", run_dir: str = "") -> None:
        self._run, self._run_dir = run, run_dir
        self._since = datetime.now().astimezone().isoformat(timespec="seconds")
        self._recipe: str | None = None

    @property
    def short(self) -> dict[str, str]:
        """Time of the start (ISO 8601), program with its version, and identity of the run."""
        known = {"start_time": self._since, "program": f"caspy {camagick.__version__}"}
        return {**known, "run_id": self._run} if self._run else known

    @property
    def full(self) -> dict[str, str]:
        """The same, and the recipe: the command line, as far as this host knows it."""
        if self._recipe is None:
            card = running.read(Path(self._run_dir)) if self._run_dir else None
            self._recipe = shlex.join(card.command)[:_LONGEST] if card is not None else ""
        return {**self.short, "recipe": self._recipe} if self._recipe else self.short
