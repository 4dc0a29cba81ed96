"""A matplotlib figure in a window, or on no screen at all."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

SIZE = (9.0, 6.5)


class NoWindow(Exception):
    """A window cannot be opened; the message says why."""


def wants_window(environ: Any = os.environ) -> bool:
    """Tell whether there is a screen to open a window on."""
    return any(environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"))


class Paper:
    """A figure without a window, which is drawn to be saved."""

    def __init__(self) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        self.figure: Any = Figure(figsize=SIZE, layout="constrained")
        FigureCanvasAgg(self.figure)

    @property
    def closed(self) -> bool:
        """Whether the user closed the window."""
        return False

    def draw(self) -> None:
        """Draw the figure as it is now."""
        self.figure.canvas.draw()

    def pump(self) -> None:
        """Let the window react to the mouse, to being moved, and so on."""

    def close(self) -> None:
        """Give everything back."""


class Window(Paper):
    """A figure in a window of its own.

    Parameters
    ----------
    title
        Title of the window.

    Raises
    ------
    NoWindow
        When the window system, or the library for it, cannot be reached.
    """

    def __init__(self, title: str) -> None:
        if threading.current_thread() is not threading.main_thread():
            raise NoWindow("windows belong to the main thread")
        plt = _pyplot()
        try:
            with warnings.catch_warnings():
                # matplotlib takes a forked process's main thread for another one.
                warnings.filterwarnings("ignore", "Starting a Matplotlib GUI outside")
                self.figure = plt.figure(num=title, figsize=SIZE, layout="constrained")
                plt.show(block=False)
        except Exception as error:  # each of the window libraries has its own
            raise NoWindow(str(error) or type(error).__name__) from error
        self._closed = False
        self.figure.canvas.mpl_connect("close_event", self._on_close)

    def _on_close(self, _event: Any) -> None:
        self._closed = True

    @property
    def closed(self) -> bool:
        """Whether the user closed the window."""
        return self._closed

    def pump(self) -> None:
        """Let the window react to the mouse, to being moved, and so on."""
        if not self._closed:
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
            _try_qt()
            from PySide6.QtWidgets import QApplication

            # Made here, because matplotlib looks for an X server and knows no other platform.
            QApplication.instance() or QApplication(["caspy"])
            import matplotlib as mpl

            mpl.use("QtAgg")
        from matplotlib import pyplot as plt
    except (ImportError, RuntimeError, ValueError) as error:
        raise NoWindow(str(error)) from error
    return plt


def _try_qt() -> None:
    """Find out in another process whether Qt can open a window: where it cannot, it aborts.

    Raises
    ------
    NoWindow
        With what Qt says: no such display, a missing system library.
    """
    code = "from PySide6.QtWidgets import QApplication; QApplication([])"
    try:
        done = subprocess.run(  # noqa: S603 - this interpreter, with the line above
            [sys.executable, "-c", code],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoWindow(str(error)) from error
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["Qt does not start"]
        # An exception's message stands last, what Qt itself has to say first.
        raise NoWindow(said[-1] if "Traceback" in said[0] else said[0])


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
