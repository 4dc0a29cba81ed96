"""How far a long piece of work has come, as one line at the bottom of a terminal."""

from __future__ import annotations

import sys
from typing import Any

#: Pictures a second; each costs a fraction of a millisecond.
_HZ = 5


class Progress:
    """A bar with frames, rate and time left on standard error.

    It needs rich, and a terminal; without them it does nothing.

    Parameters
    ----------
    title
        What is being done.
    wanted
        Whether to draw; None draws on a terminal only.
    """

    def __init__(self, title: str, wanted: bool | None = None) -> None:
        self._title = title
        self._wanted = wanted
        self._bar: Any = None
        self._task: Any = None

    def start(self) -> None:
        """Begin to draw."""
        if self._wanted is None and not sys.stderr.isatty():
            return
        if self._wanted is False:
            return
        try:
            self._bar = _bar()
        except ImportError:
            return  # a courtesy, no more
        self._task = self._bar.add_task(self._title, total=None)
        self._bar.start()

    def show(self, done: int, total: int | None) -> None:
        """Tell how many frames are done, and of how many (None where nobody knows)."""
        if self._bar is not None:
            self._bar.update(self._task, completed=done, total=total)

    def stop(self) -> None:
        """Draw for the last time."""
        bar, self._bar = self._bar, None
        if bar is not None:
            bar.stop()


def _bar() -> Any:
    from rich import progress
    from rich.console import Console

    class Steady(Console):
        """Leaves the cursor alone: a killed process could not bring it back."""

        def show_cursor(self, show: bool = True) -> bool:
            return False

    class Rate(progress.ProgressColumn):
        """Frames a second."""

        def render(self, task: Any) -> str:
            speed = task.finished_speed or task.speed
            return "" if speed is None else f"{speed:.3g}/s"

    return progress.Progress(
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        Rate(),
        progress.TimeRemainingColumn(),
        console=Steady(stderr=True),
        refresh_per_second=_HZ,
    )
