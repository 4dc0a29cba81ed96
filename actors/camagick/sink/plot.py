"""Sink ``--to-plot``: a window that shows the newest data."""

from __future__ import annotations

import contextlib
import logging
import os
from typing import TYPE_CHECKING, Any, ClassVar

from camagick.data import Data
from camagick.errors import BadOption, CamagickError, MissingExtra
from camagick.processor import EndOfData, ProcessorBase, Role
from camagick.tools.canvas import wants_window
from camagick.tools.panelspec import KINDS, BadStyle, Style
from camagick.tools.url import BadUrl, Template

if TYPE_CHECKING:
    from collections.abc import Iterator

    from camagick.service.webplot import WebPlot
    from camagick.tools.drawing import Drawing

log = logging.getLogger(__name__)

_FORMATS = ("png", "svg", "pdf", "jpg", "jpeg", "webp", "mp4")
#: No screen, and nobody's eye, gains by more pictures a second.
_MOST_HZ = 30.0


class PlotError(CamagickError):
    """The picture cannot be drawn or saved."""


@contextlib.contextmanager
def _named() -> Iterator[None]:
    """Say that it is this sink that cannot draw."""
    from camagick.tools.drawing import DrawingFailed

    try:
        yield
    except DrawingFailed as error:
        raise PlotError(f"plot: {error}") from None


class Processor(ProcessorBase):
    r"""Show the newest data in a window, one panel for each tag.

    Numbers are drawn as a history, 1-D arrays as a line, 2-D arrays as an
    image with a colour bar. Texts and arrays of more dimensions show as a
    text. Only the newest data is drawn, by a process of its own: a slow, or
    stopped, window does not slow the pipeline. A number's history has all of
    its values. The window pans, zooms, saves and pauses.

    Closing the window ends the run where there is no other sink, and only
    the drawing otherwise. Without a screen nothing is shown:
    ``file=plot.png`` saves pictures instead.

    Parameters
    ----------
    file : str, default ''
        Save every picture here (png, svg, pdf, jpg, webp), or all of them as
        a film (mp4). ``{seq}`` is the number of the picture, ``{seq:04d}``
        with zeros in front; without it the newest picture replaces the one
        before. Of a film it is the number of the part: a new one begins after
        3333 pictures.
    Hz : float, default 30
        How many times a second to draw at most, up to 30; how fast a film is
        played.
    web : str, default ''
        Show it as a page in a browser instead of a window, at this port of the
        loopback, or at HOST:PORT. Anybody who reaches that port can look.
    x : str, default ''
        Tag that the others are drawn over, where they have as many elements:
        ``x=energy``. It has no panel of its own.
    layout : str, default ''
        Rows and columns of the panels: ``layout=1x3``.
    **panels : str
        For a tag, words between commas. What to show it as: ``auto``,
        ``line``, ``image``, ``history`` or ``text``, where its values allow
        it; ``log`` for a log scale of colours or values; levels where this
        scale begins and ends, ``0:100``, ``:100``; ``equal`` for square
        pixels, ``free`` for an image that fills its panel.

    Examples
    --------
    A spectrum, live::

        caspy --from-epics EXAMPLE:jedda --to-plot

    In a browser at http://127.0.0.1:8080/::

        caspy --from-epics EXAMPLE:jedda --to-plot web=8080

    As an image with levels, into a file that a web page shows, once a second::

        caspy --from-epics EXAMPLE:jedda --reshape 64 32 \
              --to-plot file=live.png Hz=1 EXAMPLE_jedda=log,0.1:1

    A film of it::

        caspy --from-epics EXAMPLE:jedda --reshape 64 32 \
              --to-plot file=scan-{seq}.mp4 Hz=10
    """

    role: Role = "sink"
    at_home = True
    stateful: ClassVar[bool] = True
    requires: ClassVar[tuple[str, ...]] = ("matplotlib",)
    extra: ClassVar[str] = "plot"

    def __init__(
        self,
        *,
        file: str = "",
        Hz: float = _MOST_HZ,  # noqa: N803
        web: str = "",
        x: str = "",
        layout: str = "",
        **panels: str,
    ) -> None:
        if _is_style(x):  # a tag may be called x, too
            panels, x = {**panels, "x": x}, ""
        self._x, self._grid = str(x or ""), _grid(str(layout or ""))
        self._file = _picture(str(file or ""))
        self._web = str(web or "")
        try:
            self._period = 1.0 / min(float(Hz), _MOST_HZ)
        except (TypeError, ValueError, ZeroDivisionError):
            self._period = -1.0
        if not self._period > 0:
            raise BadOption(f"plot: Hz={Hz!r}: how many pictures a second, more than 0")
        self._styles = {tag: _style(tag, text) for tag, text in panels.items()}
        self._page: WebPlot | None = None
        self._drawing: Drawing | None = None

    async def startup(self) -> None:
        """Open the window, or the page."""
        if self._web:
            from camagick.service.webplot import WebPlot

            self._page = WebPlot(self._web, self._period, self._styles, self._x, self._grid)
            await self._page.open()
            log.info('msg="a page shows it" url=%s', self._page.url)
            if not self._file:
                return
        window, quiet = self._wants_window()
        if not (window or quiet or self._file):
            log.warning('msg="no display: nothing to show; file=plot.png draws to a file"')
            return
        await self._open(window=window)

    def _wants_window(self) -> tuple[bool, bool]:
        """Tell whether to open a window, and whether that is not wanted at all (Agg)."""
        quiet = os.environ.get("MPLBACKEND", "").lower() == "agg"
        return wants_window() and not quiet and not (self._file and self._web), quiet

    async def _open(self, *, window: bool) -> None:
        """Start to draw."""
        from importlib.util import find_spec

        if find_spec("matplotlib") is None:
            raise MissingExtra("plot", "matplotlib", "plot")
        if self._file.lower().endswith(".mp4"):
            _check_film()
        from camagick.tools.drawing import Drawing, Look

        drawing = Drawing(Look(window, self._file, self._period, self._styles, self._x, self._grid))
        self._drawing = drawing
        with _named():
            reason = await drawing.open()
        if reason:
            log.warning('msg="no window: nothing to show" reason="%s"', reason)
            if self._file:  # draw that at least
                self._drawing = None
                with _named():
                    await drawing.close()
                await self._open(window=False)

    async def shutdown(self) -> None:
        """Draw what is not yet drawn, and close the window and the page."""
        page, self._page = self._page, None
        if page is not None:
            await page.close()
        drawing, self._drawing = self._drawing, None
        if drawing is not None:
            with _named():
                await drawing.close()

    async def __call__(self, data: Any = None, context: Any = None) -> None:
        """Note the newest data; it is drawn when its time has come."""
        if self._drawing is not None and self._drawing.closed:
            if self.placement.only_sink and self._page is None:
                raise EndOfData("the window was closed")
        elif self._drawing is not None:
            given = Data.of(data)
            units = {tag: str(given.attributes(tag).get("units") or "") for tag in given}
            with _named():
                self._drawing.show(given, units)
        if self._page is not None:
            self._page.show(Data.of(data), self.seq)


