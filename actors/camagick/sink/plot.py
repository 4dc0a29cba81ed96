"""Sink ``--to-plot``: a window that shows the newest data."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from camagick.data import Data
from camagick.errors import BadOption, CamagickError, MissingExtra
from camagick.processor import EndOfData, ProcessorBase, Role
from camagick.tools.canvas import NoWindow, Paper, Window, save, wants_window
from camagick.tools.panels import KINDS, Board, History, kind_of
from camagick.tools.url import BadUrl, Template

if TYPE_CHECKING:
    from camagick.service.webplot import WebPlot

log = logging.getLogger(__name__)

_FORMATS = ("png", "svg", "pdf", "jpg", "jpeg", "webp")
#: Seconds between two looks at what the mouse does.
_PUMP = 0.03


class PlotError(CamagickError):
    """The picture cannot be drawn or saved."""


class Processor(ProcessorBase):
    r"""Show the newest data in a window, one panel for each tag.

    Numbers are drawn as a history, 1-D arrays as a line, 2-D arrays as an
    image with a colour bar. Texts and arrays of more dimensions show as a
    text. Only the newest data is drawn, so a slow screen does not slow the
    pipeline; a number's history has all of its values.

    Closing the window ends the run where there is no other sink, and only
    the drawing otherwise. Without a screen nothing is shown:
    ``file=plot.png`` saves pictures instead.

    Parameters
    ----------
    file : str, default ''
        Save every picture here (png, svg, pdf, jpg, webp). ``{seq}`` is its
        number, ``{seq:04d}`` with zeros in front; without it the newest
        picture replaces the one before.
    Hz : float, default 10
        How many times a second to draw at most.
    web : str, default ''
        Show it as a page in a browser instead of a window, at this port of the
        loopback, or at HOST:PORT. Anybody who reaches that port can look.
    x : str, default ''
        Tag that the others are drawn over, where they have as many elements:
        ``x=energy``. It has no panel of its own.
    layout : str, default ''
        Rows and columns of the panels: ``layout=1x3``.
    **panels : str
        For a tag, what to show it as: ``auto``, ``line``, ``image``,
        ``history`` or ``text``, where its values allow it.

    Examples
    --------
    A spectrum, live::

        caspy --from-epics EXAMPLE:jedda --to-plot

    In a browser at http://127.0.0.1:8080/::

        caspy --from-epics EXAMPLE:jedda --to-plot web=8080

    As an image, into a file that a web page shows, once a second::

        caspy --from-epics EXAMPLE:jedda --reshape 64 32 \
              --to-plot file=live.png Hz=1
    """

    role: Role = "sink"
    at_home = True
    keeps_frames: ClassVar[bool] = True
    stateful: ClassVar[bool] = True
    requires: ClassVar[tuple[str, ...]] = ("matplotlib",)
    extra: ClassVar[str] = "plot"

    def __init__(
        self,
        *,
        file: str = "",
        Hz: float = 10.0,  # noqa: N803
        web: str = "",
        x: str = "",
        layout: str = "",
        **panels: str,
    ) -> None:
        if x in KINDS:  # a tag may be called x, too
            panels, x = {**panels, "x": x}, ""
        self._x, self._grid = str(x or ""), _grid(str(layout or ""))
        self._file = _picture(str(file or ""))
        self._web = str(web or "")
        self._page: WebPlot | None = None
        try:
            self._period = 1.0 / float(Hz)
        except (TypeError, ValueError, ZeroDivisionError):
            self._period = -1.0
        if not self._period > 0:
            raise BadOption(f"plot: Hz={Hz!r}: how many pictures a second, more than 0")
        for tag, kind in panels.items():
            if kind not in KINDS:
                raise BadOption(f"plot: {tag}={kind!r}: use one of {', '.join(KINDS)}")
        self._kinds = panels
        self._values: dict[str, Any] = {}
        self._units: dict[str, str] = {}
        self._histories: dict[str, History] = {}
        self._seq = 0
        self._canvas: Paper | None = None
        self._board: Board | None = None
        self._drawing: asyncio.Task[None] | None = None

    async def startup(self) -> None:
        """Open the window, or the page, and start to draw."""
        if self._web:
            from camagick.service.webplot import WebPlot

            self._page = WebPlot(self._web, self._period)
            await self._page.open()
            log.info('msg="a page shows it" url=%s', self._page.url)
            if self._file is None:
                return
        try:
            import matplotlib  # noqa: F401, ICN001 - only whether it is there
        except ImportError:
            raise MissingExtra("plot", "matplotlib", "plot") from None
        self._canvas = self._open()
        self._board = Board(self._canvas.figure, self._kinds, self._x, self._grid)
        # A task of this object and of no group: it lives from startup to shutdown, which are two
        # calls, and shutdown ends it and waits for it. Its failure is raised by the next call.
        self._drawing = asyncio.get_running_loop().create_task(self._draw_on())

    async def shutdown(self) -> None:
        """Draw what is not yet drawn, and close the window and the page."""
        page, self._page = self._page, None
        if page is not None:
            await page.close()
        drawing, self._drawing = self._drawing, None
        if drawing is None:
            return
        finished = drawing.done()
        drawing.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await drawing  # what went wrong there has been raised by a call
        if self._canvas is None:
            return
        if not finished and self._values and not self._canvas.closed:
            self._draw()
        self._canvas.close()

    async def __call__(self, data: Any = None, context: Any = None) -> None:
        """Note the newest data; it is drawn when its time has come."""
        if self._canvas is not None and self._canvas.closed:
            if self.placement.only_sink:
                raise EndOfData("the window was closed")
            return
        if self._drawing is not None and self._drawing.done():
            self._drawing.result()
        given = Data.of(data)
        if self._page is not None:
            self._page.show(given, self.seq)
            if self._canvas is None:
                return
        for tag, value in given.items():
            # On the bus a copy is handed over; in one process the array is still its maker's.
            alone = self.placement.run_dir or not isinstance(value, np.ndarray)
            self._values[tag] = value if alone else value.copy()
            self._units[tag] = str(given.attributes(tag).get("units") or "")
            if kind_of(value) == "history":
                self._histories.setdefault(tag, History()).add(value)

    def _open(self) -> Paper:
        """Return a window where one can be had, else something to draw on."""
        backend = os.environ.get("MPLBACKEND", "").lower()
        if backend == "agg" or (self._file and (self._web or not wants_window())):
            return Paper()
        if not wants_window():
            log.warning('msg="no display: nothing to show; file=plot.png draws to a file"')
            return Paper()
        try:
            return Window("caspy")
        except NoWindow as error:
            log.warning('msg="no window: nothing to show" reason="%s"', error)
            return Paper()

    async def _draw_on(self) -> None:
        """Draw what is new, at most so often, and keep the window alive in between."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while self._canvas is not None and not self._canvas.closed:
            if self._values and loop.time() >= due:
                started = loop.time()
                self._draw()
                # Drawing that takes long must leave as much time for the data to come in.
                due = max(started + self._period, 2 * loop.time() - started)
            self._canvas.pump()
            await asyncio.sleep(_PUMP)

    def _draw(self) -> None:
        if self._canvas is None or self._board is None:
            return
        values, self._values = self._values, {}
        self._board.show(values, self._units, self._histories)
        self._canvas.draw()
        if self._file is not None:
            path = self._file.fill({"seq": self._seq})
            try:
                save(self._canvas.figure, path)
            except OSError as error:
                raise PlotError(f"plot: {path}: {error.strerror or error}") from error
        log.debug('msg="drawn" seq=%d tags=%s', self._seq, ",".join(values))
        self._seq += 1


def _grid(text: str) -> tuple[int, int] | None:
    """Return rows and columns, None where they follow the number of panels."""
    if not text:
        return None
    rows, cross, columns = text.partition("x")
    if not (cross and rows.isdecimal() and columns.isdecimal() and int(rows) and int(columns)):
        raise BadOption(f"plot: layout={text!r} is not of the form ROWSxCOLUMNS, such as 2x3")
    return int(rows), int(columns)


def _picture(text: str) -> Template | None:
    """Return the name of the picture file, None where there is to be none."""
    if not text:
        return None
    try:
        name = Template(text)
    except BadUrl as error:
        raise BadOption(f"plot: file={error}") from None
    if name.fields - {"seq"}:
        raise BadOption(f"plot: file={text!r}: only {{seq}} can stand in braces")
    if text.rpartition(".")[2].lower() not in _FORMATS:
        raise BadOption(f"plot: file={text!r}: has to end in one of .{', .'.join(_FORMATS)}")
    return name
