"""A matplotlib figure in a window of Qt, with what a user can do to it."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any

from camagick.tools.canvas import SIZE, Paper

if TYPE_CHECKING:
    from camagick.tools.board import Board


class NoWindow(Exception):
    """A window cannot be opened; the message says why."""


class Window(Paper):
    """A figure in a window of its own: pan, zoom, save; pause, log scale, levels, aspect.

    Frames, axes and colour bars are drawn seldom. What is in the panels is drawn over a copy of
    them (blitting), which takes a fraction of the time.

    Parameters
    ----------
    title
        Title of the window.

    Raises
    ------
    NoWindow
        When the window system, or the library for it, cannot be reached.
    """

    animated = True

    def __init__(self, title: str) -> None:
        plt = _pyplot()
        try:
            self.figure = plt.figure(num=title, figsize=SIZE, layout="constrained")
            plt.show(block=False)
        except Exception as error:  # each of the window libraries has its own
            raise NoWindow(str(error) or type(error).__name__) from error
        self._board: Board | None = None
        self._background: Any = None
        connect = self.figure.canvas.mpl_connect
        connect("close_event", self._on_close)
        connect("draw_event", self._on_draw)
        connect("resize_event", self._on_resize)
        self._buttons()

    def attach(self, board: Board) -> None:
        """Note whose panels these are."""
        self._board = board

    def _buttons(self) -> None:
        """Add what matplotlib's own toolbar (pan, zoom, save, edit) lacks."""
        toolbar: Any = getattr(self.figure.canvas.manager, "toolbar", None)
        if not hasattr(toolbar, "addAction"):  # not of Qt: MPLBACKEND says so
            return
        for name, hint, react in (
            ("pause", "keep this picture, while the data flow on", self._pause),
            ("log", "a logarithmic scale for lines and colours", self._log),
            ("hold", "keep levels and limits as they are", self._hold),
            ("aspect", "let images fill their panels", self._fill),
        ):
            action = toolbar.addAction(name)
            action.setCheckable(True)
            action.setToolTip(hint)
            action.toggled.connect(react)

    def _pause(self, on: bool) -> None:
        self.paused = on

    def _log(self, on: bool) -> None:
        self._restyle(log=on)

    def _fill(self, on: bool) -> None:
        self._restyle(aspect="free" if on else "")

    def _hold(self, on: bool) -> None:
        for panel in self._board.panels if self._board is not None else ():
            panel.held = on

    def _restyle(self, **changes: Any) -> None:
        if self._board is not None:
            self._board.restyle(**changes)
            self._board.again()
            self.draw(everything=True)

    def _on_close(self, _event: Any) -> None:
        self.closed = True

    def _on_resize(self, _event: Any) -> None:
        self.figure.set_layout_engine("constrained")

    def _on_draw(self, _event: Any) -> None:
        """Keep a copy of the frames that were just drawn, and draw what is in them."""
        # To find room for titles and labels takes half of the time: once for each size is enough.
        self.figure.set_layout_engine("none")
        self._background = self.figure.canvas.copy_from_bbox(self.figure.bbox)
        self._content()

    def _content(self) -> None:
        for panel in self._board.panels if self._board is not None else ():
            for artist in panel.artists():
                panel.axes.draw_artist(artist)

    def draw(self, *, everything: bool) -> None:
        """Draw the figure as it is now: all of it, or where possible the content of panels."""
        if self.closed:
            return
        canvas = self.figure.canvas
        if everything or self._background is None:
            if everything and self._is_new():
                self.figure.set_layout_engine("constrained")
            canvas.draw()
            return
        canvas.restore_region(self._background)
        self._content()
        canvas.blit(self.figure.bbox)

    def _is_new(self) -> bool:
        """Whether panels have come that have no place yet; their labels need room."""
        places = tuple(map(id, self.figure.axes))
        new, self._places = places != getattr(self, "_places", ()), places
        return new

    def pump(self) -> None:
        """Let the window react to the mouse, to being moved, and so on."""
        if not self.closed:
            self.figure.canvas.flush_events()

    def close(self) -> None:
        """Close the window."""
        from matplotlib import pyplot as plt

        with contextlib.suppress(RuntimeError):  # Qt has deleted what the user closed
            plt.close(self.figure)


def _pyplot() -> Any:
    """Return matplotlib's window interface: Qt by PySide6, unless MPLBACKEND says otherwise."""
    try:
        if not os.environ.get("MPLBACKEND"):
            os.environ.setdefault("QT_API", "pyside6")
            from PySide6.QtWidgets import QApplication

            # Made here, because matplotlib looks for an X server and knows no other platform.
            # Where Qt cannot open a window it aborts: whoever has started this process says so.
            QApplication.instance() or QApplication(["caspy"])
            import matplotlib as mpl

            mpl.use("QtAgg")
        from matplotlib import pyplot as plt
    except (ImportError, RuntimeError, ValueError) as error:
        raise NoWindow(str(error)) from error
    return plt