def _is_style(text: Any) -> bool:
    words = str(text or "").split(",")
    return bool(text) and any(word in (*KINDS, "log") for word in words)


def _style(tag: str, text: str) -> Style:
    """Return how a panel shall look."""
    try:
        return Style.parse(text)
    except BadStyle as error:
        raise BadOption(f"plot: {tag}={text!r}: {error}") from None


def _check_film() -> None:
    from camagick.tools.film import NoFfmpeg, ffmpeg

    try:
        ffmpeg()
    except NoFfmpeg as error:
        raise BadOption(f"plot: file=: {error}") from None


def _grid(text: str) -> tuple[int, int] | None:
    """Return rows and columns, None where they follow the number of panels."""
    if not text:
        return None
    rows, cross, columns = text.partition("x")
    if not (cross and rows.isdecimal() and columns.isdecimal() and int(rows) and int(columns)):
        raise BadOption(f"plot: layout={text!r} is not of the form ROWSxCOLUMNS, such as 2x3")
    return int(rows), int(columns)


def _picture(text: str) -> str:
    """Return the name of the picture file, '' where there is to be none."""
    if not text:
        return ""
    try:
        name = Template(text)
    except BadUrl as error:
        raise BadOption(f"plot: file={error}") from None
    if name.fields - {"seq"}:
        raise BadOption(f"plot: file={text!r}: only {{seq}} can stand in braces")
    if text.rpartition(".")[2].lower() not in _FORMATS:
        raise BadOption(f"plot: file={text!r}: has to end in one of .{', .'.join(_FORMATS)}")
    return text
