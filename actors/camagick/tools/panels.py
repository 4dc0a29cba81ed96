"""Pictures of arrays: one panel of a matplotlib figure for each tag."""

from __future__ import annotations

import math
import time
from collections import deque
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

#: What a panel can show, beside 'auto'.
KINDS = ("auto", "history", "line", "image", "text")
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


def layout(count: int) -> tuple[int, int]:
    """Return rows and columns for `count` panels."""
    rows = max(1, math.ceil(math.sqrt(count)))
    return rows, max(1, math.ceil(count / rows))


class History:
    """The last values of a number, and when they came."""

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=HISTORY)
        self._values: deque[float] = deque(maxlen=HISTORY)

    def add(self, value: Any) -> None:
        """Note a value that came just now."""
        self._times.append(time.monotonic())
        self._values.append(float(_real(value).reshape(-1)[0]))

    def curve(self) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
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
    """

    def __init__(self, axes: Any, tag: str, units: str, kind: str) -> None:
        self.axes, self.tag, self.kind = axes, tag, kind
        self._artist: Any = None
        self._bar: Any = None
        title = axes.set_title(f"{tag} [{units}]" if units else tag, fontsize="medium")
        title.set_parse_math(False)  # a '$' in a name is a '$'
        if kind == "history":
            axes.set_xlabel("seconds")
        elif kind == "text":
            axes.set_axis_off()

    def show(self, value: Any, history: History | None, x: Any = None) -> None:
        """Draw a value in place of the one before; a line over `x`, if that is as long."""
        if self.kind == "image":
            self._show_image(_thin(_real(value)))
        elif self.kind == "text":
            self._show_text(value)
        elif history is not None and self.kind == "history":
            self._show_line(*history.curve())
        else:
            curve = _real(value).reshape(-1)
            over = None if x is None else _real(x).reshape(-1)
            fits = over is not None and over.size == curve.size
            self._show_line(over if over is not None and fits else np.arange(curve.size), curve)

    def _show_line(self, x: np.ndarray[Any, Any], y: np.ndarray[Any, Any]) -> None:
        if self._artist is None:
            style = {"marker": "."} if self.kind == "history" else {}
            (self._artist,) = self.axes.plot(x, y, label=self.tag, linewidth=1, **style)
            if not self.tag.startswith("_"):  # matplotlib hides those from legends, and warns
                # A fixed corner: looking for the best one takes longer than drawing.
                self.axes.legend(loc="upper right")
        self._artist.set_data(x, y)
        self.axes.relim()
        self.axes.autoscale_view()

    def _show_image(self, image: np.ndarray[Any, Any]) -> None:
        if self._artist is None or self._artist.get_array().shape != image.shape:
            self._start_image(image)
        self._artist.set_data(image)
        seen = image[np.isfinite(image)]
        if seen.size:
            low, high = float(seen.min()), float(seen.max())
            self._artist.set_clim(low, high if high > low else low + 1.0)

    def _start_image(self, image: np.ndarray[Any, Any]) -> None:
        if self._bar is not None:
            self._bar.remove()
            self._artist.remove()
        height, width = image.shape
        # Square pixels, except where the picture would be a thin strip.
        square = max(height, width) <= 4 * min(height, width)
        self._artist = self.axes.imshow(
            image, aspect="equal" if square else "auto", interpolation="nearest"
        )
        self._bar = self.axes.figure.colorbar(self._artist, ax=self.axes)

    def _show_text(self, value: Any) -> None:
        if self._artist is None:
            where = {"transform": self.axes.transAxes, "ha": "center", "va": "center"}
            self._artist = self.axes.text(0.5, 0.5, "", wrap=True, **where)
            self._artist.set_parse_math(False)  # a '$' in a text is a '$'
        self._artist.set_text(_summary(value))


def _thin(image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return an image that is no finer than a screen."""
    rows, columns = (max(1, -(-side // SIDE)) for side in image.shape)
    return image[::rows, ::columns]


def _summary(value: Any) -> str:
    try:
        array = np.asarray(value)
    except ValueError:
        return str(value)[:200]
    if array.ndim == 0:
        return str(value)[:200]
    return f"shape={array.shape}\n{array.dtype}"


class Board:
    """All panels of a figure, arranged in the order in which their tags came first.

    Parameters
    ----------
    figure
        The matplotlib figure.
    kinds
        What panels of certain tags shall show; the others show what suits their values.
    x
        Tag that lines are drawn over, '' for none.
    grid
        Rows and columns, None where they follow the number of panels.
    """

    def __init__(
        self,
        figure: Any,
        kinds: Mapping[str, str],
        x: str = "",
        grid: tuple[int, int] | None = None,
    ) -> None:
        self._figure, self._kinds = figure, kinds
        self._x, self._grid = x, grid
        self._panels: dict[str, Panel] = {}
        self._values: dict[str, Any] = {}

    @property
    def kinds(self) -> dict[str, str]:
        """What every panel shows at present, by tag."""
        return {tag: panel.kind for tag, panel in self._panels.items()}

    def show(
        self, values: Mapping[str, Any], units: Mapping[str, str], histories: Mapping[str, History]
    ) -> None:
        """Draw new values; a tag that has none this time keeps its picture."""
        self._values.update(values)
        wanted = {
            tag: self._kind(tag, value) for tag, value in self._values.items() if tag != self._x
        }
        if wanted != self.kinds:
            self._arrange(wanted, units)
            values = self._values
        for tag, value in values.items():
            if tag != self._x:
                self._panels[tag].show(value, histories.get(tag), self._values.get(self._x))

    def _kind(self, tag: str, value: Any) -> str:
        suited, wished = kind_of(value), self._kinds.get(tag, "auto")
        possible = {"history": ("line",), "image": ("line",)}.get(suited, ())
        return wished if wished == "text" or wished in possible else suited

    def _arrange(self, kinds: Mapping[str, str], units: Mapping[str, str]) -> None:
        """Start all panels anew: there are more of them, or one shows something else."""
        self._figure.clear()
        rows, columns = self._grid or layout(len(kinds))
        rows = max(rows, -(-len(kinds) // columns))  # no panel is left out
        self._panels = {
            tag: Panel(self._figure.add_subplot(rows, columns, n), tag, units.get(tag, ""), kind)
            for n, (tag, kind) in enumerate(kinds.items(), start=1)
        }
        below = f"{self._x} [{units[self._x]}]" if units.get(self._x) else self._x
        for panel in self._panels.values():
            if below and panel.kind == "line":
                panel.axes.set_xlabel(below)
