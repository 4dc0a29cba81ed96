"""Pictures of arrays: what one panel of a matplotlib figure shows of a tag."""

from __future__ import annotations

import math
import time
from collections import deque
from typing import TYPE_CHECKING, Any

import numpy as np

from camagick.tools.panelspec import Style
from camagick.tools.scales import lasting, span

if TYPE_CHECKING:
    Curve = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]

#: Values of a history that are kept, and the longest side of an image that is drawn.
HISTORY, SIDE = 2000, 2048


def kind_of(value: Any) -> str:
    """Return what suits a value: 'history', 'line', 'image' or 'text'."""
    try:
        array = np.asarray(value)
    except ValueError:  # rows of different lengths
        return "text"
    if array.dtype.kind not in "biufc" or array.size == 0:
        return "text"
    if array.ndim == 1:
        return "history" if array.size == 1 else "line"
    return {0: "history", 2: "image"}.get(array.ndim, "text")


class History:
    """The last values of a number, and when they came."""

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=HISTORY)
        self._values: deque[float] = deque(maxlen=HISTORY)

    def add(self, value: Any) -> None:
        """Note a value that came just now."""
        self._times.append(time.monotonic())
        self._values.append(float(_real(value).reshape(-1)[0]))

    def curve(self) -> Curve:
        """Return seconds before the newest value, and the values."""
        times = np.array(self._times)
        return times - (times[-1] if times.size else 0.0), np.array(self._values)


def _real(value: Any) -> np.ndarray[Any, Any]:
    """Return numbers that can be drawn: magnitudes of complex ones, 0 and 1 of booleans."""
    array: np.ndarray[Any, Any] = np.asarray(value)
    if array.dtype.kind == "c":
        array = np.abs(array)
    return array.astype(float) if array.dtype.kind == "b" else array


