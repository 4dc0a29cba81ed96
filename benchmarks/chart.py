"""Charts of the results, as SVG and PNG."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmarks.scans import Scan
    from benchmarks.table import Row


def draw(folder: Path, rows: Sequence[Row], scans: Sequence[Scan]) -> None:
    """Write `ratios.svg` and `.png`, and the same of each scan; nothing without matplotlib."""
    try:
        import matplotlib as mpl
    except ImportError:
        print("no chart: matplotlib is not installed (the extra 'plot' has it)")
        return
    mpl.use("Agg")
    mpl.rcParams.update({"svg.hashsalt": "caspy", "font.size": 9, "svg.fonttype": "none"})
    _ratios(folder, [row for row in rows if row.ratio is not None])
    for scan in scans:
        if scan.key != "hop" and scan.points:
            _scan(folder, scan)


def _save(figure: Any, folder: Path, name: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
    figure.savefig(folder / f"{name}.png", dpi=120)


def _ratios(folder: Path, rows: Sequence[Row]) -> None:
    """How many times better than each peer: a dot with its range, and a mark at what is wanted."""
    from matplotlib.figure import Figure

    if not rows:
        return
    figure = Figure(figsize=(9, 1.2 + 0.28 * len(rows)), layout="constrained")
    axes = figure.subplots()
    for place, row in enumerate(rows):
        if row.ratio is None or row.low is None or row.high is None:
            continue
        color = {True: "tab:green", False: "tab:red", None: "tab:gray"}[row.met]
        axes.plot([row.low, row.high], [place, place], color=color, linewidth=2)
        axes.plot([row.ratio], [place], "o", color=color)
        if row.wanted:
            axes.plot([float(row.wanted.split()[0])], [place], "|", color="black", markersize=13)
    axes.set_yticks(range(len(rows)), [f"{row.work} / {row.peer}" for row in rows], fontsize=7)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.axvline(1.0, color="lightgray", zorder=0)
    axes.set_xlabel("times better than the peer (line: all runs; mark: wanted)")
    _save(figure, folder, "ratios")


def _scan(folder: Path, scan: Scan) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 3.2), layout="constrained")
    axes = figure.subplots()
    markers = itertools.cycle("os^d")
    for name, values in scan.values.items():
        known = [(x, y) for x, y in zip(scan.points, values, strict=True) if y is not None]
        axes.plot(*zip(*known, strict=True), marker=next(markers), label=name)
    axes.set_xlabel(scan.x)
    axes.set_ylabel(scan.y)
    axes.set_title(scan.title)
    axes.set_yscale("log")
    if scan.key == "sizes":
        axes.set_xscale("log")
    else:
        axes.set_xticks(scan.points)
    axes.grid(visible=True, which="major", color="lightgray", linewidth=0.5)
    axes.legend()
    _save(figure, folder, scan.key)
