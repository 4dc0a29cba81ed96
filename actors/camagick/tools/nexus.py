"""NeXus: what makes silx, h5web and NeXpy plot a file as soon as they open it.

Data sets stay where they are. Each one gets a group of class NXdata, called ``NAME_plot``, with
links to it and to its times; it is in the group at the top of the data set's path, of class
NXentry, or in ``/entry`` where it has none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from camagick.tools.stamps import TIMESTAMP

if TYPE_CHECKING:
    from camagick.tools.layout import Frame

_SUFFIX = "_plot"
_SHOWN_AS = {1: "spectrum", 2: "image"}


def announce(handle: Any, frame: Frame, dimensions: int | None = None) -> None:
    """Tell programs how to plot a data set that has just been made.

    Parameters
    ----------
    handle
        The open h5py file.
    frame
        Its first frame. What has no numbers is not plotted.
    dimensions
        Of the data set, where it cannot be asked: a virtual one in a file that is only in memory.
    """
    dataset = handle[frame.name]
    if dataset.dtype.kind not in "biuf":
        return
    parts = frame.name.strip("/").split("/")
    entry = _group(handle, parts[0] if len(parts) > 1 else "entry", "NXentry")
    handle.attrs.setdefault("NX_class", "NXroot")
    _point(handle, entry.name[1:])
    for number in range(2, len(parts)):  # groups between the two
        _group(handle, "/".join(parts[:number]), "NXcollection")
    known = frame.attributes()
    _once(entry, "start_time", known.get("start_time"))
    _once(entry, "program_name", known.get("program"))
    plot = _group(entry, "_".join(parts[1:] or parts) + _SUFFIX, "NXdata")
    _fill(plot, dataset, frame, dataset.ndim if dimensions is None else dimensions)
    _point(entry, plot.name.rpartition("/")[2])


def _fill(plot: Any, dataset: Any, frame: Frame, dimensions: int) -> None:
    """Say in a group what the signal is, and what its axes are."""
    import h5py

    short = frame.name.rpartition("/")[2]
    axes = ["."] * dimensions
    _link(plot, short, h5py.SoftLink(frame.name))
    if frame.beside:
        axes[0] = short + TIMESTAMP
        _link(plot, axes[0], h5py.SoftLink(frame.name + TIMESTAMP))
        plot.attrs[f"{axes[0]}_indices"] = 0
    plot.attrs["signal"] = short
    plot.attrs["axes"] = np.array(axes, h5py.string_dtype())
    plot.attrs["title"] = short
    shown = _SHOWN_AS.get(dimensions - 1)
    if shown is not None and "interpretation" not in dataset.attrs:
        dataset.attrs["interpretation"] = shown
    if "long_name" not in dataset.attrs:
        units = dataset.attrs.get("units", "")
        dataset.attrs["long_name"] = f"{short} [{units}]" if units else short


def _group(parent: Any, name: str, kind: str) -> Any:
    group = parent.require_group(name)
    if "NX_class" not in group.attrs:
        group.attrs["NX_class"] = kind
    return group


def _link(group: Any, name: str, link: Any) -> None:
    if group.get(name, getlink=True) is None:
        group[name] = link


def _point(group: Any, name: str) -> None:
    """Let a group say what is to be plotted of it; the first one stays."""
    if "default" not in group.attrs:
        group.attrs["default"] = name


def _once(group: Any, name: str, text: Any) -> None:
    if text is not None and name not in group:
        group[name] = str(text)
