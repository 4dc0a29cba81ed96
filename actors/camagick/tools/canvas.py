"""A matplotlib figure without a window, and pictures of it in files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from camagick.tools.board import Board

SIZE = (9.0, 6.5)


def wants_window(environ: Any = os.environ) -> bool:
    """Tell whether there is a screen to open a window on."""
    return any(environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"))


class Paper:
    """A figure without a window, which is drawn to be saved.

    Attributes
    ----------
    figure
        The matplotlib figure.
    animated
        Whether the content of panels is drawn apart from their frames.
    closed, paused
        Whether the user closed the window, or wants its picture to stay.
    """

    animated = False
    closed = False
    paused = False

    def __init__(self) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        self.figure: Any = Figure(figsize=SIZE, layout="constrained")
        FigureCanvasAgg(self.figure)

    def attach(self, board: Board) -> None:
        """Note whose panels these are."""

    def draw(self, *, everything: bool) -> None:
        """Draw the figure as it is now: all of it, or where possible the content of panels."""
        del everything
        self.figure.canvas.draw()

    def pump(self) -> None:
        """Let the window react to the mouse, to being moved, and so on."""

    def close(self) -> None:
        """Give everything back."""


def save(figure: Any, path: str) -> None:
    """Write a picture of a figure; whoever looks at the file finds a whole one at any time."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        figure.savefig(draft, format=target.suffix.lstrip(".").lower())
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)