class Panel:
    """What one tag looks like.

    Parameters
    ----------
    axes
        Where to draw.
    tag, units
        What stands above.
    kind
        One of `KINDS`, but not 'auto'.
    style
        How it is to look.
    animated
        Whether its content is drawn apart from its frame, as a window does.

    Attributes
    ----------
    style
        May be changed at any time: it counts from the next drawing on.
    held
        Whether limits stay as they are, whatever the values.
    changed
        Whether more than its content has changed since this was set to False.
    """

    def __init__(
        self, axes: Any, tag: str, units: str, kind: str, style: Style | None = None,
        *, animated: bool = False,
    ) -> None:  # fmt: skip
        self.axes, self.tag, self.kind = axes, tag, kind
        self.style = style or Style()
        self.held, self.changed = False, True
        self._animated = animated
        self._artist: Any = None
        self._bar: Any = None
        self._scale: tuple[Any, ...] = ()
        title = axes.set_title(f"{tag} [{units}]" if units else tag, fontsize="medium")
        title.set_parse_math(False)  # a '$' in a name is a '$'
        if kind == "history":
            axes.set_xlabel("seconds")
        elif kind == "text":
            axes.set_axis_off()

    def artists(self) -> list[Any]:
        """Return what is drawn apart from its frame."""
        return [self._artist] if self._animated and self._artist is not None else []

    def show(self, value: Any, curve: Curve | None = None, x: Any = None) -> None:
        """Draw a value in place of the one before; a line over `x`, if that is as long."""
        if self.kind == "image":
            self._show_image(_real(value))
        elif self.kind == "text":
            self._show_text(value)
        elif curve is not None and self.kind == "history":
            self._show_line(*curve)
        else:
            line = _real(value).reshape(-1)
            over = None if x is None else _real(x).reshape(-1)
            fits = over is not None and over.size == line.size
            self._show_line(over if over is not None and fits else np.arange(line.size), line)

    def _show_line(self, x: np.ndarray[Any, Any], y: np.ndarray[Any, Any]) -> None:
        if self._artist is None:
            style = {"marker": "."} if self.kind == "history" else {}
            (self._artist,) = self.axes.plot(
                x, y, label=self.tag, linewidth=1, animated=self._animated, **style
            )
            if not self.tag.startswith("_"):  # matplotlib hides those from legends, and warns
                # A fixed corner: looking for the best one takes longer than drawing.
                self.axes.legend(loc="upper right")
        self._artist.set_data(x, y)
        restyled = self._rescale()
        # Where somebody has zoomed in, matplotlib has turned the following of the data off.
        if self.axes.get_autoscalex_on():
            before = self.axes.get_xlim() if self._animated else None
            self._limit("x", lasting(x, before) if self.kind == "history" else span(x))
        if restyled or (self.axes.get_autoscaley_on() and not self.held):
            before = self.axes.get_ylim() if self._animated and not restyled else None
            self._limit("y", span(y, self.style, margin=0.05, before=before))

    def _limit(self, axis: str, wanted: tuple[float, float]) -> None:
        if tuple(getattr(self.axes, f"get_{axis}lim")()) != wanted:
            getattr(self.axes, f"set_{axis}lim")(*wanted, auto=True)
            self.changed = True

    def _rescale(self) -> bool:
        """Give a line the scale of its style, if that is new; tell whether it is."""
        if self._scale == (self.style,):
            return False
        self._scale, self.changed = (self.style,), True
        options = {"nonpositive": "mask"} if self.style.log else {}
        self.axes.set_yscale("log" if self.style.log else "linear", **options)
        return True

    def _show_image(self, full: np.ndarray[Any, Any]) -> None:
        image = _thin(full, *self._pixels(full.shape))
        height, width = full.shape
        if self._artist is None or self._scale != (self.style, full.shape):
            self._start_image(image, height, width)
        self._artist.set_data(image)
        if not self.held:
            before = self._artist.get_clim() if self._animated else None
            wanted = span(image, self.style, before=before)
            if wanted != self._artist.get_clim():
                self._artist.set_clim(*wanted)
                self.changed = True

    def _pixels(self, shape: tuple[int, int]) -> tuple[float, float]:
        """Return how many rows and columns of an image of that shape fit to what is seen of it."""
        if not self._animated or self._artist is None:
            return SIDE, SIDE
        seen = [abs(to - at) for at, to in (self.axes.get_ylim(), self.axes.get_xlim())]
        room = (self.axes.bbox.height, self.axes.bbox.width)
        return tuple(
            min(SIDE, max(1.0, size / max(1.0, part) * pixels))
            for size, part, pixels in zip(shape, seen, room, strict=True)
        )

    def _start_image(self, image: np.ndarray[Any, Any], height: int, width: int) -> None:
        from matplotlib.colors import LogNorm, Normalize

        if self._bar is not None:
            self._bar.remove()
            self._artist.remove()
        # Square pixels, except where the picture would be a thin strip.
        strip = max(height, width) > 4 * min(height, width)
        aspect = {"equal": "equal", "free": "auto", "": "auto" if strip else "equal"}
        low, high = span(image, self.style)
        self._artist = self.axes.imshow(
            image, aspect=aspect[self.style.aspect], interpolation="nearest",
            norm=(LogNorm if self.style.log else Normalize)(low, high),
            extent=(-0.5, width - 0.5, height - 0.5, -0.5), animated=self._animated,
        )  # fmt: skip
        self._bar = self.axes.figure.colorbar(self._artist, ax=self.axes)
        self._scale = (self.style, (height, width))
        self.changed = True

    def _show_text(self, value: Any) -> None:
        if self._artist is None:
            where = {"transform": self.axes.transAxes, "ha": "center", "va": "center"}
            self._artist = self.axes.text(0.5, 0.5, "", wrap=True, animated=self._animated, **where)
            self._artist.set_parse_math(False)  # a '$' in a text is a '$'
        self._artist.set_text(summary(value))


def _thin(image: np.ndarray[Any, Any], rows: float, columns: float) -> np.ndarray[Any, Any]:
    """Return an image that is no finer than a screen: at most so many rows and columns."""
    steps = [
        max(1, math.ceil(side / most))
        for side, most in zip(image.shape, (rows, columns), strict=True)
    ]
    return image[:: steps[0], :: steps[1]]


def summary(value: Any) -> str:
    """Return what is said of a value that cannot be drawn."""
    try:
        array = np.asarray(value)
    except ValueError:
        return str(value)[:200]
    if array.ndim == 0:
        return str(value)[:200]
    return f"shape={array.shape}\n{array.dtype}"
