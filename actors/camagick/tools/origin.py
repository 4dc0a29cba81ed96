"""Who writes a file: what is said about that in its attributes."""

from __future__ import annotations

import shlex
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import camagick
from camagick_broker import running

if TYPE_CHECKING:
    from collections.abc import Callable

#: HDF5 has no attributes beyond 64 KiB.
_LONGEST = 30_000


class Origin:
    """What is known about this run.

    Parameters
    ----------
    run
        Gives the identity of the run, and the folder of its bus; '' in one process.
    """

    def __init__(self, run: Callable[[], tuple[str, str]]) -> None:
        self._run = run
        self._since = datetime.now().astimezone().isoformat(timespec="seconds")
        self._recipe: str | None = None

    def short(self) -> dict[str, str]:
        """Return time of the start (ISO 8601), program with its version, identity of the run."""
        known = {"start_time": self._since, "program": f"caspy {camagick.__version__}"}
        run, _ = self._run()
        return {**known, "run_id": run} if run else known

    def full(self) -> dict[str, str]:
        """Return the same, and the recipe: the command line, as far as this host knows it."""
        if self._recipe is None:
            _, folder = self._run()
            card = running.read(Path(folder)) if folder else None
            self._recipe = shlex.join(card.command)[:_LONGEST] if card is not None else ""
        return {**self.short(), "recipe": self._recipe} if self._recipe else self.short()
