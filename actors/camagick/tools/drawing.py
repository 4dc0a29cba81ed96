"""Pictures of the newest data, drawn by a process of their own that holds up nobody."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from setproctitle import getproctitle

from camagick.tools.command import Murmur, ending, exited
from camagick.tools.newest import Lent, Newest
from camagick.tools.panels import History, kind_of, summary

if TYPE_CHECKING:
    from collections.abc import Mapping

    from camagick.tools.panelspec import Style

log = logging.getLogger(__name__)

_MESSAGE_BYTES = 65536
#: Starts the drawing process with the modules of this one, wherever they come from.
_START = "import sys; sys.path[:] = {path!r}; from camagick.tools.painter import main; main()"
#: Seconds to open a window, and to finish the last picture.
_OPEN_S, _FINISH_S = 120.0, 10.0
#: Restarts of a process that was killed, and seconds that one has to end when it has hung up.
_RESTARTS, _END_S = 3, 1.0


class DrawingFailed(Exception):
    """The picture cannot be drawn or saved; the message says why."""


class Look(NamedTuple):
    """What to draw, and where to.

    Attributes
    ----------
    window
        Whether to open one.
    file
        Template of the pictures' name, '' for none.
    period_s
        Seconds between two pictures, at least.
    styles
        How the panels of certain tags are to look.
    x
        Tag that lines are drawn over, '' for none.
    grid
        Rows and columns, None where they follow the number of panels.
    """

    window: bool
    file: str
    period_s: float
    styles: dict[str, Style]
    x: str
    grid: tuple[int, int] | None


class Drawing:
    """The side of a drawing process that has the data; used in one event loop.

    Parameters
    ----------
    look
        What it shall draw.

    Attributes
    ----------
    closed
        Whether the user closed the window.
    """

    def __init__(self, look: Look) -> None:
        self._look = look
        self.closed = False
        self._newest = Newest()
        self._histories: dict[str, History] = {}
        self._units: dict[str, str] = {}
        self._asked = False
        self._failed = ""
        self._left = _RESTARTS
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None
        self._murmur: Murmur | None = None
        self._opened: asyncio.Future[str] | None = None

    async def open(self) -> str:
        """Start it, and wait for its window; return why there is none, '' where there is.

        Raises
        ------
        DrawingFailed
            When it cannot be started.
        """
        self._opened = asyncio.get_running_loop().create_future()
        self._start()
        try:
            async with asyncio.timeout(_OPEN_S):
                return await self._opened
        except TimeoutError:
            raise DrawingFailed(f"no window within {_OPEN_S:.0f} s") from None

    def _start(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        options = {
            **self._look._asdict(), "channel": theirs.fileno(), "memory": self._newest.handles,
            "title": f"{getproctitle()} (drawing)",
        }  # fmt: skip
        try:
            self._process = subprocess.Popen(  # noqa: S603 - this interpreter, with the line above
                [sys.executable, "-c", _START.format(path=sys.path), json.dumps(options)],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                pass_fds=(theirs.fileno(), *self._newest.handles), start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            ours.close()
            raise DrawingFailed(str(error)) from None
        finally:
            theirs.close()
        ours.setblocking(False)
        self._channel = ours
        loop = asyncio.get_running_loop()
        loop.add_reader(ours, self._hear)
        if self._process.stderr is not None:
            self._murmur = Murmur(self._process.stderr, "drawing")
            loop.add_reader(self._murmur, self._listen)

    def show(self, values: Mapping[str, Any], units: Mapping[str, str]) -> None:
        """Note the newest data; they are handed over when the other process asks for them.

        Raises
        ------
        DrawingFailed
            When it has failed.
        """
        if self._failed:
            raise DrawingFailed(self._failed)
        if self._channel is None:
            return
        for tag, value in values.items():
            kind = kind_of(value)
            if kind == "history":
                self._histories.setdefault(tag, History()).add(value)
            drawn = isinstance(value, np.ndarray) and kind != "text"
            if drawn or kind in ("line", "image", "history"):
                self._newest.put(tag, np.asarray(value))
            else:
                self._newest.put(tag, summary(value))
        self._units.update(units)
        self._hand_over()

    def _hand_over(self) -> None:
        if self._asked and self._newest.is_fresh:
            self._asked = False
            self._send(lent=self._lend())

    def _lend(self) -> Lent:
        curves = {
            tag: [part.tolist() for part in history.curve()]
            for tag, history in self._histories.items()
        }
        return self._newest.lend({"units": self._units, "curves": curves})

    def _send(self, **what: Any) -> None:
        if self._channel is not None:
            with contextlib.suppress(ConnectionError, BlockingIOError):
                self._channel.send(json.dumps(what).encode())

    def _hear(self) -> None:
        """Take what the other process says."""
        if self._channel is None:
            return
        try:
            message = self._channel.recv(_MESSAGE_BYTES)
        except BlockingIOError:
            return
        except ConnectionError:
            message = b""
        if not message:
            self._ended()
            return
        said = json.loads(message)
        if "opened" in said and self._opened is not None and not self._opened.done():
            self._opened.set_result(said["reason"])
        if "drawn" in said:
            panels = ",".join(f"{tag}:{kind}" for tag, kind in said["panels"].items())
            log.debug('msg="drawn" seq=%d panels=%s', said["drawn"], panels)
        self.closed = self.closed or "closed" in said
        self._failed = said.get("failed", self._failed)
        if "ready" in said:
            self._asked = True
            self._hand_over()

    def _listen(self) -> None:
        if self._murmur is not None and not self._murmur.listen():
            asyncio.get_running_loop().remove_reader(self._murmur)

    def _ended(self) -> None:
        """See why it has ended: closed by its user, failed, killed, or nothing to draw on."""
        self._let_go()
        process, self._process = self._process, None
        if process is None:
            return
        code = _reaped(process)
        reason = self._last_words() or ending(code)
        if self._opened is not None and not self._opened.done():
            self._opened.set_result(reason)
        elif not (self.closed or self._failed) and code:
            if not self._left:
                self._failed = f"the process that draws {ending(code)} again and again: {reason}"
                return
            self._left -= 1
            log.warning('msg="the process that draws %s, is started again"', ending(code))
            self._start()

    def _last_words(self) -> str:
        murmur, self._murmur = self._murmur, None
        if murmur is None:
            return ""
        while murmur.waits and murmur.listen():
            pass
        murmur.close()
        said = murmur.lines or [""]
        # An exception's message stands last, what Qt itself has to say first.
        return said[-1] if any(line.startswith("Traceback") for line in said) else said[0]

    def _let_go(self) -> None:
        loop = asyncio.get_running_loop()
        if self._murmur is not None:
            loop.remove_reader(self._murmur)
        if self._channel is not None:
            loop.remove_reader(self._channel)
            self._channel.close()
            self._channel = None
        self._asked = False

    async def close(self) -> None:
        """Let it draw what is not yet drawn, and end.

        Raises
        ------
        DrawingFailed
            When the last picture could not be saved.
        """
        process = self._process
        if process is not None:
            more = {"lent": self._lend()} if self._newest.is_fresh else {}
            self._send(**more, end=True)
            try:
                async with asyncio.timeout(_FINISH_S):
                    await exited(process)
            except TimeoutError:
                log.warning('msg="the window does not answer: closed" pid=%d', process.pid)
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            self._hear_the_rest()
            self._process = None
        self._let_go()
        self._last_words()
        self._newest.close()
        if self._failed:
            raise DrawingFailed(self._failed)

    def _hear_the_rest(self) -> None:
        while self._channel is not None:
            self._process = None  # its end is known: it is not to be started again
            self._hear()


def _reaped(process: subprocess.Popen[bytes]) -> int:
    """Return the exit code of a process that has hung up, and so is about to end."""
    try:
        return process.wait(_END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()
