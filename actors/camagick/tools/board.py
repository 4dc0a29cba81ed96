"""All panels of a figure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from camagick.tools.panels import Panel, kind_of
from camagick.tools.panelspec import Style

if TYPE_CHECKING:
    from collections.abc import Mapping

    from camagick.tools.panels import Curve

_PLAIN = Style()


def layout(count: int) -> tuple[int, int]:
    """Return rows and columns for `count` panels."""
    rows = max(1, math.ceil(math.sqrt(count)))
    return rows, max(1, math.ceil(count / rows))


class Board:
    """All panels of a figure, arranged in the order in which their tags came first.

    Parameters
    ----------
    figure
        The matplotlib figure.
    styles
        What panels of certain tags shall show, and how; the others show what suits their values.
    x
        Tag that lines are drawn over, '' for none.
    grid
        Rows and columns, None where they follow the number of panels.
    animated
        Whether the content of panels is drawn apart from their frames, as a window does.
    """

    def __init__(
        self, figure: Any, styles: Mapping[str, Style], x: str = "",
        grid: tuple[int, int] | None = None, *, animated: bool = False,
    ) -> None:  # fmt: skip
        self._figure, self._styles = figure, dict(styles)
        self._x, self._grid = x, grid
        self._animated = animated
        self._panels: dict[str, Panel] = {}
        self._values: dict[str, Any] = {}
        self._curves: dict[str, Curve] = {}

    @property
    def kinds(self) -> dict[str, str]:
        """What every panel shows at present, by tag."""
        return {tag: panel.kind for tag, panel in self._panels.items()}

    @property
    def panels(self) -> list[Panel]:
        """All of them."""
        return list(self._panels.values())

    def show(
        self, values: Mapping[str, Any], units: Mapping[str, str], curves: Mapping[str, Curve]
    ) -> bool:
        """Draw new values; a tag that has none this time keeps its picture.

        Returns
        -------
        bool
            Whether more than the content of panels has changed: a frame, an axis, a colour bar.
        """
        self._values.update(values)
        self._curves.update(curves)
        wanted = {
            tag: self._kind(tag, value) for tag, value in self._values.items() if tag != self._x
        }
        if wanted != self.kinds:
            self._arrange(wanted, units)
            values = self._values
        return self._draw(values)

    def again(self) -> bool:
        """Draw what is there once more, after its look was changed; returns as `show` does."""
        return self._draw(self._values)

    def restyle(self, **changes: Any) -> None:
        """Let all panels look otherwise: fields of their `Style`; seen when they are drawn."""
        for panel in self.panels:
            panel.style = panel.style._replace(**changes)

    def _draw(self, values: Mapping[str, Any]) -> bool:
        for tag, value in values.items():
            if tag in self._panels:
                self._panels[tag].show(value, self._curves.get(tag), self._values.get(self._x))
        changed = any(panel.changed for panel in self.panels)
        for panel in self.panels:
            panel.changed = False
        return changed

    def _kind(self, tag: str, value: Any) -> str:
        suited, wished = kind_of(value), self._styles.get(tag, _PLAIN).kind
        possible = {"history": ("line",), "image": ("line",)}.get(suited, ())
        return wished if wished == "text" or wished in possible else suited

    def _arrange(self, kinds: Mapping[str, str], units: Mapping[str, str]) -> None:
        """Start all panels anew: there are more of them, or one shows something else."""
        styles = {**self._styles, **{tag: one.style for tag, one in self._panels.items()}}
        self._figure.clear()
        rows, columns = self._grid or layout(len(kinds))
        rows = max(rows, -(-len(kinds) // columns))  # no panel is left out
        self._panels = {
            tag: Panel(
                self._figure.add_subplot(rows, columns, n), tag, units.get(tag, ""), kind,
                styles.get(tag), animated=self._animated,
            )
            for n, (tag, kind) in enumerate(kinds.items(), start=1)
        }  # fmt: skip
        below = f"{self._x} [{units[self._x]}]" if units.get(self._x) else self._x
        for panel in self._panels.values():
            if below and panel.kind == "line":
                panel.axes.set_xlabel(below)
