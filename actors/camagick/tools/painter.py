"""The process that draws for ``--to-plot``: started by `camagick.tools.drawing`.

It asks for the newest data when it has drawn what it was given, and its time has come. So however
slow it is, even stopped, nobody waits for it.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from typing import Any

import numpy as np

from camagick.tools.board import Board
from camagick.tools.canvas import Paper, save
from camagick.tools.film import PICTURES, Film, NoFfmpeg
from camagick.tools.newest import Lent, Reader
from camagick.tools.panelspec import Style
from camagick.tools.url import Template

#: Seconds between two looks at what the mouse does.
_PUMP_S = 0.02
_MESSAGE_BYTES = 65536
_PR_SET_PDEATHSIG = 1


class Painter:
    """Draws what it is given, until it is told to end or its window is closed.

    Parameters
    ----------
    canvas
        A window, or paper.
    options
        `file`, `period_s`, `styles`, `x`, `grid`: those of `camagick.tools.drawing.Drawing`.
    channel
        To who has started it.
    reader
        Of the data.
    """

    def __init__(
        self, canvas: Paper, options: dict[str, Any], channel: socket.socket, reader: Reader
    ) -> None:
        styles = {tag: Style(*style) for tag, style in options["styles"].items()}
        grid = tuple(options["grid"]) if options["grid"] else None
        self._canvas, self._channel, self._reader = canvas, channel, reader
        self._board = Board(canvas.figure, styles, options["x"], grid, animated=canvas.animated)
        canvas.attach(self._board)
        self._file = Template(options["file"]) if options["file"] else None
        self._is_film = options["file"].lower().endswith(".mp4")
        self._film: Film | None = None
        self._films = 0
        self._period_s: float = options["period_s"]
        self._seq = 0
        self._asked, self._due = False, 0.0

    def run(self) -> None:
        """Draw until the end; SIGTERM is as good as a click on the window's cross."""
        if self._canvas.animated:
            signal.signal(signal.SIGTERM, lambda *_: setattr(self._canvas, "closed", True))
        while not self._canvas.closed:
            now = time.monotonic()
            if not (self._asked or self._canvas.paused) and now >= self._due:
                self.tell(ready=True)
                self._asked = True
            if self._wait(now) and not self._obey():
                break
            self._canvas.pump()
        if self._film is not None:
            self._film.close()
        if self._canvas.closed:
            self.tell(closed=True)
        self._canvas.close()

    def tell(self, **what: Any) -> None:
        """Say something to who has started this process."""
        with contextlib.suppress(ConnectionError):
            self._channel.send(json.dumps(what).encode())

    def _wait(self, now: float) -> bool:
        """Wait for something to do, no longer than a user notices; tell whether one was told it."""
        left = self._due - now if not self._asked and not self._canvas.paused else 1.0
        timeout = min(_PUMP_S, left) if self._canvas.animated else left
        return bool(select.select([self._channel], [], [], max(0.0, timeout))[0])

    def _obey(self) -> bool:
        """Do what one is told; False where that is to end."""
        message = self._channel.recv(_MESSAGE_BYTES)
        if not message:
            return False
        told = json.loads(message)
        if "lent" in told:
            self._draw(Lent(*told["lent"]))
        return "end" not in told

    def _draw(self, lent: Lent) -> None:
        started = time.monotonic()
        given = self._reader(lent)
        self._asked = False
        values = {
            # It may be drawn again when the memory has been given back: in another arrangement.
            tag: value.copy() if isinstance(value, np.ndarray) else value
            for tag, value in given["values"].items()
        }
        curves = {tag: np.array(curve) for tag, curve in given["curves"].items()}
        frames = self._board.show(values, given["units"], curves)  # type: ignore[arg-type]
        if self._canvas.animated or self._file is None:  # to save it is to draw it
            self._canvas.draw(everything=frames)
        if self._file is not None:
            self._save(self._file)
        self.tell(drawn=self._seq, panels=self._board.kinds)
        self._seq += 1
        # Drawing that takes long leaves as much time to others.
        ended = time.monotonic()
        self._due = max(started + self._period_s, 2 * ended - started)

    def _save(self, name: Template) -> None:
        if not self._is_film:
            save(self._canvas.figure, name.fill({"seq": self._seq}))
            return
        if self._film is not None and name.fields and self._film.pictures >= PICTURES:
            self._film.close()
            self._film = None
        if self._film is None:
            path = name.fill({"seq": self._films})
            self._film = Film(self._canvas.figure, path, 1.0 / self._period_s)
            self._films += 1
        self._film.add()


def main() -> None:
    """Draw, as the words of the command line say; see `camagick.tools.drawing`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the run: it says when to end
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    options = json.loads(sys.argv[1])
    channel = socket.socket(fileno=options["channel"])
    with contextlib.suppress(OSError):
        os.nice(5)  # the data come first
    _name(options["title"])
    canvas, reason = _canvas(want_window=options["window"])
    painter = Painter(canvas, options, channel, Reader(options["memory"]))
    painter.tell(opened=canvas.animated, reason=reason)
    if canvas.animated or options["file"] or not options["window"]:
        try:
            painter.run()
        except (NoFfmpeg, subprocess.CalledProcessError) as error:
            painter.tell(failed=str(error))
        except OSError as error:
            painter.tell(failed=f"{error.filename or options['file']}: {error.strerror or error}")
    sys.stderr.flush()
    os._exit(0)  # to take Qt apart may take long, or for ever


def _name(title: str) -> None:
    with contextlib.suppress(ImportError):
        from setproctitle import setproctitle

        setproctitle(title)


def _canvas(*, want_window: bool) -> tuple[Paper, str]:
    """Return what to draw on, and why that is no window."""
    if not want_window:
        return Paper(), ""
    from camagick.tools.plotwindow import NoWindow, Window

    try:
        return Window("caspy"), ""
    except NoWindow as error:
        return Paper(), str(error)


if __name__ == "__main__":
    main()
