"""The drawing process of `--to-plot`, which tells of each picture what is on the screen.

Started in place of the real one: it is the real one, with a look over its shoulder.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from camagick.tools import painter
from camagick.tools.painter import Painter

TARGET = "GRABBED"


class Watched(Painter):
    """Writes the pixels of the window, and what its panels say of themselves."""

    def tell(self, **what: Any) -> None:
        if "drawn" in what:
            self._canvas.pump()
            folder = Path(os.environ[TARGET])
            window = self._canvas.figure.canvas.window()
            window.grab().save(str(folder / "window.png"))
            draft = folder / ".said"
            draft.write_text(json.dumps(self._seen(window)))
            draft.rename(folder / "seen.json")
            for name in (
                (folder / "click").read_text().split() if (folder / "click").exists() else ()
            ):
                (folder / "click").unlink()
                toolbar = self._canvas.figure.canvas.manager.toolbar
                next(one for one in toolbar.actions() if one.text() == name).trigger()
        super().tell(**what)

    def _click(self, names: Path) -> None:
        """Press the buttons that a test has named in a file."""
        if names.exists():
            toolbar = self._canvas.figure.canvas.manager.toolbar
            wanted = names.read_text().split()
            names.unlink()
            for action in toolbar.actions():
                if action.text() in wanted:
                    action.trigger()

    def _seen(self, window: Any) -> dict[str, Any]:
        canvas = self._canvas.figure.canvas
        left = canvas.mapTo(window, canvas.rect().topLeft())
        height = self._canvas.figure.bbox.height
        panels = {}
        for panel in self._board.panels:
            box = panel.axes.bbox
            panels[panel.tag] = {
                "kind": panel.kind, "title": panel.axes.get_title(),
                "scale": panel.axes.get_yscale(), "below": panel.axes.get_xlabel(),
                "legend": panel.axes.get_legend() is not None,
                "norm": [type(image.norm).__name__ for image in panel.axes.images],
                "limits": [list(image.get_clim()) for image in panel.axes.images],
                "bars": [image.colorbar is not None for image in panel.axes.images],
                "box": [left.x() + box.x0, left.y() + height - box.y1,
                        left.x() + box.x1, left.y() + height - box.y0],
            }  # fmt: skip
        actions = [one.text() for one in canvas.manager.toolbar.actions() if one.text()]
        return {"panels": panels, "buttons": actions, "seq": self._seq}


def main() -> None:
    """Draw."""
    painter.Painter = Watched  # type: ignore[misc] # by which it is made
    painter.main()
